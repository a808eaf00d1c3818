/* Reading little-endian files in place, and a little arithmetic that everyone needs. */
#ifndef EDGE_BYTES_H
#define EDGE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the .llc file is mapped as it lies: little-endian hosts only"
#endif

static inline uint64_t edge_load64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t edge_load32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline void edge_store64(uint8_t *at, uint64_t value) { memcpy(at, &value, sizeof value); }

static inline void edge_store32(uint8_t *at, uint32_t value) { memcpy(at, &value, sizeof value); }

/* The words of `bits` bits, as a mask; bits in 1..64. */
static inline uint64_t edge_mask(uint32_t bits) { return UINT64_MAX >> (64 - bits); }

/* The bits that `value` takes; 0 for 0. */
static inline uint32_t edge_bit_length(uint64_t value) {
    uint32_t length = 0;
    for (; value; value >>= 1) length++;
    return length;
}

static inline uint32_t edge_popcount64(uint64_t x) {
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (uint32_t)(((x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}

/* `count` bits, at most 64, from bit `at` on; may read eight bytes beyond the first. */
static inline uint64_t edge_read_bits(const uint8_t *bytes, uint64_t at, uint32_t count,
                                      uint64_t mask) {
    const uint8_t *from = bytes + (at >> 3);
    const uint32_t shift = at & 7;
    uint64_t value = edge_load64(from) >> shift;
    if (count > 57) value |= (uint64_t)from[8] << 1 << (63 - shift);
    return value & mask;
}

/* Into bytes that were zero. */
static inline void edge_write_bits(uint8_t *bytes, uint64_t at, uint32_t count, uint64_t value) {
    for (uint32_t i = 0; i < count; i++, at++)
        if (value >> i & 1) bytes[at >> 3] |= (uint8_t)(1u << (at & 7));
}

static inline size_t edge_align(size_t value, size_t to) { return (value + to - 1) / to * to; }

static inline int edge_aligned(const void *pointer, size_t to) {
    return (uintptr_t)pointer % to == 0;
}

/* What is seldom run, such as building and opening files, is compiled for size. */
#if defined(__GNUC__)
#define EDGE_SMALL __attribute__((cold, noinline))
#else
#define EDGE_SMALL
#endif

#if defined(__GNUC__)
#define EDGE_PREFETCH(pointer) __builtin_prefetch(pointer)
#else
#define EDGE_PREFETCH(pointer) ((void)(pointer))
#endif

#endif /* EDGE_BYTES_H */
