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
uint32_t edge_part_of(const edge_parts *p, uint64_t word, uint32_t part);
/* Bits of a part; the last may have fewer. */
uint32_t edge_part_length(const edge_parts *p, uint32_t part);
/* The ids, uint32 each, of the classes whose part has this value: `count` of them, ascending. */
const uint8_t *edge_parts_group(const edge_parts *p, uint32_t part, uint32_t value,
                                uint32_t *count);

/* Ask the cache for what edge_parts_group will read first. */
void edge_parts_prefetch(const edge_parts *p, uint32_t part, uint32_t value);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_MULTI_H */
