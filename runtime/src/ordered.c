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
#include "kernels.h"
#include "llc.h"

enum {
    WEIGHT_BITS = 55,  /* the largest |z| is below 2^55: 64 of them stay below 2^61 */
    COARSE_SHIFT = 30, /* the kernels' weights have 25 bits: 64 of them stay below 2^32 */
    AUTO_LEAST = 64,
    AUTO_MAX = 16384,
    /* Picoseconds of a look-up, and of a code in the soft scan; see nearest.c on these figures. */
    LOOKUP_PS = 12000,
    SOFT_CODE_PS = 235
};

/* A query in integers: its signs, and what each bit costs to flip. */
typedef struct query {
    uint64_t word, mask;
    uint64_t weights[64];
    double unit;   /* what a weight of 1 is in scores */
    int any_free;  /* whether some bit costs nothing to flip */
} query;

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

static double power_of_two(int exponent) {
    const uint64_t bits = (uint64_t)(1023 + exponent) << 52;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Return 0 if a score is not finite: what was not before the calibration is not after it. */
static int query_read(const edge_llc *file, const float *scores, query *q) {
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
    q->unit = power_of_two((int)top - 126 - WEIGHT_BITS);
    return 1;
}

/* ---- the soft scan -------------------------------------------------------------- */

static uint64_t code_at(const edge_llc *file, uint64_t id) {
    return file->code_width == 4 ? edge_load32(file->codes + id * 4)
                                 : edge_load64(file->codes + id * 8);
}

static uint64_t cost_of(const query *q, uint64_t word) {
    uint64_t cost = 0;
    /* A file that lies about itself may have codes wider than its bits. */
    for (uint64_t flips = (word ^ q->word) & q->mask; flips; flips &= flips - 1) {
        /* The lowest set bit, as the count of bits below it. */
        cost += q->weights[edge_popcount64((flips & (0 - flips)) - 1)];
    }
    return cost;
}

/* A class that is likely near: the one met so far, or that at the least Hamming distance. */
static uint32_t likely(const edge_llc *file, const query *q, const edge_ordered *answer) {
    uint32_t id = answer->id;
    if (id == EDGE_NONE && file->nearest) edge_mhd_decode(file, &q->word, 1, EDGE_MHD_TABLE, &id);
    return id;
}

/*
 * The kernels sum weights rounded down to 25 bits, so their cost is never above
 * the exact one: whoever could be best passes, and is then compared exactly.
 */
static void soft_scan(const edge_llc *file, const query *q, edge_ordered *answer) {
    const edge_kernels *kernels = edge_kernels_active();
    edge_hit hits[1 + EDGE_KERNEL_STEP];
    edge_soft_tables tables;
    uint32_t coarse[64], limit = UINT32_MAX;
    uint64_t best = UINT64_MAX, best_id = likely(file, q, answer);
    const size_t n = (size_t)file->n;
    size_t at = 0;
    if (best_id != EDGE_NONE) {
        best = cost_of(q, code_at(file, best_id));
        limit = (uint32_t)(best >> COARSE_SHIFT);
    }
    for (uint32_t bit = 0; bit < file->bits; bit++)
        coarse[bit] = (uint32_t)(q->weights[bit] >> COARSE_SHIFT);
    kernels->soft_prepare(coarse, file->bits, &tables);
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
            const uint64_t cost = cost_of(q, code_at(file, hit->id));
            if (cost < best || (cost == best && hit->id < best_id)) {
                best = cost;
                best_id = hit->id;
                limit = (uint32_t)(cost >> COARSE_SHIFT);
            }
        }
    }
    answer->id = (uint32_t)best_id;
    answer->met = best_id == EDGE_NONE ? EDGE_MET_NONE : EDGE_MET_SOFT;
    answer->penalty = (double)best * q->unit;
}

/* ---- look-ups ----------------------------------------------------------------------- */

static uint32_t look_up(const edge_llc *file, uint64_t word) {
    if (file->filter) {
        const uint64_t bit = edge_filter_bit(word, file->bits, file->filter_bits);
        if (!(file->filter[bit >> 3] >> (bit & 7) & 1)) return EDGE_NONE;
    }
    return edge_exact_find(file, word);
}

/* The bits by rank, the one that costs least first; ranks are found when they are needed. */
typedef struct ranking {
    uint64_t keys[64]; /* weight << 6 | bit; in order up to n_ranked, the rest in none */
    uint32_t n_bits, n_ranked;
} ranking;

static void ranking_start(ranking *r, const query *q, uint32_t n_bits) {
    r->n_bits = n_bits;
    r->n_ranked = 0;
    r->keys[0] = 0; /* there is a bit at least, which a compiler can not see */
    for (uint32_t bit = 0; bit < n_bits; bit++) r->keys[bit] = q->weights[bit] << 6 | bit;
}

