/* Products with sparse matrices: AVX-512. */
#include "sparse.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include "kernels_f32_avx512.h"

#define EDGE_F_MOST 8
#include "sparse_rows.h"

edge_sparse_rows_fn *const edge_sparse_rows__avx512 = edge_rows__avx512;

#endif
