/* How kernels write their hits down. */
#ifndef EDGE_KERNELS_APPEND_H
#define EDGE_KERNELS_APPEND_H

#include "kernels.h"

#if defined(__GNUC__)

/*
 * Append a hit for every set bit b of `which`: id + b, at distances[b]. Return
 * the new number of hits. 32 bits, for 32-bit ARM has no instruction for more.
 */
static inline size_t edge_append(edge_hit *hits, size_t n, size_t id, const uint32_t *distances,
                                 uint32_t which)
{
    while (which != 0) {
        const unsigned int b = (unsigned int)__builtin_ctz(which);
        hits[n].id = (uint64_t)id + b;
        hits[n].distance = distances[b];
        n++;
        which &= which - 1;
    }
    return n;
}

#endif
#endif /* EDGE_KERNELS_APPEND_H */
