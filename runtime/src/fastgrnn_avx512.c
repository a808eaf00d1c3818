/*
 * The kernels of a FastGRNN cell: AVX-512. Products take eight floats at a time,
 * as AVX2 does, but in 32 registers: wider vectors would be filled up with more
 * zeros, and a cell would leave a first-level cache of 32 KB.
 */
#include "fastgrnn.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include "kernels_f32_avx2.h"

#undef EDGE_F_TARGET
#undef EDGE_F_NAME
#define EDGE_F_TARGET __attribute__((target("avx2,bmi,popcnt,avx512f,avx512vl")))
#define EDGE_F_NAME(what) what##__avx512vl
#define EDGE_F_MOST 13
#include "fastgrnn_product.h"

#include "kernels_f32_avx512.h"
#include "fastgrnn_update.h"

const edge_fastgrnn_kernels edge_fastgrnn__avx512 = {
    edge_fastgrnn_product__avx512vl,
    edge_fastgrnn_update__avx512,
    edge_fastgrnn_finite__avx512,
    edge_fastgrnn_normalize__avx512,
};

#endif
