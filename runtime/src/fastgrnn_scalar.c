/* The kernels of a FastGRNN cell: plain C, for every processor. */
#include "kernels_f32_scalar.h"

#define EDGE_F_MOST 1
#include "fastgrnn_product.h"
#include "fastgrnn_update.h"

const edge_fastgrnn_kernels edge_fastgrnn__scalar = {
    edge_fastgrnn_product__scalar,
    edge_fastgrnn_update__scalar,
    edge_fastgrnn_finite__scalar,
    edge_fastgrnn_normalize__scalar,
};

