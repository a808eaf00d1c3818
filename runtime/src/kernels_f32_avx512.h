/*
 * Sixteen floats of AVX-512, for what is written once for vectors of any width (kernels_mrl.h):
 * the functions once, the words for them each time that this is included.
 */
#ifndef EDGE_KERNELS_F32_AVX512_H
#define EDGE_KERNELS_F32_AVX512_H

#include "kernels_intrinsics.h"

#define EDGE_AVX512 __attribute__((target("avx512f,avx512vpopcntdq,avx512vnni,bmi,popcnt")))
#define EDGE_AVX512_INLINE static inline __attribute__((always_inline)) EDGE_AVX512

EDGE_AVX512_INLINE __m512 edge_f32_load__avx512(const float *p) { return _mm512_loadu_ps(p); }
EDGE_AVX512_INLINE void edge_f32_store__avx512(float *p, __m512 a) { _mm512_storeu_ps(p, a); }
EDGE_AVX512_INLINE __m512 edge_f32_set1__avx512(float a) { return _mm512_set1_ps(a); }
EDGE_AVX512_INLINE __m512 edge_f32_add__avx512(__m512 a, __m512 b) { return _mm512_add_ps(a, b); }
EDGE_AVX512_INLINE __m512 edge_f32_sub__avx512(__m512 a, __m512 b) { return _mm512_sub_ps(a, b); }
EDGE_AVX512_INLINE __m512 edge_f32_mul__avx512(__m512 a, __m512 b) { return _mm512_mul_ps(a, b); }
EDGE_AVX512_INLINE __m512 edge_f32_max__avx512(__m512 a, __m512 b) { return _mm512_max_ps(a, b); }

EDGE_AVX512_INLINE int edge_f32_equal__avx512(__m512 a, __m512 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

EDGE_AVX512_INLINE __m512 edge_f32_scale__avx512(__m512 a, __m512 k)
{
    const __m512i by = _mm512_slli_epi32(_mm512_castps_si512(k), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), by));
}

EDGE_AVX512_INLINE __m512 edge_f32_min__avx512(__m512 a, __m512 b) { return _mm512_min_ps(a, b); }
EDGE_AVX512_INLINE __m512 edge_f32_div__avx512(__m512 a, __m512 b) { return _mm512_div_ps(a, b); }

/* AVX-512F itself has these for integers only. */
EDGE_AVX512_INLINE __m512 edge_f32_and__avx512(__m512 a, __m512 b)
{
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}

EDGE_AVX512_INLINE __m512 edge_f32_or__avx512(__m512 a, __m512 b)
{
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}

#endif /* EDGE_KERNELS_F32_AVX512_H */

#undef EDGE_F
#undef EDGE_F_LANES
#undef EDGE_F_TARGET
#undef EDGE_F_NAME
#undef EDGE_F_OP
#define EDGE_F __m512
#define EDGE_F_LANES 16
#define EDGE_F_TARGET EDGE_AVX512
#define EDGE_F_NAME(what) what##__avx512
#define EDGE_F_OP(what) edge_f32_##what##__avx512
