/*
 * The kernels of a Matryoshka head, written once for vectors of any width.
 *
 * Whoever includes this file says before: EDGE_F, a vector of EDGE_F_LANES (1, 4,
 * 8 or 16) floats; EDGE_F_NAME(what), the name of a function on it; EDGE_F_TARGET,
 * what a function needs in front of it; EDGE_F_OP(what), for what = load, store, set1, add,
 * sub, mul, max, scale (times 2^k, the low bits of the second float being k) and equal
 * (nonzero if any two lanes are equal); kernels_f32_*.h do it.
 *
 * Products are rounded before they are added, and sums keep sixteen lanes that
 * are added in one order at the end: every instruction set gives the same bits.
 */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define EDGE_F_GROUP (16 / EDGE_F_LANES)

#if defined(__GNUC__) && !defined(__clang__)
#define EDGE_F_UNROLL _Pragma("GCC unroll 16")
#else
#define EDGE_F_UNROLL
#endif

/* Sixteen exponentials in a row would be kilobytes, and not faster one by one. */
#if defined(__GNUC__) && !defined(__clang__) && EDGE_F_LANES == 1
#define EDGE_F_ROLL _Pragma("GCC unroll 1")
#else
#define EDGE_F_ROLL EDGE_F_UNROLL
#endif

/* acc[0..16g) += sum over d of x[d] w[d][0..16g), rows of w being `width` apart. */
#define EDGE_F_ACCUMULATE(g)                                                              \
    do {                                                                                  \
        EDGE_F a[(g) * EDGE_F_GROUP];                                                     \
        size_t d, v;                                                                      \
        EDGE_F_UNROLL                                                                     \
        for (v = 0; v < (g) * EDGE_F_GROUP; v++) {                                        \
            a[v] = EDGE_F_OP(load)(acc + v * EDGE_F_LANES);                             \
        }                                                                                 \
        for (d = 0; d < n_dims; d++) {                                                    \
            const EDGE_F b = EDGE_F_OP(set1)(x[d]);                                     \
            EDGE_F_UNROLL                                                                 \
            for (v = 0; v < (g) * EDGE_F_GROUP; v++) {                                    \
                a[v] = EDGE_F_OP(add)(                                                  \
                    a[v], EDGE_F_OP(mul)(                                               \
                              b, EDGE_F_OP(load)(w + d * width + v * EDGE_F_LANES)));   \
            }                                                                             \
        }                                                                                 \
        EDGE_F_UNROLL                                                                     \
        for (v = 0; v < (g) * EDGE_F_GROUP; v++) {                                        \
            EDGE_F_OP(store)(acc + v * EDGE_F_LANES, a[v]);                             \
        }                                                                                 \
    } while (0)

#define EDGE_F_ALWAYS
#include "fastgrnn_math.h"
#define EDGE_F_EXP2 EDGE_F_NAME(edge_mrl_exp2)
#include "kernels_exp2.h"

static EDGE_F_TARGET void EDGE_F_NAME(edge_mrl_accumulate)(const float *w, const float *x,
                                                          size_t n_dims, size_t width, float *acc)
{
    size_t at;
#if EDGE_F_LANES > 1
    if (width == EDGE_MRL_PANEL) {
        EDGE_F_ACCUMULATE(EDGE_MRL_PANEL / 16);
        return;
    }
#endif
    for (at = 0; at < width; at += 16, w += 16, acc += 16) {
        EDGE_F_ACCUMULATE(1);
    }
}

static inline EDGE_F_TARGET float EDGE_F_NAME(edge_mrl_largest)(EDGE_F most)
{
    float lanes[EDGE_F_LANES];
    float best;
    size_t i;
    EDGE_F_OP(store)(lanes, most);
    best = lanes[0];
    for (i = 1; i < EDGE_F_LANES; i++) {
        best = lanes[i] > best ? lanes[i] : best;
    }
    return best;
}

