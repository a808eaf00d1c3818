/* The kernels of a FastGRNN cell: plain C, for every processor. */
#include "kernels_f32_scalar.h"

#define EDGE_F_MOST 4
#include "fastgrnn_kernels.h"

