/* The soft scan: the class of largest z.c by comparing all of them. */
#include "ordered.h"

void edge_coarse_tables(const edge_query *q, uint32_t n_bits, edge_soft_tables *tables) {
    uint32_t coarse[64];
    for (uint32_t bit = 0; bit < n_bits; bit++)
        coarse[bit] = (uint32_t)(q->weights[bit] >> EDGE_COARSE_SHIFT);
    edge_kernels_active()->soft_prepare(coarse, n_bits, tables);
}

/* A class that is likely near: the one met so far, or that at the least Hamming distance. */
static uint32_t likely(const edge_llc *file, const edge_query *q, const edge_ordered *answer) {
    uint32_t id = answer->id;
    if (id == EDGE_NONE && file->nearest) edge_mhd_decode(file, &q->word, 1, EDGE_MHD_TABLE, &id);
    return id;
}

/*
 * The kernels sum weights rounded down to 25 bits, so their cost is never above
 * the exact one: whoever could be best passes, and is then compared exactly.
 */
void edge_soft_scan(const edge_llc *file, const edge_query *q, edge_ordered *answer) {
    const edge_kernels *kernels = edge_kernels_active();
    edge_hit hits[1 + EDGE_KERNEL_STEP];
    edge_soft_tables tables;
    uint32_t limit = UINT32_MAX;
    uint64_t best = UINT64_MAX, best_id = likely(file, q, answer);
    const size_t n = (size_t)file->n;
    size_t at = 0;
    if (best_id != EDGE_NONE) {
        best = edge_cost_of(q, edge_code_at(file, best_id));
        limit = (uint32_t)(best >> EDGE_COARSE_SHIFT);
    }
    edge_coarse_tables(q, file->bits, &tables);
    while (at < n) {
        size_t n_hits = 0, first = 0;
        if (file->code_width == 4)
            at = kernels->soft_u32((const uint32_t *)(const void *)file->codes, at, n,
                                   (uint32_t)q->word, &tables, limit, hits, &n_hits, 1);
        else
            at = kernels->soft_u64((const uint64_t *)(const void *)file->codes, at, n, q->word,
                                   &tables, limit, hits, &n_hits, 1);
        if (n_hits == 0) break;
        /* The cheapest of the step bounds the rest of it. */
        for (size_t i = 1; i < n_hits; i++)
            if (hits[i].distance < hits[first].distance) first = i;
        for (size_t turn = 0; turn <= n_hits; turn++) {
            const edge_hit *hit = &hits[turn ? turn - 1 : first];
            if (hit->distance > limit || hit->id == best_id) continue;
            const uint64_t cost = edge_cost_of(q, edge_code_at(file, hit->id));
            if (cost < best || (cost == best && hit->id < best_id)) {
                best = cost;
                best_id = hit->id;
                limit = (uint32_t)(cost >> EDGE_COARSE_SHIFT);
            }
        }
    }
    answer->id = (uint32_t)best_id;
    answer->met = best_id == EDGE_NONE ? EDGE_MET_NONE : EDGE_MET_SOFT;
    answer->penalty = (double)best * q->unit;
}
