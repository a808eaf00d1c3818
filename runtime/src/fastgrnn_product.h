/*
 * The product of a vector and a matrix. EDGE_F_MOST: the most eights of outputs
 * whose two sums each fit the registers, up to 13; no vector is wider than 8.
 *
 * Products are rounded before they are added, and every sum is that of the even
 * and that of the odd inputs: every instruction set gives the same bits.
 */
#include "fastgrnn_ops.h"

#define EDGE_F_EIGHT (8 / EDGE_F_LANES) /* vectors of eight outputs */

/* `count` vectors of outputs, a constant where this is called; rows of w are n_out apart. */
EDGE_F_INLINE void EDGE_F_NAME(edge_block)(const float *w, const float *x, size_t n_in,
                                           size_t n_out, float *y, const size_t count)
{
    EDGE_F even[EDGE_F_MOST * EDGE_F_EIGHT], odd[EDGE_F_MOST * EDGE_F_EIGHT];
    size_t d, v;
    EDGE_F_UNROLL
    for (v = 0; v < count; v++) {
        even[v] = odd[v] = EDGE_F_OP(set1)(0.0f);
    }
    for (d = 0; d < n_in; d += 2) {
        const EDGE_F a = EDGE_F_OP(set1)(x[d]), b = EDGE_F_OP(set1)(x[d + 1]);
        EDGE_F_UNROLL
        for (v = 0; v < count; v++) {
            const EDGE_F row = EDGE_F_OP(load)(w + v * EDGE_F_LANES);
            even[v] = EDGE_F_OP(add)(even[v], EDGE_F_OP(mul)(a, row));
        }
        w += n_out;
        EDGE_F_UNROLL
        for (v = 0; v < count; v++) {
            const EDGE_F row = EDGE_F_OP(load)(w + v * EDGE_F_LANES);
            odd[v] = EDGE_F_OP(add)(odd[v], EDGE_F_OP(mul)(b, row));
        }
        w += n_out;
    }
    EDGE_F_UNROLL
    for (v = 0; v < count; v++) {
        EDGE_F_OP(store)(y + v * EDGE_F_LANES, EDGE_F_OP(add)(even[v], odd[v]));
    }
}

static EDGE_F_TARGET void EDGE_F_NAME(edge_fastgrnn_product)(const float *w, const float *x,
                                                            size_t n_in, size_t n_out, float *y)
{
    const size_t blocks = (n_out / 8 + EDGE_F_MOST - 1) / EDGE_F_MOST;
    const size_t each = (n_out / 8 + blocks - 1) / blocks;
    size_t at, eights;
    for (at = 0; at < n_out; at += 8 * eights) {
        eights = n_out / 8 - at / 8 < each ? n_out / 8 - at / 8 : each;
        switch (eights) {
#define EDGE_F_CASE(n)                                                                  \
    case n:                                                                             \
        EDGE_F_NAME(edge_block)(w + at, x, n_in, n_out, y + at, (n) * EDGE_F_EIGHT);    \
        break;
#if EDGE_F_MOST > 6
            EDGE_F_CASE(13)
            EDGE_F_CASE(12)
            EDGE_F_CASE(11)
            EDGE_F_CASE(10)
            EDGE_F_CASE(9)
            EDGE_F_CASE(8)
            EDGE_F_CASE(7)
#endif
#if EDGE_F_MOST > 4
            EDGE_F_CASE(6)
            EDGE_F_CASE(5)
#endif
#if EDGE_F_MOST > 2
            EDGE_F_CASE(4)
            EDGE_F_CASE(3)
#endif
#if EDGE_F_MOST > 1
            EDGE_F_CASE(2)
#endif
        default:
            EDGE_F_NAME(edge_block)(w + at, x, n_in, n_out, y + at, EDGE_F_EIGHT);
            break;
#undef EDGE_F_CASE
        }
    }
}
