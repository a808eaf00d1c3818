/*
 * tanh and the logistic sigmoid in float32: adds, multiplies, one divide and a
 * whole number added to an exponent, in one order, so that every processor
 * gives the same bits. kernels_fastgrnn.h does the same on vectors, and the
 * generated C of edge_sdk.exporters repeats it.
 *
 * Largest absolute errors, over all floats: tanh 1.4e-7, sigmoid 1.1e-7
 * (tests/test_fastgrnn.c). tanh is odd and within [-1, 1], +-1 from 9.1 on; no x is
 * out of range, infinity included. Neither may be compiled with -ffast-math,
 * which takes out the rounding of t.
 */
#ifndef EDGE_FASTGRNN_MATH_H
#define EDGE_FASTGRNN_MATH_H

#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* 2^f on [-1/2, 1/2]: a minimax polynomial that is 1 at 0; coefficients of f^5 to f^1, then 1. */
#define EDGE_EXP2_5 0.0013264727f
#define EDGE_EXP2_4 0.009671513f
#define EDGE_EXP2_3 0.055507336f
#define EDGE_EXP2_2 0.24022242f
#define EDGE_EXP2_1 0.693147f
#define EDGE_EXP2_0 1.0f

#define EDGE_EXP2_MAGIC 12582912.0f /* 1.5 * 2^23: added to t, it leaves the nearest integer */
#define EDGE_EXP2_LARGEST 126.0f    /* |t| stays below it: all results are normal numbers */
#define EDGE_LOG2_E 1.442695041f
#define EDGE_TWO_LOG2_E 2.885390082f

/* 2^t for |t| <= EDGE_EXP2_LARGEST. */
static inline float edge_exp2(float t)
{
    const float shifted = t + EDGE_EXP2_MAGIC;
    const float f = t - (shifted - EDGE_EXP2_MAGIC);
    float p = EDGE_EXP2_5;
    uint32_t bits, k;
    p = p * f + EDGE_EXP2_4;
    p = p * f + EDGE_EXP2_3;
    p = p * f + EDGE_EXP2_2;
    p = p * f + EDGE_EXP2_1;
    p = p * f + EDGE_EXP2_0;
    memcpy(&bits, &p, sizeof bits);
    memcpy(&k, &shifted, sizeof k);
    bits += k << 23; /* the lowest bits of `shifted` are the integer */
    memcpy(&p, &bits, sizeof p);
    return p;
}

/* With e = e^(-2|x|): (1 - e) / (1 + e), and the sign of x. */
static inline float edge_tanh(float x)
{
    uint32_t bits, sign;
    float t, e, y;
    memcpy(&bits, &x, sizeof bits);
    sign = bits & 0x80000000u;
    bits |= 0x80000000u; /* -|x| */
    memcpy(&t, &bits, sizeof t);
    t *= EDGE_TWO_LOG2_E;
    t = -EDGE_EXP2_LARGEST > t ? -EDGE_EXP2_LARGEST : t;
    e = edge_exp2(t);
    y = (1.0f - e) / (1.0f + e);
    memcpy(&bits, &y, sizeof bits);
    bits |= sign;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* 1 / (1 + e^-x). */
static inline float edge_sigmoid(float x)
{
    float t = x * -EDGE_LOG2_E;
    t = -EDGE_EXP2_LARGEST > t ? -EDGE_EXP2_LARGEST : t;
    t = EDGE_EXP2_LARGEST < t ? EDGE_EXP2_LARGEST : t;
    return 1.0f / (1.0f + edge_exp2(t));
}

#endif /* EDGE_FASTGRNN_MATH_H */
