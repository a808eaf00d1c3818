/*
 * The kernels of a FastGRNN cell, written once for vectors of any width; for
 * what is said before it is included see kernels_mrl.h, and EDGE_F_MOST: the
 * most vectors of outputs whose four sums each fit the registers.
 *
 * Products are rounded before they are added, every sum is four sums of every
 * fourth input, added in one order at the end, and tanh and sigmoid are those of
 * fastgrnn_math.h: every instruction set gives the same bits.
 */
#include "fastgrnn.h"
#include "fastgrnn_math.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#define EDGE_F_OP(what) EDGE_F_NAME(edge_f32_##what)

#if defined(__GNUC__) && !defined(__clang__)
#define EDGE_F_UNROLL _Pragma("GCC unroll 16")
#else
#define EDGE_F_UNROLL
#endif
#if defined(__GNUC__)
#define EDGE_F_INLINE static inline __attribute__((always_inline)) EDGE_F_TARGET
#else
#define EDGE_F_INLINE static inline EDGE_F_TARGET
#endif

#include "kernels_exp2.h"

/* ---- products ---------------------------------------------------------------------- */

/* `count` vectors of outputs, a constant where this is called; rows of w are n_out apart. */
EDGE_F_INLINE void EDGE_F_NAME(edge_block)(const float *w, const float *x, size_t n_in,
                                           size_t n_out, float *y, const size_t count)
{
    EDGE_F sums[4][EDGE_F_MOST];
    size_t d, k, v;
    EDGE_F_UNROLL
    for (k = 0; k < 4; k++) {
        EDGE_F_UNROLL
        for (v = 0; v < count; v++) {
            sums[k][v] = EDGE_F_OP(set1)(0.0f);
        }
    }
    for (d = 0; d < n_in; d += 4) {
        EDGE_F_UNROLL
        for (k = 0; k < 4; k++) {
            const EDGE_F b = EDGE_F_OP(set1)(x[d + k]);
            EDGE_F_UNROLL
            for (v = 0; v < count; v++) {
                sums[k][v] = EDGE_F_OP(add)(
                    sums[k][v], EDGE_F_OP(mul)(b, EDGE_F_OP(load)(w + v * EDGE_F_LANES)));
            }
            w += n_out;
        }
    }
    EDGE_F_UNROLL
    for (v = 0; v < count; v++) {
        const EDGE_F even = EDGE_F_OP(add)(sums[0][v], sums[1][v]);
        EDGE_F_OP(store)(y + v * EDGE_F_LANES,
                         EDGE_F_OP(add)(even, EDGE_F_OP(add)(sums[2][v], sums[3][v])));
    }
}

static EDGE_F_TARGET void EDGE_F_NAME(edge_fastgrnn_product)(const float *w, const float *x,
                                                            size_t n_in, size_t n_out, float *y)
{
    size_t at = 0;
#define EDGE_F_BLOCK(count)                                                            \
    EDGE_F_NAME(edge_block)(w + at, x, n_in, n_out, y + at, count);                    \
    at += (count) * EDGE_F_LANES
    for (; n_out - at >= EDGE_F_MOST * EDGE_F_LANES;) {
        EDGE_F_BLOCK(EDGE_F_MOST);
    }
    switch ((n_out - at) / EDGE_F_LANES) {
#if EDGE_F_MOST > 6
    case 6:
        EDGE_F_BLOCK(6);
        break;
    case 5:
        EDGE_F_BLOCK(5);
        break;
    case 4:
        EDGE_F_BLOCK(4);
        break;
#endif
#if EDGE_F_MOST > 3
    case 3:
        EDGE_F_BLOCK(3);
        break;
#endif
#if EDGE_F_MOST > 2
    case 2:
        EDGE_F_BLOCK(2);
        break;
    case 1:
        EDGE_F_BLOCK(1);
        break;
#endif
    default:
        break;
    }
#undef EDGE_F_BLOCK
}

/* ---- non-linearities --------------------------------------------------------------- */

EDGE_F_INLINE EDGE_F EDGE_F_NAME(edge_clip)(EDGE_F x, float low, float high)
{
    return EDGE_F_OP(max)(EDGE_F_OP(set1)(low), EDGE_F_OP(min)(EDGE_F_OP(set1)(high), x));
}

EDGE_F_INLINE EDGE_F EDGE_F_NAME(edge_tanh)(EDGE_F x)
{
    const EDGE_F sign = EDGE_F_OP(set1)(-0.0f);
    const EDGE_F one = EDGE_F_OP(set1)(1.0f);
    const EDGE_F t = EDGE_F_OP(mul)(EDGE_F_OP(or)(x, sign), EDGE_F_OP(set1)(EDGE_TWO_LOG2_E));
    const EDGE_F e =
        EDGE_F_NAME(edge_exp2)(EDGE_F_OP(max)(EDGE_F_OP(set1)(-EDGE_EXP2_LARGEST), t));
    const EDGE_F y = EDGE_F_OP(div)(EDGE_F_OP(sub)(one, e), EDGE_F_OP(add)(one, e));
    return EDGE_F_OP(or)(y, EDGE_F_OP(and)(x, sign));
}

