/*
 * What follows the products: the non-linearities and the next state. tanh and
 * sigmoid are those of fastgrnn_math.h, operation by operation.
 */
#include "fastgrnn_ops.h"

#define EDGE_F_EXP2 EDGE_F_NAME(edge_fastgrnn_exp2)
#include "kernels_exp2.h"

#define EDGE_F_PAIR (EDGE_F_LANES == 1 ? 1 : EDGE_F_LANES == 16 ? 1 : 2) /* vectors looked at together */

EDGE_F_INLINE EDGE_F EDGE_F_NAME(edge_clip)(EDGE_F x, float low, float high)
{
    return EDGE_F_OP(max)(EDGE_F_OP(set1)(low), EDGE_F_OP(min)(EDGE_F_OP(set1)(high), x));
}

/* What the exponential is of: of a tanh -2|x|, of a sigmoid -x, times log2(e). */
EDGE_F_INLINE EDGE_F EDGE_F_NAME(edge_exponent)(uint32_t kind, EDGE_F x)
{
    if (kind == EDGE_TANH) {
        x = EDGE_F_OP(or)(x, EDGE_F_OP(set1)(-0.0f));
        x = EDGE_F_OP(mul)(x, EDGE_F_OP(set1)(EDGE_TWO_LOG2_E));
        return EDGE_F_OP(max)(EDGE_F_OP(set1)(-EDGE_EXP2_LARGEST), x);
    }
    x = EDGE_F_OP(mul)(x, EDGE_F_OP(set1)(-EDGE_LOG2_E));
    return EDGE_F_NAME(edge_clip)(x, -EDGE_EXP2_LARGEST, EDGE_EXP2_LARGEST);
}

/* The tanh or sigmoid of x, by its exponential. */
EDGE_F_INLINE EDGE_F EDGE_F_NAME(edge_quotient)(uint32_t kind, EDGE_F x, EDGE_F e)
{
    const EDGE_F one = EDGE_F_OP(set1)(1.0f);
    if (kind == EDGE_TANH) {
        const EDGE_F y = EDGE_F_OP(div)(EDGE_F_OP(sub)(one, e), EDGE_F_OP(add)(one, e));
        return EDGE_F_OP(or)(y, EDGE_F_OP(and)(x, EDGE_F_OP(set1)(-0.0f)));
    }
    return EDGE_F_OP(div)(one, EDGE_F_OP(add)(one, e));
}

/* Those of straight lines. */
EDGE_F_INLINE EDGE_F EDGE_F_NAME(edge_lines)(uint32_t kind, EDGE_F x)
{
    switch (kind) {
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

/* z[v] and c[v] from what they are functions of. */
EDGE_F_INLINE void EDGE_F_NAME(edge_activate)(uint32_t gate, uint32_t update, EDGE_F *z,
                                              EDGE_F *c)
{
    EDGE_F e[2 * EDGE_F_PAIR];
    size_t v;
    EDGE_F_UNROLL
    for (v = 0; v < EDGE_F_PAIR; v++) {
        e[2 * v] = EDGE_F_NAME(edge_exponent)(gate, z[v]);
        e[2 * v + 1] = EDGE_F_NAME(edge_exponent)(update, c[v]);
    }
    EDGE_F_EXP2(e, 2 * EDGE_F_PAIR);
    EDGE_F_UNROLL
    for (v = 0; v < EDGE_F_PAIR; v++) {
        z[v] = gate <= EDGE_TANH ? EDGE_F_NAME(edge_quotient)(gate, z[v], e[2 * v])
                                 : EDGE_F_NAME(edge_lines)(gate, z[v]);
        c[v] = update <= EDGE_TANH ? EDGE_F_NAME(edge_quotient)(update, c[v], e[2 * v + 1])
                                   : EDGE_F_NAME(edge_lines)(update, c[v]);
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
    size_t i, v;
    for (i = 0; i < n; i += EDGE_F_PAIR * EDGE_F_LANES) {
        EDGE_F z[EDGE_F_PAIR], c[EDGE_F_PAIR];
        EDGE_F_UNROLL
        for (v = 0; v < EDGE_F_PAIR; v++) {
            const size_t at = i + v * EDGE_F_LANES;
            const EDGE_F p =
                EDGE_F_OP(add)(EDGE_F_OP(load)(wx + at), EDGE_F_OP(load)(uh + at));
            z[v] = EDGE_F_OP(add)(p, EDGE_F_OP(load)(cell->bias_gate + at));
            c[v] = EDGE_F_OP(add)(p, EDGE_F_OP(load)(cell->bias_update + at));
        }
        EDGE_F_NAME(edge_activate)(gate, update, z, c);
        EDGE_F_UNROLL
        for (v = 0; v < EDGE_F_PAIR; v++) {
            float *to = h + i + v * EDGE_F_LANES;
            const EDGE_F share =
                EDGE_F_OP(add)(EDGE_F_OP(mul)(zeta, EDGE_F_OP(sub)(one, z[v])), nu);
            const EDGE_F kept = EDGE_F_OP(mul)(z[v], EDGE_F_OP(load)(to));
            EDGE_F_OP(store)(to, EDGE_F_OP(add)(kept, EDGE_F_OP(mul)(share, c[v])));
        }
    }
}

static EDGE_F_TARGET void EDGE_F_NAME(edge_fastgrnn_update)(const edge_fastgrnn *cell,
                                                           const float *wx, const float *uh,
                                                           float *h)
{
#if EDGE_F_LANES > 4 /* the pair that nearly all cells have */
    if (cell->gate == EDGE_SIGMOID && cell->update == EDGE_TANH) {
        EDGE_F_NAME(edge_update)(cell, wx, uh, h, EDGE_SIGMOID, EDGE_TANH);
        return;
    }
#endif
    EDGE_F_NAME(edge_update)(cell, wx, uh, h, cell->gate, cell->update);
}

/* ---- frames ------------------------------------------------------------------------ */

/* x - x is 0, or NaN where x is not finite; NaN stays in a sum. */
static EDGE_F_TARGET int EDGE_F_NAME(edge_fastgrnn_finite)(const float *x, size_t n)
{
    EDGE_F sum = EDGE_F_OP(set1)(0.0f);
    float lanes[EDGE_F_LANES], rest = 0.0f;
    size_t i;
    for (i = 0; i + EDGE_F_LANES <= n; i += EDGE_F_LANES) {
        const EDGE_F v = EDGE_F_OP(load)(x + i);
        sum = EDGE_F_OP(add)(sum, EDGE_F_OP(sub)(v, v));
    }
    for (; i < n; i++) {
        rest += x[i] - x[i];
    }
    EDGE_F_OP(store)(lanes, sum);
    for (i = 0; i < EDGE_F_LANES; i++) {
        rest += lanes[i];
    }
    return rest == 0.0f;
}

static EDGE_F_TARGET void EDGE_F_NAME(edge_fastgrnn_normalize)(const edge_fastgrnn *cell,
                                                              const float *x, float *to)
{
    const float *mean = cell->mean, *scale = cell->scale;
    size_t i;
    for (i = 0; i + EDGE_F_LANES <= cell->n_inputs; i += EDGE_F_LANES) {
        const EDGE_F away = EDGE_F_OP(sub)(EDGE_F_OP(load)(x + i), EDGE_F_OP(load)(mean + i));
        EDGE_F_OP(store)(to + i, EDGE_F_OP(mul)(away, EDGE_F_OP(load)(scale + i)));
    }
    for (; i < cell->n_inputs; i++) {
        to[i] = (x[i] - mean[i]) * scale[i];
    }
}
