/*
 * The cosine of two vectors' prefixes, the same on every processor.
 *
 * Products of floats are exact in double precision, so it does not matter
 * whether they are fused with the addition; sums have an order of their own.
 */
#include "vectors.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

enum { LANES = 8 };

static double sum_of(const double *lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
           ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

double edge_dot(const float *a, const float *b, size_t dim, double *square) {
    double dots[LANES] = {0}, squares[LANES] = {0};
    float last_a[LANES] = {0}, last_b[LANES] = {0};
    for (size_t i = 0; i < dim; i += LANES, a += LANES, b += LANES) {
        if (dim - i < LANES) { /* the rest of a last step is zero */
            memcpy(last_a, a, (dim - i) * sizeof *a);
            memcpy(last_b, b, (dim - i) * sizeof *b);
            a = last_a;
            b = last_b;
        }
        for (size_t lane = 0; lane < LANES; lane++) {
            const double x = a[lane];
            dots[lane] += x * (double)b[lane];
            squares[lane] += x * x;
        }
    }
    *square = sum_of(squares);
    return sum_of(dots);
}

/* Newton's iteration from a guess within 3.5 %: the error is squared four times. */
double edge_inverse_root(double x) {
    uint64_t bits;
    double y;
    if (!(x > 1e-300 && x < 1e300)) return 0;
    memcpy(&bits, &x, sizeof bits);
    bits = UINT64_C(0x5fe6eb50c7b537a9) - (bits >> 1);
    memcpy(&y, &bits, sizeof y);
    for (int i = 0; i < 4; i++) {
        const double square = 0.5 * x * y;
        const double product = square * y;
        const double factor = 1.5 - product;
        y = y * factor;
    }
    return y;
}

uint32_t edge_distance_of(double cosine) {
    float score;
    uint32_t bits;
    if (!(cosine >= -2 && cosine <= 2)) return UINT32_MAX;
    score = (float)cosine;
    memcpy(&bits, &score, sizeof bits);
    if (bits == 0x80000000u) bits = 0; /* -0 is 0 */
    /* Ascending with the score, then turned round. */
    return ~(bits >> 31 ? ~bits : bits | 0x80000000u);
}

float edge_score_of(uint32_t distance) {
    uint32_t bits = ~distance;
    float score;
    bits = bits >> 31 ? bits & 0x7fffffffu : ~bits;
    if (distance == UINT32_MAX) bits = 0xff800000u; /* minus infinity */
    memcpy(&score, &bits, sizeof score);
    return score;
}
