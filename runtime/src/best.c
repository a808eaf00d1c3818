/* The best of many hits, in time that depends on no input: by counting the bytes of their keys. */
#include "vectors.h"

uint32_t edge_keep_best(edge_hit *hits, size_t *n, size_t k) {
    uint32_t prefix = 0, mask = 0;
    size_t equals = k, kept = 0;
    if (*n <= k) return UINT32_MAX;
    /* The k-th smallest distance, from its highest byte on; `equals` of those at it are kept. */
    for (int shift = 24; shift >= 0; shift -= 8) {
        uint32_t counts[256], byte = 0;
        memset(counts, 0, sizeof counts);
        for (size_t i = 0; i < *n; i++)
            if ((hits[i].distance & mask) == prefix) counts[hits[i].distance >> shift & 255]++;
        while (equals > counts[byte]) equals -= counts[byte++];
        prefix |= byte << shift;
        mask |= (uint32_t)255 << shift;
    }
    for (size_t i = 0; i < *n; i++) {
        const uint32_t d = hits[i].distance;
        if (d > prefix || (d == prefix && equals == 0)) continue;
        if (d == prefix) equals--;
        hits[kept++] = hits[i];
    }
    *n = kept;
    return prefix;
}

static uint32_t byte_of(const edge_hit *hit, int by_id, uint32_t shift) {
    return (by_id ? (uint32_t)hit->id : hit->distance) >> shift & 255;
}

void edge_sort_hits(edge_hit *hits, size_t n, int by_id, edge_hit *spare) {
    for (uint32_t shift = 0; shift < 32; shift += 8) {
        size_t starts[257];
        edge_hit *from = shift % 16 ? spare : hits, *to = shift % 16 ? hits : spare;
        memset(starts, 0, sizeof starts);
        for (size_t i = 0; i < n; i++) starts[byte_of(&from[i], by_id, shift) + 1]++;
        for (size_t b = 1; b < 257; b++) starts[b] += starts[b - 1];
        for (size_t i = 0; i < n; i++) to[starts[byte_of(&from[i], by_id, shift)]++] = from[i];
    }
}
