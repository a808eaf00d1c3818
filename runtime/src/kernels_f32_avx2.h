/*
 * Eight floats of AVX2, for what is written once for vectors of any width (kernels_mrl.h):
 * the functions once, the words for them each time that this is included.
 */
#ifndef EDGE_KERNELS_F32_AVX2_H
#define EDGE_KERNELS_F32_AVX2_H

#include "kernels_intrinsics.h"

#define EDGE_AVX2 __attribute__((target("avx2,bmi,popcnt")))
#define EDGE_AVX2_INLINE static inline __attribute__((always_inline)) EDGE_AVX2

EDGE_AVX2_INLINE __m256 edge_f32_load__avx2(const float *p) { return _mm256_loadu_ps(p); }
EDGE_AVX2_INLINE void edge_f32_store__avx2(float *p, __m256 a) { _mm256_storeu_ps(p, a); }
EDGE_AVX2_INLINE __m256 edge_f32_set1__avx2(float a) { return _mm256_set1_ps(a); }
EDGE_AVX2_INLINE __m256 edge_f32_add__avx2(__m256 a, __m256 b) { return _mm256_add_ps(a, b); }
EDGE_AVX2_INLINE __m256 edge_f32_sub__avx2(__m256 a, __m256 b) { return _mm256_sub_ps(a, b); }
EDGE_AVX2_INLINE __m256 edge_f32_mul__avx2(__m256 a, __m256 b) { return _mm256_mul_ps(a, b); }
EDGE_AVX2_INLINE __m256 edge_f32_max__avx2(__m256 a, __m256 b) { return _mm256_max_ps(a, b); }

EDGE_AVX2_INLINE int edge_f32_equal__avx2(__m256 a, __m256 b)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ));
}

EDGE_AVX2_INLINE __m256 edge_f32_scale__avx2(__m256 a, __m256 k)
{
    const __m256i by = _mm256_slli_epi32(_mm256_castps_si256(k), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), by));
}

EDGE_AVX2_INLINE __m256 edge_f32_min__avx2(__m256 a, __m256 b) { return _mm256_min_ps(a, b); }
EDGE_AVX2_INLINE __m256 edge_f32_div__avx2(__m256 a, __m256 b) { return _mm256_div_ps(a, b); }
EDGE_AVX2_INLINE __m256 edge_f32_and__avx2(__m256 a, __m256 b) { return _mm256_and_ps(a, b); }
EDGE_AVX2_INLINE __m256 edge_f32_or__avx2(__m256 a, __m256 b) { return _mm256_or_ps(a, b); }

#endif /* EDGE_KERNELS_F32_AVX2_H */

#undef EDGE_F
#undef EDGE_F_LANES
#undef EDGE_F_TARGET
#undef EDGE_F_NAME
#undef EDGE_F_OP
#define EDGE_F __m256
#define EDGE_F_LANES 8
#define EDGE_F_TARGET EDGE_AVX2
#define EDGE_F_NAME(what) what##__avx2
#define EDGE_F_OP(what) edge_f32_##what##__avx2
