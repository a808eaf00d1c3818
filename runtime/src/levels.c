/*
 * ORD when only the answer counts: flips in levels of their cost, not in order.
 *
 * All flips of a cost in (below, upto] are visited depth first, without a heap
 * to keep; whoever is met lowers `upto`. Bits
 * are taken by rank, so a branch ends at the first that costs too much.
 *
 * Where that runs long, the same by parts (the pigeonhole of multi-index hashing,
 * Norouzi et al. 2012, on weights): a code of which no part costs t or less costs
 * more than t in each of its m parts, so once every part has been visited up to t,
 * whoever costs less than m (t + 1) is known. Half of the bits have about the
 * square root of the flips.
 */
#include "kernels.h"
#include "multi.h"
#include "ordered.h"

typedef struct branch {
    int64_t cost;
    uint64_t word;
    uint32_t next; /* the rank to flip next */
} branch;

/* A walk over the flips of a word, or of one of its parts. */
typedef struct walk {
    edge_ranking bits;
    uint64_t start;
    int64_t below, upto;
    branch stack[65];
    branch *at; /* NULL between levels */
} walk;

static int64_t cost_at_rank(walk *w, uint32_t rank) {
    while (w->bits.n_ranked <= rank) edge_rank_next(&w->bits);
    return (int64_t)(w->bits.keys[rank] >> 6);
}

/* The next flips of the level: their cost, and the word; 0 when there are no more. */
static int walk_next(walk *w, int64_t *cost, uint64_t *word) {
    if (!w->at) {
        w->at = w->stack;
        w->at->cost = 0;
        w->at->word = w->start;
        w->at->next = 0;
    }
    for (;;) {
        const uint32_t rank = w->at->next;
        *cost = rank < w->bits.n_bits ? w->at->cost + cost_at_rank(w, rank) : INT64_MAX;
        if (*cost > w->upto) {
            if (w->at == w->stack) break;
            w->at--;
            continue;
        }
        *word = w->at->word ^ edge_rank_flip(&w->bits, rank);
        w->at->next++;
        w->at++;
        w->at->cost = *cost;
        w->at->word = *word;
        w->at->next = rank + 1;
        if (*cost > w->below) return 1;
    }
    w->at = NULL;
    return 0;
}

/* Levels end at the costs of single bits, ever farther apart, and then grow by a quarter. */
static int64_t next_level(walk *w, uint32_t rank, int64_t level) {
    const int64_t grown = level + level / 4 + 1;
    if (rank < w->bits.n_bits) return cost_at_rank(w, rank);
    const int64_t last = cost_at_rank(w, w->bits.n_bits - 1);
    return grown > last ? grown : last;
}

static int64_t total_of(const edge_query *q, uint32_t n_bits) {
    int64_t total = 0;
    for (uint32_t bit = 0; bit < n_bits; bit++) total += (int64_t)q->weights[bit];
    return total;
}

int edge_levels_decode(const edge_llc *file, const edge_query *q, uint32_t max_lookups,
                       edge_ordered *answer) {
    int64_t best, cost;
    uint64_t word;
    walk w;
    answer->lookups = 1;
    answer->id = edge_look_up(file, q->word);
    if (answer->id != EDGE_NONE && !q->any_free) return edge_met_order(answer, 0);
    if (max_lookups == 1) return 0;
    best = answer->id != EDGE_NONE ? 0 : INT64_MAX;
    edge_ranking_start(&w.bits, q->weights, file->bits);
    w.start = q->word;
    w.upto = -1;
    w.at = NULL;
    const int64_t total = total_of(q, file->bits);
    for (uint32_t rank = 1, step = 2; w.upto < total && w.upto < best; rank += step++) {
        const int64_t level = next_level(&w, rank, w.upto);
        w.below = w.upto;
        w.upto = level < best ? level : best;
        while (walk_next(&w, &cost, &word)) {
            if (answer->lookups == max_lookups) return 0;
            answer->lookups++;
            const uint32_t id = edge_look_up(file, word);
            if (id != EDGE_NONE && (cost < best || (cost == best && id < answer->id))) {
                answer->id = id;
                best = w.upto = cost;
            }
        }
    }
    return answer->id != EDGE_NONE && edge_met_order(answer, (double)best * q->unit);
}

/* ---- by parts ------------------------------------------------------------------------ */

enum {
    MAX_PARTS = 8,
    MAX_GROUPS = 64,
    MAX_IDS = 128,
    SHARE_OF_SCAN = 24 /* a class met in a part costs as much as so many in the scan */
};

/* The classes one of whose parts has a value. */
typedef struct group {
    const uint8_t *ids;
    uint32_t count, part, value;
} group;

typedef struct search {
    const edge_llc *file;
    const edge_query *q;
    const edge_soft_tables *tables;
    uint64_t best;
    uint32_t id, limit; /* limit: of the coarse cost, as in the soft scan */
    uint64_t left;      /* classes that may still be met */
    uint32_t n_groups;
    group groups[MAX_GROUPS];
    uint32_t ids[MAX_IDS];
} search;

/* Eight nibbles at once, without a loop to leave; bits beyond the code's cost nothing. */
static uint32_t cost_of_32(const uint32_t (*nibble)[16], uint32_t x) {
    return ((nibble[0][x & 15] + nibble[1][x >> 4 & 15]) +
            (nibble[2][x >> 8 & 15] + nibble[3][x >> 12 & 15])) +
           ((nibble[4][x >> 16 & 15] + nibble[5][x >> 20 & 15]) +
            (nibble[6][x >> 24 & 15] + nibble[7][x >> 28]));
}

