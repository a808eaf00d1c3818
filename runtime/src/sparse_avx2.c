/* Products with sparse matrices: AVX2. */
#include "sparse.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include "kernels_f32_avx2.h"

#define EDGE_F_MOST 8
#include "sparse_rows.h"

edge_sparse_rows_fn *const edge_sparse_rows__avx2 = edge_rows__avx2;

#endif
