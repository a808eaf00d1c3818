/*
 * ORD: decoding by ordered reliability, from real-valued bit scores.
 *
 * The class c in ±1 of largest z.c is the one whose code differs from sign(z)
 * in bits of least total |z|. So flips of sign(z) are tested in the order of
 * that total (Solomon, Duffy & Médard, "Soft maximum likelihood decoding using
 * GRAND", ICC 2020); each test is a look-up, and the first class met is the
 * answer. All sums are integers, so the order does not depend on rounding, and
 * the scan of all classes gives the same answer to the last tie.
 */
#include "ordered.h"

enum {
    AUTO_LEAST = 64,
    AUTO_MAX = 16384,
    /* Picoseconds of a look-up, and of a code in the soft scan; see nearest.c on these figures. */
    LOOKUP_PS = 60000, /* with the chance that it is the last: a quarter of that alone */
    SOFT_CODE_PS = 235
};

/* ---- flips in the order of their cost --------------------------------------------- */

typedef struct pattern {
    uint64_t cost;
    uint64_t ranks; /* which bits flip, by rank */
    uint64_t word;  /* what is to be looked up */
} pattern;

typedef struct order {
    edge_ranking bits;
    pattern *heap;
    uint32_t n_heap;
} order;

static int before(const pattern *a, const pattern *b) {
    return a->cost < b->cost || (a->cost == b->cost && a->ranks < b->ranks);
}

