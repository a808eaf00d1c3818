/* The kernels of a FastGRNN cell: NEON, of 64-bit and of 32-bit ARM. */
#include "fastgrnn.h"

#if defined(__GNUC__) && (defined(__aarch64__) || defined(__ARM_NEON))

#include "kernels_f32_neon.h"

#define EDGE_F_MOST 3
#include "fastgrnn_product.h"
#include "fastgrnn_update.h"

const edge_fastgrnn_kernels edge_fastgrnn__neon = {
    edge_fastgrnn_product__neon,
    edge_fastgrnn_update__neon,
    edge_fastgrnn_finite__neon,
    edge_fastgrnn_normalize__neon,
};

#endif
