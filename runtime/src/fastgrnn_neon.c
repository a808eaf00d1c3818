/* The kernels of a FastGRNN cell: NEON, of 64-bit and of 32-bit ARM. */
#include "fastgrnn.h"

#if defined(__GNUC__) && (defined(__aarch64__) || defined(__ARM_NEON))

#include "kernels_f32_neon.h"

#define EDGE_F_MOST 4
#include "fastgrnn_kernels.h"

#endif
