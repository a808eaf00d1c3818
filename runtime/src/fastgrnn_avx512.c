/* The kernels of a FastGRNN cell: AVX-512. */
#include "fastgrnn.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include "kernels_f32_avx512.h"

#define EDGE_F_MOST 7
#include "fastgrnn_kernels.h"

#endif
