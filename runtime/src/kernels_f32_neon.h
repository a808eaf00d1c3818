/*
 * Four floats of NEON, for what is written once for vectors of any width (kernels_mrl.h):
 * the functions once, the words for them each time that this is included.
 */
#ifndef EDGE_KERNELS_F32_NEON_H
#define EDGE_KERNELS_F32_NEON_H

#include <arm_neon.h>

#define EDGE_NEON_INLINE static inline __attribute__((always_inline))

EDGE_NEON_INLINE float32x4_t edge_f32_load__neon(const float *p) { return vld1q_f32(p); }
EDGE_NEON_INLINE void edge_f32_store__neon(float *p, float32x4_t a) { vst1q_f32(p, a); }
EDGE_NEON_INLINE float32x4_t edge_f32_set1__neon(float a) { return vdupq_n_f32(a); }
EDGE_NEON_INLINE float32x4_t edge_f32_add__neon(float32x4_t a, float32x4_t b)
{
    return vaddq_f32(a, b);
}
EDGE_NEON_INLINE float32x4_t edge_f32_sub__neon(float32x4_t a, float32x4_t b)
{
    return vsubq_f32(a, b);
}
EDGE_NEON_INLINE float32x4_t edge_f32_mul__neon(float32x4_t a, float32x4_t b)
{
    return vmulq_f32(a, b);
}
EDGE_NEON_INLINE float32x4_t edge_f32_max__neon(float32x4_t a, float32x4_t b)
{
    return vmaxq_f32(a, b);
}

EDGE_NEON_INLINE int edge_f32_equal__neon(float32x4_t a, float32x4_t b)
{
    const uint32x4_t same = vceqq_f32(a, b);
    const uint32x2_t either = vorr_u32(vget_low_u32(same), vget_high_u32(same));
    return (vget_lane_u32(either, 0) | vget_lane_u32(either, 1)) != 0;
}

EDGE_NEON_INLINE float32x4_t edge_f32_scale__neon(float32x4_t a, float32x4_t k)
{
    const int32x4_t by = vshlq_n_s32(vreinterpretq_s32_f32(k), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a), by));
}

EDGE_NEON_INLINE float32x4_t edge_f32_min__neon(float32x4_t a, float32x4_t b)
{
    return vminq_f32(a, b);
}
EDGE_NEON_INLINE float32x4_t edge_f32_div__neon(float32x4_t a, float32x4_t b)
{
#if defined(__aarch64__)
    return vdivq_f32(a, b);
#else /* only its scalars divide */
    float32x4_t q = vdupq_n_f32(vgetq_lane_f32(a, 0) / vgetq_lane_f32(b, 0));
    q = vsetq_lane_f32(vgetq_lane_f32(a, 1) / vgetq_lane_f32(b, 1), q, 1);
    q = vsetq_lane_f32(vgetq_lane_f32(a, 2) / vgetq_lane_f32(b, 2), q, 2);
    return vsetq_lane_f32(vgetq_lane_f32(a, 3) / vgetq_lane_f32(b, 3), q, 3);
#endif
}
EDGE_NEON_INLINE float32x4_t edge_f32_and__neon(float32x4_t a, float32x4_t b)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
EDGE_NEON_INLINE float32x4_t edge_f32_or__neon(float32x4_t a, float32x4_t b)
{
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}

#endif /* EDGE_KERNELS_F32_NEON_H */

#undef EDGE_F
#undef EDGE_F_LANES
#undef EDGE_F_TARGET
#undef EDGE_F_NAME
#undef EDGE_F_OP
#define EDGE_F float32x4_t
#define EDGE_F_LANES 4
#define EDGE_F_TARGET
#define EDGE_F_NAME(what) what##__neon
#define EDGE_F_OP(what) edge_f32_##what##__neon
