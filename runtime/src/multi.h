/* The parts of codes that a MULTI section hashes (multi.c), for those who walk them. */
#ifndef EDGE_MULTI_H
#define EDGE_MULTI_H

#include "ordered.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edge_parts {
    uint32_t n_parts, part_bits, bits, n;
    const uint8_t *groups;
} edge_parts;

/* Read the geometry of a file's MULTI section, which edge_multi_parse has checked. */
void edge_parts_of(const edge_llc *file, edge_parts *p);

static inline uint64_t edge_parts_group_words(const edge_parts *p) {
    return ((uint64_t)1 << p->part_bits) + 1 + p->n;
}

static inline uint32_t edge_part_of(const edge_parts *p, uint64_t word, uint32_t part) {
    return (uint32_t)(word >> (part * p->part_bits) & edge_mask(p->part_bits));
}

/* Bits of a part; the last may have fewer. */
static inline uint32_t edge_part_length(const edge_parts *p, uint32_t part) {
    const uint32_t left = p->bits - part * p->part_bits;
    return left < p->part_bits ? left : p->part_bits;
}

/* The ids, uint32 each, of the classes whose part has this value: `count`, ascending. */
static inline const uint8_t *edge_parts_group(const edge_parts *p, uint32_t part, uint32_t value,
                                              uint32_t *count) {
    const uint8_t *offsets = p->groups + part * edge_parts_group_words(p) * sizeof(uint32_t);
    const uint8_t *ids = offsets + (((uint64_t)1 << p->part_bits) + 1) * sizeof(uint32_t);
    const uint32_t begin = edge_load32(offsets + (size_t)value * 4);
    *count = edge_load32(offsets + (size_t)value * 4 + 4) - begin;
    return ids + (size_t)begin * 4;
}

/* Ask the cache for what edge_parts_group will read first. */
static inline void edge_parts_prefetch(const edge_parts *p, uint32_t part, uint32_t value) {
    EDGE_PREFETCH(p->groups +
                  (part * edge_parts_group_words(p) + value) * sizeof(uint32_t));
}

#ifdef __cplusplus
}
#endif

#endif /* EDGE_MULTI_H */
