/* Products with sparse matrices: NEON, of 64-bit and of 32-bit ARM. */
#include "sparse.h"

#if defined(__GNUC__) && (defined(__aarch64__) || defined(__ARM_NEON))

#include "kernels_f32_neon.h"

#define EDGE_F_MOST 8
#include "sparse_rows.h"

edge_sparse_rows_fn *const edge_sparse_rows__neon = edge_rows__neon;

#endif