static EDGE_F_TARGET float EDGE_F_NAME(edge_mrl_affine)(const float *acc, const float *bias,
                                                       float factor, size_t n, float *logits)
{
    const EDGE_F by = EDGE_F_OP(set1)(factor);
    EDGE_F most = EDGE_F_OP(set1)(-EDGE_MRL_NEVER);
    size_t i;
    for (i = 0; i < n; i += EDGE_F_LANES) {
        EDGE_F l = EDGE_F_OP(mul)(EDGE_F_OP(load)(acc + i), by);
        l = EDGE_F_OP(add)(l, EDGE_F_OP(load)(bias + i));
        EDGE_F_OP(store)(logits + i, l);
        most = EDGE_F_OP(max)(most, l);
    }
    return EDGE_F_NAME(edge_mrl_largest)(most);
}

static EDGE_F_TARGET float EDGE_F_NAME(edge_mrl_max)(const float *logits, size_t n)
{
    size_t i;
    EDGE_F most = EDGE_F_OP(load)(logits);
    for (i = EDGE_F_LANES; i < n; i += EDGE_F_LANES) {
        most = EDGE_F_OP(max)(most, EDGE_F_OP(load)(logits + i));
    }
    return EDGE_F_NAME(edge_mrl_largest)(most);
}

static EDGE_F_TARGET size_t EDGE_F_NAME(edge_mrl_find)(const float *logits, size_t n, float value)
{
    const EDGE_F wanted = EDGE_F_OP(set1)(value);
    size_t i = 0;
    while (i < n && !EDGE_F_OP(equal)(wanted, EDGE_F_OP(load)(logits + i))) {
        i += EDGE_F_LANES;
    }
    while (i < n && logits[i] != value) {
        i++;
    }
    return i;
}

/* exp of lanes in [EDGE_MRL_LEAST, 0]; e^x = 2^t. */
static inline EDGE_F_TARGET EDGE_F EDGE_F_NAME(edge_mrl_exp)(EDGE_F x)
{
    EDGE_F t = EDGE_F_OP(mul)(x, EDGE_F_OP(set1)(EDGE_LOG2_E));
    EDGE_F_EXP2(&t, 1);
    return t;
}

static EDGE_F_TARGET void EDGE_F_NAME(edge_mrl_sums)(const float *logits, size_t n, float max,
                                                    float sums[2])
{
    const EDGE_F most = EDGE_F_OP(set1)(max);
    const EDGE_F least = EDGE_F_OP(set1)(EDGE_MRL_LEAST);
    EDGE_F total[EDGE_F_GROUP];
    EDGE_F dot[EDGE_F_GROUP];
    float lanes[2][16];
    size_t i, v;
    for (v = 0; v < EDGE_F_GROUP; v++) {
        total[v] = dot[v] = EDGE_F_OP(set1)(0.0f);
    }
    for (i = 0; i < n; i += 16) {
        EDGE_F_ROLL
        for (v = 0; v < EDGE_F_GROUP; v++) {
            const EDGE_F l = EDGE_F_OP(load)(logits + i + v * EDGE_F_LANES);
            const EDGE_F x = EDGE_F_OP(max)(EDGE_F_OP(sub)(l, most), least);
            const EDGE_F e = EDGE_F_NAME(edge_mrl_exp)(x);
            total[v] = EDGE_F_OP(add)(total[v], e);
            dot[v] = EDGE_F_OP(add)(dot[v], EDGE_F_OP(mul)(e, x));
        }
    }
    for (v = 0; v < EDGE_F_GROUP; v++) {
        EDGE_F_OP(store)(lanes[0] + v * EDGE_F_LANES, total[v]);
        EDGE_F_OP(store)(lanes[1] + v * EDGE_F_LANES, dot[v]);
    }
    for (v = 8; v > 0; v /= 2) {
        for (i = 0; i < v; i++) {
            lanes[0][i] += lanes[0][i + v];
            lanes[1][i] += lanes[1][i + v];
        }
    }
    sums[0] = lanes[0][0];
    sums[1] = lanes[1][0];
}
