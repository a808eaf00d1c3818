/* Bit scores as integers: rounded once, summed exactly, whatever the processor. */
#include "ordered.h"

enum { WEIGHT_BITS = 55 }; /* the largest |z| is below 2^55: 64 of them stay below 2^61 */

static uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float calibrated(const edge_llc *file, uint32_t bit, float score) {
    float slope, offset;
    if (!file->calibration) return score;
    memcpy(&slope, file->calibration + (size_t)bit * 4, 4);
    memcpy(&offset, file->calibration + ((size_t)file->bits + bit) * 4, 4);
    /* The product is exact in double: fused or not, the sum is rounded once. */
    return (float)((double)slope * (double)score + (double)offset);
}

double edge_power_of_two(int exponent) {
    const uint64_t bits = (uint64_t)(1023 + exponent) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

int edge_query_read(const edge_llc *file, const float *scores, edge_query *q) {
    uint32_t values[64], largest = 0;
    uint64_t word = 0;
    int any_free = 0;
    for (uint32_t bit = 0; bit < file->bits; bit++)
        values[bit] = float_bits(file->calibration ? calibrated(file, bit, scores[bit])
                                                   : scores[bit]);
    for (uint32_t bit = 0; bit < file->bits; bit++) {
        const uint32_t magnitude = values[bit] & 0x7fffffffu;
        largest = magnitude > largest ? magnitude : largest;
        word |= (uint64_t)(values[bit] <= 0x80000000u) << bit; /* sign(0) = +1, also of -0 */
    }
    if (largest >= 0x7f800000u) return 0;
    const uint32_t top = largest >> 23 > 1 ? largest >> 23 : 1;
    for (uint32_t bit = 0; bit < file->bits; bit++) {
        const uint32_t field = values[bit] >> 23 & 0xff, normal = field != 0;
        const uint64_t mantissa = (values[bit] & 0x7fffffu) | normal << 23;
        const uint32_t down = top - (normal ? field : 1);
        q->weights[bit] = mantissa << (WEIGHT_BITS - 24) >> (down < 63 ? down : 63);
        any_free |= q->weights[bit] == 0;
    }
    q->any_free = any_free;
    q->word = word;
    q->mask = edge_mask(file->bits);
    q->unit = edge_power_of_two((int)top - 126 - WEIGHT_BITS);
    return 1;
}

uint64_t edge_cost_of(const edge_query *q, uint64_t word) {
    uint64_t cost = 0;
    /* A file that lies about itself may have codes wider than its bits. */
    for (uint64_t flips = (word ^ q->word) & q->mask; flips; flips &= flips - 1) {
        /* The lowest set bit, as the count of bits below it. */
        cost += q->weights[edge_popcount64((flips & (0 - flips)) - 1)];
    }
    return cost;
}
