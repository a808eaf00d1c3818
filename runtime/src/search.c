/*
 * The nearest k of all codes, by scanning: at the speed of memory for one query,
 * and many queries over a tile of codes that stays in the cache.
 *
 * Codes come in ascending order, so a later code at the distance of the k-th
 * best loses the tie: candidates are only those strictly nearer than it.
 */
#include "kernels.h"
#include "llc.h"

enum {
    TILE_BYTES = 1 << 18,  /* fits a second-level cache beside the candidates */
    QUERIES_AT_ONCE = 16,
    MAX_K = EDGE_SEARCH_MAX_K,
    MAX_BITS = 256
};

/* Candidates of one query: up to `want` of them are kept between cuts. */
typedef struct gathering {
    edge_hit *hits;
    size_t n, want;
    uint32_t limit;
} gathering;

/*
 * Candidates after which to cut. Once k are found few are nearer: cut soon, so
 * that the limit follows, yet not at each of them.
 */
static size_t want_for(size_t k) { return k + k / 4 + 1; }
static size_t room_for(size_t k) { return want_for(k) + EDGE_KERNEL_STEP; }

size_t edge_search_workspace_size(size_t n_queries, size_t k) {
    if (k == 0 || k > MAX_K) return 0;
    const size_t at_once = n_queries < QUERIES_AT_ONCE ? n_queries : (size_t)QUERIES_AT_ONCE;
    return at_once * room_for(k) * sizeof(edge_hit);
}

/* Keep the k best, in the order they came; the limit is the distance of the k-th. */
static void cut(gathering *g, size_t k) {
    uint32_t counts[MAX_BITS + 2];
    uint32_t distance = 0;
    size_t below = 0, kept = 0, equals;
    if (g->n <= k) return;
    memset(counts, 0, sizeof counts);
    for (size_t i = 0; i < g->n; i++) counts[g->hits[i].distance]++;
    while (below + counts[distance] < k) below += counts[distance++];
    equals = k - below;
    for (size_t i = 0; i < g->n; i++) {
        const uint32_t d = g->hits[i].distance;
        if (d < distance || (d == distance && equals != 0)) {
            if (d == distance) equals--;
            g->hits[kept++] = g->hits[i];
        }
    }
    g->n = kept;
    g->limit = distance;
}

/* Order by distance, keeping the order of ids within one: a counting sort. */
static void sort_into(const gathering *g, edge_hit *out) {
    size_t starts[MAX_BITS + 2];
    memset(starts, 0, sizeof starts);
    for (size_t i = 0; i < g->n; i++) starts[g->hits[i].distance + 1]++;
    for (size_t d = 1; d < MAX_BITS + 2; d++) starts[d] += starts[d - 1];
    for (size_t i = 0; i < g->n; i++) out[starts[g->hits[i].distance]++] = g->hits[i];
}

static size_t step(const edge_llc *file, const edge_kernels *kernels, const uint64_t *query,
                   size_t at, size_t end, gathering *g) {
    const void *codes = file->codes;
    if (file->code_width == 4)
        return kernels->hamming_u32((const uint32_t *)codes, at, end, (uint32_t)query[0], g->limit,
                                    g->hits, &g->n, g->want);
    if (file->code_width == 8)
        return kernels->hamming_u64((const uint64_t *)codes, at, end, query[0], g->limit, g->hits,
                                    &g->n, g->want);
    return kernels->hamming_words((const uint64_t *)codes, file->code_width / 8, at, end, query,
                                  g->limit, g->hits, &g->n, g->want);
}

static void scan_tile(const edge_llc *file, const edge_kernels *kernels, const uint64_t *query,
                      size_t at, size_t end, size_t k, gathering *g) {
    while (at < end) {
        at = step(file, kernels, query, at, end, g);
        if (g->n >= g->want) cut(g, k);
    }
}

static void search_some(const edge_llc *file, const uint64_t *queries, size_t n_queries, size_t k,
                        size_t begin, size_t end, edge_hit *hits, edge_hit *workspace) {
    const edge_kernels *kernels = edge_kernels_active();
    const size_t words = file->code_width <= 8 ? 1 : file->code_width / 8;
    /* One query has nothing to share, so no reason to stop. */
    const size_t tile = n_queries == 1 ? end - begin : (size_t)TILE_BYTES / file->code_width;
    gathering all[QUERIES_AT_ONCE];
    for (size_t q = 0; q < n_queries; q++) {
        all[q].hits = workspace + q * room_for(k);
        all[q].n = 0;
        all[q].want = want_for(k);
        /* Farther than any stored bytes, also those of a file that lies about its bits. */
        all[q].limit = file->code_width * 8 + 1;
    }
    for (size_t at = begin; at < end;) {
        const size_t stop = end - at < tile ? end : at + tile;
        for (size_t q = 0; q < n_queries; q++)
            scan_tile(file, kernels, queries + q * words, at, stop, k, &all[q]);
        at = stop;
    }
    for (size_t q = 0; q < n_queries; q++) {
        cut(&all[q], k);
        sort_into(&all[q], hits + q * k);
    }
}

edge_status edge_search(const edge_llc *file, const uint64_t *queries, size_t n_queries, size_t k,
                        uint64_t begin, uint64_t end, edge_hit *hits, void *workspace,
                        size_t workspace_size) {
    if (!file || ((!queries || !hits || !workspace) && n_queries) || k > MAX_K || begin > end ||
        end > file->n || (workspace && !edge_aligned(workspace, 8)))
        return EDGE_ERR_ARGUMENT;
    if (k == 0 || begin == end || n_queries == 0) return EDGE_OK;
    if (!file->codes) return EDGE_ERR_ABSENT;
    if (file->bits <= 64 && !edge_words_fit(queries, n_queries, file->bits)) return EDGE_ERR_WIDTH;
    if (workspace_size < edge_search_workspace_size(n_queries, k)) return EDGE_ERR_CAPACITY;
    const size_t words = file->code_width <= 8 ? 1 : file->code_width / 8;
    for (size_t q = 0; q < n_queries; q += QUERIES_AT_ONCE) {
        const size_t count =
            n_queries - q < QUERIES_AT_ONCE ? n_queries - q : (size_t)QUERIES_AT_ONCE;
        search_some(file, queries + q * words, count, k, (size_t)begin, (size_t)end, hits + q * k,
                    (edge_hit *)workspace);
    }
    return EDGE_OK;
}
