/*
 * One bit for many words: 0 says that none of them is a code.
 *
 * With as many bits as there are words it is exact. Otherwise a word's upper
 * bits, mixed, name its bit, and one word in sixteen or fewer is let through
 * although it is no code.
 */
#include "llc.h"

enum { BITS_A_CLASS = 16 };

static uint32_t filter_bits(uint32_t n, uint32_t bits) {
    uint32_t length = bits <= EDGE_NEAREST_MAX_BITS
                          ? bits
                          : edge_bit_length((uint64_t)n * BITS_A_CLASS - 1);
    if (length > bits) length = bits;
    return length < 3 ? 3 : length; /* whole bytes */
}

uint64_t edge_filter_bit(uint64_t word, uint32_t bits, uint32_t filter_bits) {
    if (filter_bits >= bits) return word;
    word = (word ^ word >> (bits + 1) / 2) * 0x9FB21C651E98DF25u;
    return (word ^ word >> 32) * 0xD6E8FEB86659FD93u >> (64 - filter_bits);
}

EDGE_SMALL size_t edge_filter_size(uint32_t n, uint32_t bits) {
    if (n == 0 || n > EDGE_MAX_CLASSES || bits == 0 || bits > 64) return 0;
    return (size_t)1 << (filter_bits(n, bits) - 3);
}

EDGE_SMALL
edge_status edge_filter_build(const uint64_t *codes, uint32_t n, uint32_t bits, uint8_t *section,
                              size_t capacity) {
    const size_t size = edge_filter_size(n, bits);
    if (!codes || !section || size == 0) return EDGE_ERR_ARGUMENT;
    if (!edge_words_fit(codes, n, bits)) return EDGE_ERR_WIDTH;
    if (capacity < size) return EDGE_ERR_CAPACITY;
    memset(section, 0, size);
    for (uint32_t id = 0; id < n; id++) {
        const uint64_t bit = edge_filter_bit(codes[id], bits, filter_bits(n, bits));
        section[bit >> 3] |= (uint8_t)(1u << (bit & 7));
    }
    return EDGE_OK;
}