static void rank_next(ranking *r) {
    uint32_t least = r->n_ranked;
    for (uint32_t i = least + 1; i < r->n_bits; i++) least = r->keys[i] < r->keys[least] ? i : least;
    const uint64_t key = r->keys[least];
    r->keys[least] = r->keys[r->n_ranked];
    r->keys[r->n_ranked++] = key;
}

static uint64_t weight_of(ranking *r, uint32_t rank) {
    if (rank == r->n_ranked) rank_next(r);
    return r->keys[rank] >> 6;
}

static uint64_t flip_of(const ranking *r, uint32_t rank) {
    return (uint64_t)1 << (r->keys[rank] & 63);
}

/* ---- flips in the order of their cost --------------------------------------------- */

typedef struct pattern {
    uint64_t cost;
    uint64_t ranks; /* which bits flip, by rank */
    uint64_t word;  /* what is to be looked up */
} pattern;

typedef struct order {
    ranking bits;
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

static void order_start(order *o, const query *q, uint32_t n_bits, pattern *heap) {
    pattern p;
    ranking_start(&o->bits, q, n_bits);
    o->heap = heap;
    o->n_heap = 0;
    p.cost = weight_of(&o->bits, 0);
    p.ranks = 1;
    p.word = q->word ^ flip_of(&o->bits, 0);
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
    const uint64_t next = weight_of(&o->bits, last + 1), mark = (uint64_t)1 << (last + 1);
    pattern shifted, added;
    added.cost = p.cost + next;
    added.ranks = p.ranks | mark;
    added.word = p.word ^ flip_of(&o->bits, last + 1);
    shifted.cost = added.cost - weight_of(&o->bits, last);
    shifted.ranks = added.ranks ^ mark >> 1;
    shifted.word = added.word ^ flip_of(&o->bits, last);
    sift_down(o, shifted);
    sift_up(o, added);
    return p;
}

static int met(edge_ordered *answer, double penalty) {
    answer->met = EDGE_MET_ORDER;
    answer->penalty = penalty;
    return 1;
}

/* Nonzero if the answer is certain, down to the lowest id of equal costs. */
static int decode_ordered(const edge_llc *file, const query *q, uint32_t max_lookups,
                          pattern *heap, edge_ordered *answer) {
    uint64_t best = UINT64_MAX;
    order o;
    answer->lookups = 1;
    answer->id = look_up(file, q->word);
    if (answer->id != EDGE_NONE) {
        best = 0;
        if (!q->any_free) return met(answer, 0);
    }
    order_start(&o, q, file->bits, heap);
    /* Equals of the best, bits of weight 0 say, may have a lower id. */
    while (o.n_heap && o.heap[0].cost <= best && answer->lookups < max_lookups) {
        const pattern p = order_next(&o);
        const uint32_t id = look_up(file, p.word);
        answer->lookups++;
        if (id < answer->id) {
            answer->id = id;
            best = p.cost;
        }
    }
    if (answer->id == EDGE_NONE) return o.n_heap == 0;
    met(answer, (double)best * q->unit);
    return !o.n_heap || o.heap[0].cost > best;
}

/* ---- flips in levels of their cost -------------------------------------------------- */

/*
 * When only the answer counts, a strict order is not needed: all flips of a cost
 * in (below, upto] are tested depth first, without a heap, some four times
 * faster; whoever is met lowers `upto`. Bits are taken by rank, so a branch ends
 * at the first that costs too much.
 */
typedef struct levels {
    ranking bits;
    int64_t below, upto, best; /* `best` is the cost of who was met */
    uint32_t max_lookups;
} levels;

typedef struct branch {
    int64_t cost;
    uint64_t word;
    uint32_t next; /* the rank to flip next */
} branch;

static int64_t cost_at_rank(levels *l, uint32_t rank) {
    while (l->bits.n_ranked <= rank) rank_next(&l->bits);
    return (int64_t)(l->bits.keys[rank] >> 6);
}

/* Return 0 if the look-ups ran out. */
static int test_level(const edge_llc *file, const query *q, levels *l, edge_ordered *answer) {
    branch stack[65];
    branch *at = stack;
    at->cost = 0;
    at->word = q->word;
    at->next = 0;
    for (;;) {
        const uint32_t rank = at->next;
        const int64_t cost =
            rank < l->bits.n_bits ? at->cost + cost_at_rank(l, rank) : INT64_MAX;
        if (cost > l->upto) {
            if (at == stack) return 1;
            at--;
            continue;
        }
        const uint64_t word = at->word ^ flip_of(&l->bits, rank);
        at->next++;
        if (cost > l->below) {
            if (answer->lookups == l->max_lookups) return 0;
            answer->lookups++;
            const uint32_t id = look_up(file, word);
            if (id != EDGE_NONE && (cost < l->best || (cost == l->best && id < answer->id))) {
                answer->id = id;
                l->best = l->upto = cost;
            }
        }
        at++;
        at->cost = cost;
        at->word = word;
        at->next = rank + 1;
    }
}

/* Nonzero if the answer is certain. Levels end at the costs of single bits, ever farther apart. */
static int decode_levels(const edge_llc *file, const query *q, uint32_t max_lookups,
                         edge_ordered *answer) {
    const uint32_t n_bits = file->bits;
    int64_t total = 0;
    levels l;
    answer->lookups = 1;
    answer->id = look_up(file, q->word);
    if (answer->id != EDGE_NONE && !q->any_free) return met(answer, 0);
    if (max_lookups == 1) return 0;
    l.best = answer->id != EDGE_NONE ? 0 : INT64_MAX;
    l.upto = -1;
    l.max_lookups = max_lookups;
    ranking_start(&l.bits, q, n_bits);
    for (uint32_t bit = 0; bit < n_bits; bit++) total += (int64_t)q->weights[bit];
    for (uint32_t rank = 1, step = 2; l.upto < total && l.upto < l.best; rank += step++) {
        int64_t next = l.upto + l.upto / 4 + 1;
        l.below = l.upto;
        if (rank < n_bits)
            next = cost_at_rank(&l, rank);
        else if (next < cost_at_rank(&l, n_bits - 1))
            next = cost_at_rank(&l, n_bits - 1);
        if (next > total) next = total;
        l.upto = next < l.best ? next : l.best;
        if (l.upto > l.below && !test_level(file, q, &l, answer)) return 0;
    }
    return answer->id != EDGE_NONE && met(answer, (double)l.best * q->unit);
}

/* ---- decoding ----------------------------------------------------------------------- */

static void fall_back(const edge_llc *file, const query *q, edge_fallback fallback,
                      edge_ordered *answer) {
    if (fallback == EDGE_FALLBACK_SOFT) {
        soft_scan(file, q, answer);
    } else if (fallback == EDGE_FALLBACK_MHD && answer->id == EDGE_NONE) {
        edge_mhd_decode(file, &q->word, 1, EDGE_MHD_AUTO, &answer->id);
        if (answer->id == EDGE_NONE) return;
        answer->met = EDGE_MET_MHD;
        if (file->codes) answer->penalty = (double)cost_of(q, code_at(file, answer->id)) * q->unit;
    }
}

size_t edge_ord_workspace_size(uint32_t max_lookups) {
    if (max_lookups > EDGE_LOOKUPS_MAX) return 0;
    return ((size_t)max_lookups + 1) * sizeof(pattern);
}

uint32_t edge_ord_choose(const edge_llc *file) {
    if (!file || file->n == 0) return 1;
    /*
     * The chance to be met by the next look-up falls about as one over their
     * number, so it pays to go on until they cost what the scan does. Where that
     * is little, ranking the bits would already cost more than it can save.
     */
    const uint64_t lookups = file->n * SOFT_CODE_PS / LOOKUP_PS;
    return lookups < AUTO_LEAST ? 1 : (uint32_t)(lookups > AUTO_MAX ? (uint64_t)AUTO_MAX : lookups);
}

static edge_ordered nobody(void) {
    edge_ordered answer;
    answer.id = EDGE_NONE;
    answer.lookups = 0;
    answer.met = EDGE_MET_NONE;
    answer.penalty = power_of_two(1024); /* infinity */
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
    if (max_lookups > EDGE_LOOKUPS_MAX || (int)fallback < 0 || fallback > EDGE_FALLBACK_SOFT ||
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
        query q;
        answers[i] = nobody();
        if (!query_read(file, scores + i * file->bits, &q)) return EDGE_ERR_NOT_FINITE;
        if (file->n == 0) continue;
        const int certain =
            automatic ? decode_levels(file, &q, max_lookups, &answers[i])
                      : decode_ordered(file, &q, max_lookups, (pattern *)workspace, &answers[i]);
        if (!certain) fall_back(file, &q, fallback, &answers[i]);
    }
    return EDGE_OK;
}

edge_status edge_soft_decode(const edge_llc *file, const float *scores, size_t n_queries,
                             edge_ordered *answers) {
    const edge_status status = check(file, scores, n_queries, answers);
    if (status != EDGE_OK) return status;
    if (file->n && !file->codes) return EDGE_ERR_ABSENT;
    for (size_t i = 0; i < n_queries; i++) {
        query q;
        answers[i] = nobody();
        if (!query_read(file, scores + i * file->bits, &q)) return EDGE_ERR_NOT_FINITE;
        if (file->n) soft_scan(file, &q, &answers[i]);
    }
    return EDGE_OK;
}
