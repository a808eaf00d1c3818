/*
 * What the ways to decode bit scores share: the query in integers, the ranking
 * of its bits, the look-up. Sums are exact, so all ways give the same answer.
 */
#ifndef EDGE_ORDERED_H
#define EDGE_ORDERED_H

#include "kernels.h"
#include "llc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A query in integers: its signs, and what each bit costs to flip. */
typedef struct edge_query {
    uint64_t word, mask;
    uint64_t weights[64];
    double unit;   /* what a weight of 1 is in scores */
    int any_free;  /* whether some bit costs nothing to flip */
} edge_query;

/* Read a query's scores; 0 if one is not finite, before or after the calibration. */
int edge_query_read(const edge_llc *file, const float *scores, edge_query *q);
/* What it costs to be `word`: the weights of the bits in which it differs from the signs. */
uint64_t edge_cost_of(const edge_query *q, uint64_t word);
/* A power of two that a double holds; 1024 gives infinity. */
double edge_power_of_two(int exponent);

/* The kernels' weights have 25 bits, so that 64 of them stay below 2^32. */
enum { EDGE_COARSE_SHIFT = 30 };
/* Tabulate the weights, rounded down to 25 bits: sums are never above the exact ones. */
void edge_coarse_tables(const edge_query *q, uint32_t n_bits, edge_soft_tables *tables);

/* Compare every class. `answer->id` may hold a class already met, which bounds the scan. */
void edge_soft_scan(const edge_llc *file, const edge_query *q, edge_ordered *answer);
/* Look-ups by levels of cost; nonzero if the answer is certain (levels.c). */
int edge_levels_decode(const edge_llc *file, const edge_query *q, uint32_t max_lookups,
                       edge_ordered *answer);
/* Parts of the codes by levels of cost; nonzero if the answer is certain. Needs MULTI, CODES. */
int edge_levels_decode_parts(const edge_llc *file, const edge_query *q, edge_ordered *answer);

static inline uint32_t edge_look_up(const edge_llc *file, uint64_t word) {
    if (file->filter) {
        const uint64_t bit = edge_filter_bit(word, file->bits, file->filter_bits);
        if (!(file->filter[bit >> 3] >> (bit & 7) & 1)) return EDGE_NONE;
    }
    return edge_exact_find(file, word);
}

/* The bits by rank, the one that costs least first; ranks are found when they are needed. */
typedef struct edge_ranking {
    uint64_t keys[64]; /* weight << 6 | bit; in order up to n_ranked, the rest in none */
    uint32_t n_bits, n_ranked;
} edge_ranking;

static inline void edge_ranking_start(edge_ranking *r, const uint64_t *weights, uint32_t n_bits) {
    r->n_bits = n_bits;
    r->n_ranked = 0;
    r->keys[0] = 0; /* there is a bit at least, which a compiler can not see */
    for (uint32_t bit = 0; bit < n_bits; bit++) r->keys[bit] = weights[bit] << 6 | bit;
}

static inline void edge_rank_next(edge_ranking *r) {
    uint32_t least = r->n_ranked;
    for (uint32_t i = least + 1; i < r->n_bits; i++)
        least = r->keys[i] < r->keys[least] ? i : least;
    const uint64_t key = r->keys[least];
    r->keys[least] = r->keys[r->n_ranked];
    r->keys[r->n_ranked++] = key;
}

static inline uint64_t edge_rank_weight(edge_ranking *r, uint32_t rank) {
    if (rank == r->n_ranked) edge_rank_next(r);
    return r->keys[rank] >> 6;
}

static inline uint64_t edge_rank_flip(const edge_ranking *r, uint32_t rank) {
    return (uint64_t)1 << (r->keys[rank] & 63);
}

static inline int edge_met_order(edge_ordered *answer, double penalty) {
    answer->met = EDGE_MET_ORDER;
    answer->penalty = penalty;
    return 1;
}

#ifdef __cplusplus
}
#endif

#endif /* EDGE_ORDERED_H */
