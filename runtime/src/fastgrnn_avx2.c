/* The kernels of a FastGRNN cell: AVX2. */
#include "fastgrnn.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include "kernels_f32_avx2.h"

#define EDGE_F_MOST 6
#include "fastgrnn_product.h"
#include "fastgrnn_update.h"

const edge_fastgrnn_kernels edge_fastgrnn__avx2 = {
    edge_fastgrnn_product__avx2,
    edge_fastgrnn_update__avx2,
    edge_fastgrnn_finite__avx2,
    edge_fastgrnn_normalize__avx2,
};

#endif
