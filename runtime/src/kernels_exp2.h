/*
 * 2^t on `n` vectors, |t| <= EDGE_EXP2_LARGEST, to 2e-7 of 1 and better; edge_exp2
 * of fastgrnn_math.h, operation by operation. Included where kernels_mrl.h is;
 * EDGE_F_EXP2 is the name the function gets there. Several side by side do not
 * wait for each other; n is a constant, up to 4.
 */
static inline EDGE_F_TARGET EDGE_F_ALWAYS void EDGE_F_EXP2(EDGE_F *t, const size_t n)
{
    static const float factors[5] = {EDGE_EXP2_4, EDGE_EXP2_3, EDGE_EXP2_2, EDGE_EXP2_1,
                                     EDGE_EXP2_0};
    const EDGE_F magic = EDGE_F_OP(set1)(EDGE_EXP2_MAGIC);
    EDGE_F shifted[4], p[4];
    size_t i, v;
    EDGE_F_UNROLL
    for (v = 0; v < n; v++) {
        shifted[v] = EDGE_F_OP(add)(t[v], magic);
        t[v] = EDGE_F_OP(sub)(t[v], EDGE_F_OP(sub)(shifted[v], magic));
        p[v] = EDGE_F_OP(set1)(EDGE_EXP2_5);
    }
    EDGE_F_UNROLL
    for (i = 0; i < 5; i++) {
        const EDGE_F next = EDGE_F_OP(set1)(factors[i]);
        EDGE_F_UNROLL
        for (v = 0; v < n; v++) {
            p[v] = EDGE_F_OP(add)(EDGE_F_OP(mul)(p[v], t[v]), next);
        }
    }
    EDGE_F_UNROLL
    for (v = 0; v < n; v++) {
        t[v] = EDGE_F_OP(scale)(p[v], shifted[v]);
    }
}
