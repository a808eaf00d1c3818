/*
 * Floats one by one, for what is written once for vectors of any width (kernels_mrl.h):
 * the functions once, the words for them each time that this is included.
 */
#ifndef EDGE_KERNELS_F32_SCALAR_H
#define EDGE_KERNELS_F32_SCALAR_H

#include <stdint.h>
#include <string.h>

static inline float edge_f32_load__scalar(const float *p) { return *p; }
static inline void edge_f32_store__scalar(float *p, float a) { *p = a; }
static inline float edge_f32_set1__scalar(float a) { return a; }
static inline float edge_f32_add__scalar(float a, float b) { return a + b; }
static inline float edge_f32_sub__scalar(float a, float b) { return a - b; }
static inline float edge_f32_mul__scalar(float a, float b) { return a * b; }
static inline float edge_f32_max__scalar(float a, float b) { return a > b ? a : b; }
static inline int edge_f32_equal__scalar(float a, float b) { return a == b; }

static inline float edge_f32_scale__scalar(float a, float k)
{
    uint32_t bits, by;
    memcpy(&bits, &a, sizeof bits);
    memcpy(&by, &k, sizeof by);
    bits += by << 23;
    memcpy(&a, &bits, sizeof a);
    return a;
}

/* As the vectors do it: the second if one of them is NaN. */
static inline float edge_f32_min__scalar(float a, float b) { return a < b ? a : b; }
static inline float edge_f32_div__scalar(float a, float b) { return a / b; }

/* The bits of both, and of either. */
static inline float edge_f32_and__scalar(float a, float b)
{
    uint32_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    x &= y;
    memcpy(&a, &x, sizeof a);
    return a;
}

static inline float edge_f32_or__scalar(float a, float b)
{
    uint32_t x, y;
    memcpy(&x, &a, sizeof x);
    memcpy(&y, &b, sizeof y);
    x |= y;
    memcpy(&a, &x, sizeof a);
    return a;
}

#endif /* EDGE_KERNELS_F32_SCALAR_H */

#undef EDGE_F
#undef EDGE_F_LANES
#undef EDGE_F_TARGET
#undef EDGE_F_NAME
#undef EDGE_F_OP
#define EDGE_F float
#define EDGE_F_LANES 1
#define EDGE_F_TARGET
#define EDGE_F_NAME(what) what##__scalar
#define EDGE_F_OP(what) edge_f32_##what##__scalar
