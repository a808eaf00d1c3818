/* Products with sparse matrices: plain C, for every processor. */
#include "kernels_f32_scalar.h"

#define EDGE_F_MOST 4
#include "sparse_rows.h"

edge_sparse_rows_fn *const edge_sparse_rows__scalar = edge_rows__scalar;