EDGE_F_INLINE EDGE_F EDGE_F_NAME(edge_sigmoid)(EDGE_F x)
{
    const EDGE_F one = EDGE_F_OP(set1)(1.0f);
    const EDGE_F t = EDGE_F_NAME(edge_clip)(EDGE_F_OP(mul)(x, EDGE_F_OP(set1)(-EDGE_LOG2_E)),
                                            -EDGE_EXP2_LARGEST, EDGE_EXP2_LARGEST);
    return EDGE_F_OP(div)(one, EDGE_F_OP(add)(one, EDGE_F_NAME(edge_exp2)(t)));
}

EDGE_F_INLINE EDGE_F EDGE_F_NAME(edge_activate)(uint32_t kind, EDGE_F x)
{
    switch (kind) {
    case EDGE_SIGMOID:
        return EDGE_F_NAME(edge_sigmoid)(x);
    case EDGE_TANH:
        return EDGE_F_NAME(edge_tanh)(x);
    case EDGE_RELU: /* and no -0, which some processors take for less than 0 */
        return EDGE_F_OP(add)(EDGE_F_OP(max)(EDGE_F_OP(set1)(0.0f), x), EDGE_F_OP(set1)(0.0f));
    case EDGE_QUANT_SIGMOID:
        x = EDGE_F_OP(mul)(EDGE_F_OP(add)(x, EDGE_F_OP(set1)(1.0f)), EDGE_F_OP(set1)(0.5f));
        return EDGE_F_NAME(edge_clip)(x, 0.0f, 1.0f);
    case EDGE_QUANT_SIGMOID4:
        x = EDGE_F_OP(mul)(EDGE_F_OP(add)(x, EDGE_F_OP(set1)(2.0f)), EDGE_F_OP(set1)(0.25f));
        return EDGE_F_NAME(edge_clip)(x, 0.0f, 1.0f);
    default: /* EDGE_QUANT_TANH */
        return EDGE_F_NAME(edge_clip)(x, -1.0f, 1.0f);
    }
}

/* ---- the cell ---------------------------------------------------------------------- */

EDGE_F_INLINE void EDGE_F_NAME(edge_update)(const edge_fastgrnn *cell, const float *wx,
                                            const float *uh, float *h, uint32_t gate,
                                            uint32_t update)
{
    const EDGE_F one = EDGE_F_OP(set1)(1.0f);
    const EDGE_F zeta = EDGE_F_OP(set1)(cell->zeta), nu = EDGE_F_OP(set1)(cell->nu);
    const size_t n = edge_fastgrnn_lanes(cell->n_hidden);
    size_t i;
    for (i = 0; i < n; i += EDGE_F_LANES) {
        const EDGE_F p = EDGE_F_OP(add)(EDGE_F_OP(load)(wx + i), EDGE_F_OP(load)(uh + i));
        const EDGE_F z = EDGE_F_NAME(edge_activate)(
            gate, EDGE_F_OP(add)(p, EDGE_F_OP(load)(cell->bias_gate + i)));
        const EDGE_F c = EDGE_F_NAME(edge_activate)(
            update, EDGE_F_OP(add)(p, EDGE_F_OP(load)(cell->bias_update + i)));
        const EDGE_F share = EDGE_F_OP(add)(
            EDGE_F_OP(mul)(zeta, EDGE_F_OP(sub)(one, z)), nu);
        const EDGE_F kept = EDGE_F_OP(mul)(z, EDGE_F_OP(load)(h + i));
        EDGE_F_OP(store)(h + i, EDGE_F_OP(add)(kept, EDGE_F_OP(mul)(share, c)));
    }
}

static EDGE_F_TARGET void EDGE_F_NAME(edge_fastgrnn_update)(const edge_fastgrnn *cell,
                                                           const float *wx, const float *uh,
                                                           float *h)
{
#if EDGE_F_LANES > 1 /* the pair that nearly all cells have */
    if (cell->gate == EDGE_SIGMOID && cell->update == EDGE_TANH) {
        EDGE_F_NAME(edge_update)(cell, wx, uh, h, EDGE_SIGMOID, EDGE_TANH);
        return;
    }
#endif
    EDGE_F_NAME(edge_update)(cell, wx, uh, h, cell->gate, cell->update);
}

const edge_fastgrnn_kernels EDGE_F_NAME(edge_fastgrnn) = {
    EDGE_F_NAME(edge_fastgrnn_product),
    EDGE_F_NAME(edge_fastgrnn_update),
};