static uint32_t coarse_cost(const search *s, uint64_t flips) {
    const uint32_t low = cost_of_32(s->tables->nibble, (uint32_t)flips);
    if (s->file->bits <= 32) return low;
    return low + cost_of_32(s->tables->nibble + 8, (uint32_t)(flips >> 32));
}

/* Compare a class, whose code is at hand. */
static void meet(search *s, uint32_t id) {
    const uint64_t code = edge_code_at(s->file, id);
    if (coarse_cost(s, (code ^ s->q->word) & s->q->mask) > s->limit) return;
    const uint64_t cost = edge_cost_of(s->q, code);
    if (cost < s->best || (cost == s->best && id < s->id)) {
        s->best = cost;
        s->id = id;
        s->limit = (uint32_t)(cost >> EDGE_COARSE_SHIFT);
    }
}

/*
 * Meet the classes of all groups that were collected. What one look needs is
 * asked of the cache for all of them before the first is taken: group, ids, code.
 * Return 0 if too many were met.
 */
static int meet_all(search *s, const edge_parts *parts) {
    const uint32_t n_groups = s->n_groups;
    uint32_t n_ids = 0;
    s->n_groups = 0;
    for (uint32_t g = 0; g < n_groups; g++) {
        group *one = &s->groups[g];
        one->ids = edge_parts_group(parts, one->part, one->value, &one->count);
        EDGE_PREFETCH(one->ids);
        if (one->count > s->left) return 0;
        s->left -= one->count;
    }
    for (uint32_t g = 0; g < n_groups; g++)
        for (uint32_t i = 0; i < s->groups[g].count; i++) {
            const uint32_t id = edge_load32(s->groups[g].ids + (size_t)i * 4);
            if (id >= s->file->n) continue;
            EDGE_PREFETCH(s->file->codes + (size_t)id * s->file->code_width);
            s->ids[n_ids++] = id;
            if (n_ids < MAX_IDS) continue;
            for (uint32_t k = 0; k < n_ids; k++) meet(s, s->ids[k]);
            n_ids = 0;
        }
    for (uint32_t k = 0; k < n_ids; k++) meet(s, s->ids[k]);
    return 1;
}

static int collect(search *s, const edge_parts *parts, uint32_t part, uint32_t value) {
    group *one = &s->groups[s->n_groups++];
    one->part = part;
    one->value = value;
    edge_parts_prefetch(parts, part, value);
    return s->n_groups < MAX_GROUPS || meet_all(s, parts);
}

static int visit_level(search *s, const edge_parts *parts, walk *walks, int64_t below,
                       int64_t upto) {
    for (uint32_t part = 0; part < parts->n_parts; part++) {
        walk *w = &walks[part];
        int64_t cost;
        uint64_t value;
        w->below = below;
        w->upto = upto;
        w->at = NULL;
        if (below < 0 && !collect(s, parts, part, (uint32_t)w->start)) return 0;
        while (walk_next(w, &cost, &value))
            if (!collect(s, parts, part, (uint32_t)value)) return 0;
    }
    return meet_all(s, parts);
}

int edge_levels_decode_parts(const edge_llc *file, const edge_query *q, edge_ordered *answer) {
    walk walks[MAX_PARTS];
    edge_soft_tables tables;
    edge_parts parts;
    search s;
    edge_parts_of(file, &parts);
    edge_coarse_tables(q, file->bits, &tables);
    s.file = file;
    s.q = q;
    s.tables = &tables;
    s.id = answer->id;
    s.best = s.id == EDGE_NONE ? UINT64_MAX : edge_cost_of(q, edge_code_at(file, s.id));
    s.limit = s.id == EDGE_NONE ? UINT32_MAX : (uint32_t)(s.best >> EDGE_COARSE_SHIFT);
    s.left = file->n / SHARE_OF_SCAN;
    s.n_groups = 0;
    for (uint32_t part = 0; part < parts.n_parts; part++) {
        const uint32_t begin = part * parts.part_bits;
        walks[part].start = edge_part_of(&parts, q->word, part);
        edge_ranking_start(&walks[part].bits, q->weights + begin,
                           edge_part_length(&parts, part));
    }
    const int64_t total = total_of(q, file->bits);
    int64_t level = -1;
    for (uint32_t rank = 1; level < total; rank += 2) {
        /* Unvisited classes cost more than `level` in every part. */
        const uint64_t proven = (uint64_t)(level + 1) * parts.n_parts;
        if (s.id != EDGE_NONE && s.best < proven) break;
        const int64_t below = level;
        level = INT64_MAX;
        for (uint32_t part = 0; part < parts.n_parts; part++) {
            const int64_t of_part = next_level(&walks[part], rank, below);
            if (of_part < level) level = of_part;
        }
        if (s.id != EDGE_NONE && (uint64_t)level > s.best / parts.n_parts)
            level = (int64_t)(s.best / parts.n_parts); /* which is enough */
        if (level <= below) continue;
        if (!visit_level(&s, &parts, walks, below, level)) {
            answer->id = s.id;
            return 0;
        }
    }
    answer->id = s.id;
    answer->met = s.id == EDGE_NONE ? EDGE_MET_NONE : EDGE_MET_SOFT;
    answer->penalty = (double)s.best * q->unit;
    return s.id != EDGE_NONE;
}