static void sift_up(order *o, pattern p) {
    uint32_t at = o->n_heap++;
    while (at && before(&p, &o->heap[(at - 1) / 2])) {
        o->heap[at] = o->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    o->heap[at] = p;
}

static void sift_down(order *o, pattern p) {
    uint32_t at = 0, child;
    while ((child = 2 * at + 1) < o->n_heap) {
        if (child + 1 < o->n_heap && before(&o->heap[child + 1], &o->heap[child])) child++;
        if (!before(&o->heap[child], &p)) break;
        o->heap[at] = o->heap[child];
        at = child;
    }
    o->heap[at] = p;
}

static void order_start(order *o, const edge_query *q, uint32_t n_bits, pattern *heap) {
    pattern p;
    edge_ranking_start(&o->bits, q->weights, n_bits);
    o->heap = heap;
    o->n_heap = 0;
    p.cost = edge_rank_weight(&o->bits, 0);
    p.ranks = 1;
    p.word = q->word ^ edge_rank_flip(&o->bits, 0);
    sift_up(o, p);
}

static uint32_t top_rank(uint64_t ranks) {
#if defined(__GNUC__)
    return 63u - (uint32_t)__builtin_clzll(ranks);
#else
    return edge_bit_length(ranks) - 1;
#endif
}

/*
 * Take the cheapest pattern out and put its two successors in: the last flip
 * moved on by one rank, and one more flip after it. Each set of flips has one
 * predecessor, which comes before it, so all come once and in order.
 */
static pattern order_next(order *o) {
    const pattern p = o->heap[0];
    const uint32_t last = top_rank(p.ranks);
    if (last + 1 == o->bits.n_bits) {
        const pattern moved = o->heap[--o->n_heap];
        if (o->n_heap) sift_down(o, moved);
        return p;
    }
    const uint64_t next = edge_rank_weight(&o->bits, last + 1), mark = (uint64_t)1 << (last + 1);
    pattern shifted, added;
    added.cost = p.cost + next;
    added.ranks = p.ranks | mark;
    added.word = p.word ^ edge_rank_flip(&o->bits, last + 1);
    shifted.cost = added.cost - edge_rank_weight(&o->bits, last);
    shifted.ranks = added.ranks ^ mark >> 1;
    shifted.word = added.word ^ edge_rank_flip(&o->bits, last);
    sift_down(o, shifted);
    sift_up(o, added);
    return p;
}

/* Nonzero if the answer is certain, down to the lowest id of equal costs. */
static int decode_ordered(const edge_llc *file, const edge_query *q, uint32_t max_lookups,
                          pattern *heap, edge_ordered *answer) {
    uint64_t best = UINT64_MAX;
    order o;
    answer->lookups = 1;
    answer->id = edge_look_up(file, q->word);
    if (answer->id != EDGE_NONE) {
        best = 0;
        if (!q->any_free) return edge_met_order(answer, 0);
    }
    order_start(&o, q, file->bits, heap);
    /* Equals of the best, bits of weight 0 say, may have a lower id. */
    while (o.n_heap && o.heap[0].cost <= best && answer->lookups < max_lookups) {
        const pattern p = order_next(&o);
        const uint32_t id = edge_look_up(file, p.word);
        answer->lookups++;
        if (id < answer->id) {
            answer->id = id;
            best = p.cost;
        }
    }
    if (answer->id == EDGE_NONE) return o.n_heap == 0;
    edge_met_order(answer, (double)best * q->unit);
    return !o.n_heap || o.heap[0].cost > best;
}

/* ---- decoding ----------------------------------------------------------------------- */

static void fall_back(const edge_llc *file, const edge_query *q, edge_fallback fallback,
                      edge_ordered *answer) {
    if (fallback == EDGE_FALLBACK_SOFT) {
        edge_soft_scan(file, q, answer);
    } else if (fallback == EDGE_FALLBACK_MHD && answer->id == EDGE_NONE) {
        edge_mhd_decode(file, &q->word, 1, EDGE_MHD_AUTO, &answer->id);
        if (answer->id == EDGE_NONE) return;
        answer->met = EDGE_MET_MHD;
        if (file->codes) {
            const uint64_t cost = edge_cost_of(q, edge_code_at(file, answer->id));
            answer->penalty = (double)cost * q->unit;
        }
    }
}

size_t edge_ord_workspace_size(uint32_t max_lookups) {
    if (max_lookups > EDGE_LOOKUPS_MAX) return 0;
    return ((size_t)max_lookups + 1) * sizeof(pattern);
}

uint32_t edge_ord_choose(const edge_llc *file) {
    if (!file || file->n == 0) return 1;
    /* A search by parts is so much faster than the scan that only the exact match comes first. */
    if (file->multi) return 1;
    /*
     * The chance to be met by the next look-up falls about as one over their
     * number, so it pays to go on until they cost a part of what the scan does.
     * Where that is little, ranking the bits would already cost more.
     */
    const uint64_t lookups = file->n * SOFT_CODE_PS / LOOKUP_PS;
    return lookups < AUTO_LEAST ? 1 : (uint32_t)(lookups > AUTO_MAX ? (uint64_t)AUTO_MAX : lookups);
}

static edge_ordered nobody(void) {
    edge_ordered answer;
    answer.id = EDGE_NONE;
    answer.lookups = 0;
    answer.met = EDGE_MET_NONE;
    answer.penalty = edge_power_of_two(1024); /* infinity */
    return answer;
}

static edge_status check(const edge_llc *file, const float *scores, size_t n_queries,
                         const edge_ordered *answers) {
    if (!file || ((!scores || !answers) && n_queries) || file->kind != EDGE_KIND_CLASSES)
        return EDGE_ERR_ARGUMENT;
    return EDGE_OK;
}

edge_status edge_ord_decode(const edge_llc *file, const float *scores, size_t n_queries,
                            uint32_t max_lookups, edge_fallback fallback, void *workspace,
                            size_t workspace_size, edge_ordered *answers) {
    const edge_status status = check(file, scores, n_queries, answers);
    if (status != EDGE_OK) return status;
    if (max_lookups > EDGE_LOOKUPS_MAX || (unsigned)fallback > EDGE_FALLBACK_SOFT ||
        !workspace || !edge_aligned(workspace, 8))
        return EDGE_ERR_ARGUMENT;
    if (workspace_size < edge_ord_workspace_size(max_lookups)) return EDGE_ERR_CAPACITY;
    const int automatic = max_lookups == EDGE_LOOKUPS_AUTO;
    if (automatic) {
        max_lookups = edge_ord_choose(file);
        fallback = EDGE_FALLBACK_SOFT;
    }
    if (file->n && (!file->exact || (fallback == EDGE_FALLBACK_SOFT && !file->codes) ||
                    (fallback == EDGE_FALLBACK_MHD && !file->codes && !file->nearest)))
        return EDGE_ERR_ABSENT;
    for (size_t i = 0; i < n_queries; i++) {
        edge_query q;
        answers[i] = nobody();
        if (!edge_query_read(file, scores + i * file->bits, &q)) return EDGE_ERR_NOT_FINITE;
        if (file->n == 0) continue;
        const int certain =
            automatic ? edge_levels_decode(file, &q, max_lookups, &answers[i])
                      : decode_ordered(file, &q, max_lookups, (pattern *)workspace, &answers[i]);
        if (certain || (automatic && file->multi && file->codes &&
                        edge_levels_decode_parts(file, &q, &answers[i])))
            continue;
        fall_back(file, &q, fallback, &answers[i]);
    }
    return EDGE_OK;
}

edge_status edge_soft_decode(const edge_llc *file, const float *scores, size_t n_queries,
                             edge_ordered *answers) {
    const edge_status status = check(file, scores, n_queries, answers);
    if (status != EDGE_OK) return status;
    if (file->n && !file->codes) return EDGE_ERR_ABSENT;
    for (size_t i = 0; i < n_queries; i++) {
        edge_query q;
        answers[i] = nobody();
        if (!edge_query_read(file, scores + i * file->bits, &q)) return EDGE_ERR_NOT_FINITE;
        if (file->n) edge_soft_scan(file, &q, &answers[i]);
    }
    return EDGE_OK;
}
