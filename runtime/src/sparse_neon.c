/* Products with sparse matrices: NEON, of 64-bit and of 32-bit ARM. */
#include "sparse.h"

#if defined(__GNUC__) && (defined(__aarch64__) || defined(__ARM_NEON))

#include "kernels_f32_neon.h"

#if defined(__aarch64__)
#define EDGE_F_MOST 16
#else
#define EDGE_F_MOST 8
#endif
#include "sparse_rows.h"

edge_sparse_rows_fn *const edge_sparse_rows__neon = edge_rows__neon;

#endif
