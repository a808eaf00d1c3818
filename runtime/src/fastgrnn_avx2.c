/* The kernels of a FastGRNN cell: AVX2. */
#include "fastgrnn.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include "kernels_f32_avx2.h"

#define EDGE_F_MOST 3
#include "fastgrnn_kernels.h"

#endif
