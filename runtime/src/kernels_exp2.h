/*
 * 2^t on vectors, |t| <= EDGE_EXP2_LARGEST, to 2e-7 of 1 and better; edge_exp2
 * of fastgrnn_math.h, operation by operation. Included where kernels_mrl.h is.
 */
static inline EDGE_F_TARGET EDGE_F EDGE_F_NAME(edge_exp2)(EDGE_F t)
{
    const EDGE_F magic = EDGE_F_OP(set1)(EDGE_EXP2_MAGIC);
    const EDGE_F shifted = EDGE_F_OP(add)(t, magic);
    const EDGE_F f = EDGE_F_OP(sub)(t, EDGE_F_OP(sub)(shifted, magic));
    EDGE_F p = EDGE_F_OP(set1)(EDGE_EXP2_5);
    p = EDGE_F_OP(add)(EDGE_F_OP(mul)(p, f), EDGE_F_OP(set1)(EDGE_EXP2_4));
    p = EDGE_F_OP(add)(EDGE_F_OP(mul)(p, f), EDGE_F_OP(set1)(EDGE_EXP2_3));
    p = EDGE_F_OP(add)(EDGE_F_OP(mul)(p, f), EDGE_F_OP(set1)(EDGE_EXP2_2));
    p = EDGE_F_OP(add)(EDGE_F_OP(mul)(p, f), EDGE_F_OP(set1)(EDGE_EXP2_1));
    p = EDGE_F_OP(add)(EDGE_F_OP(mul)(p, f), EDGE_F_OP(set1)(EDGE_EXP2_0));
    return EDGE_F_OP(scale)(p, shifted);
}
