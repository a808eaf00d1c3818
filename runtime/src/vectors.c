/*
 * Adaptive retrieval on Matryoshka vectors (Kusupati et al. 2022, arXiv:2205.13147,
 * section 4.3): a shortlist by a short prefix, kept as int8, re-ranked at longer ones.
 *
 * Candidates come in ascending order of id and stay in it, so of equal scores
 * the lowest id is kept; integers decide the shortlist, exact products the rest.
 */
#include "vectors.h"

#include "container.h"
#include "kernels.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

enum {
    TILE_BYTES = 1 << 18, /* fits a second-level cache beside the candidates */
    QUERIES_AT_ONCE = 8,
    MAX_KEEP = EDGE_SEARCH_MAX_K,
    SAMPLE = 64,          /* a limit is guessed from one row in so many */
    IN_FLIGHT = 512       /* coordinates fetched before they are needed */
};

/* Groups of four dims that a row of the prefix takes. */
static size_t groups_of(const edge_vec *vec) { return ((size_t)vec->prefix_dim + 3) / 4; }

/* ---- the file ------------------------------------------------------------------------ */

static int trained(const edge_vec *vec, uint32_t dim) {
    for (uint32_t i = 0; i < vec->n_dims; i++)
        if (vec->dims[i] == dim) return 1;
    return 0;
}

static EDGE_SMALL int read_dims(edge_vec *vec, const edge_section *section) {
    const uint8_t *at = vec->file.bytes + section->offset;
    uint32_t before = 0;
    if (section->size % 4 || section->size < 8 || section->size / 4 - 1 > EDGE_MAX_DIMS) return 0;
    vec->prefix_dim = edge_load32(at);
    vec->n_dims = (uint32_t)(section->size / 4 - 1);
    for (uint32_t i = 0; i < vec->n_dims; i++) {
        vec->dims[i] = edge_load32(at + 4 + 4 * (size_t)i);
        if (vec->dims[i] <= before) return 0;
        before = vec->dims[i];
    }
    return before == vec->file.bits && trained(vec, vec->prefix_dim);
}

static EDGE_SMALL edge_status take_section(edge_vec *vec, const edge_section *section) {
    const uint8_t *data = vec->file.bytes + section->offset;
    const uint64_t n = vec->file.n;
    switch (section->tag) {
    case EDGE_TAG_DIMS:
        return EDGE_OK; /* was read first */
    case EDGE_TAG_PREFIX:
        if (section->size != (n + EDGE_BLOCK_ROWS - 1) / EDGE_BLOCK_ROWS *
                                 (EDGE_BLOCK_ROWS * 4 * (uint64_t)groups_of(vec)))
            return EDGE_ERR_FORMAT;
        vec->prefix = (const int8_t *)data;
        return EDGE_OK;
    case EDGE_TAG_VECTORS:
        if (section->size != n * vec->file.bits * 4) return EDGE_ERR_FORMAT;
        vec->vectors = (const float *)(const void *)data;
        return EDGE_OK;
    case EDGE_TAG_IDS:
        if (section->size != n * 8) return EDGE_ERR_FORMAT;
        vec->ids = data;
        return EDGE_OK;
    default:
        return edge_essential(section->tag) ? EDGE_ERR_VERSION : EDGE_OK;
    }
}

static EDGE_SMALL edge_status read_sections(edge_vec *vec) {
    if (vec->file.kind != EDGE_KIND_VECTORS) return EDGE_ERR_FORMAT;
    for (uint32_t i = 0; i < vec->file.n_sections; i++)
        if (vec->file.sections[i].tag == EDGE_TAG_DIMS &&
            !read_dims(vec, &vec->file.sections[i]))
            return EDGE_ERR_FORMAT;
    for (uint32_t i = 0; i < vec->file.n_sections; i++) {
        const edge_status status = take_section(vec, &vec->file.sections[i]);
        if (status != EDGE_OK) return status;
    }
    return vec->n_dims && vec->prefix && vec->vectors ? EDGE_OK : EDGE_ERR_FORMAT;
}

EDGE_SMALL
edge_status edge_vec_open(const uint8_t *bytes, size_t size, uint32_t flags, edge_vec *vec) {
    edge_status status;
    if (!vec) return EDGE_ERR_ARGUMENT;
    memset(vec, 0, sizeof *vec);
    status = edge_file_open(bytes, size, flags, &vec->file);
    if (status == EDGE_OK) status = read_sections(vec);
    if (status != EDGE_OK) memset(vec, 0, sizeof *vec);
    return status;
}

/* ---- room ---------------------------------------------------------------------------- */

/* Candidates after which to cut: few are better once k are found, and a cut takes its time. */
static size_t want_for(size_t keep) { return 2 * keep + 1; }
static size_t room_for(size_t keep) { return want_for(keep) + EDGE_KERNEL_STEP; }

static size_t at_once(size_t n_queries) {
    return n_queries < QUERIES_AT_ONCE ? n_queries : (size_t)QUERIES_AT_ONCE;
}

/* A query as the kernels take it. */
static size_t query_room(const edge_vec *vec) { return edge_align(4 * groups_of(vec), 8); }

EDGE_SMALL size_t edge_vec_workspace_size(const edge_vec *vec, size_t n_queries, size_t keep) {
    if (!vec || keep == 0 || keep > MAX_KEEP) return 0;
    /* One room more than queries, to sort in. */
    return (at_once(n_queries) + 1) * room_for(keep) * sizeof(edge_hit) +
           at_once(n_queries) * query_room(vec);
}

/* What is the same for all queries of a call. */
typedef struct scan {
    const edge_vec *vec;
    const float *queries;
    uint32_t dim;
    int exact;
    size_t begin, end, keep;
    edge_hit *rooms; /* one of each query, and one to sort in */
    int8_t *coded;   /* the queries in int8 */
} scan;

typedef struct gathering {
    edge_hit *hits;
    size_t n;
    uint32_t limit;
    double inverse; /* 1 / norm of the query's prefix */
} gathering;

/* ---- the int8 scan ------------------------------------------------------------------- */

/*
 * The query's prefix, scaled so that its largest coordinate is 127, with the
 * sign turned: kernels add, and less is better.
 */
static void code_query(const edge_vec *vec, const float *query, int8_t *out) {
    double largest = 0, scale; /* the square of the largest */
    memset(out, 0, query_room(vec));
    for (uint32_t j = 0; j < vec->prefix_dim; j++) {
        const double x = query[j], square = x * x;
        if (square > largest) largest = square;
    }
    scale = -127 * edge_inverse_root(largest);
    for (uint32_t j = 0; j < vec->prefix_dim; j++) {
        /* Rounded to the last place of so large a number, which is the ones'. */
        const double scaled = scale * (double)query[j];
        const double rounded = scaled + 6755399441055744.0; /* 1.5 * 2^52 */
        uint64_t bits;
        memcpy(&bits, &rounded, sizeof bits);
        out[j] = (int8_t)(uint8_t)bits;
    }
}

static void drop_before(gathering *g, size_t from, size_t begin) {
    size_t kept = from;
    for (size_t i = from; i < g->n; i++)
        if (g->hits[i].id >= begin) g->hits[kept++] = g->hits[i];
    g->n = kept;
}

/* Keep the best `keep` of rows at..end, and of those that were gathered before. */
static void scan_codes(const scan *s, const int8_t *coded, size_t keep, size_t at, size_t end,
                       gathering *g) {
    const edge_kernels *kernels = edge_kernels_active();
    const size_t n_groups = groups_of(s->vec);
    /* More than any product of int8 with the query: no distance is below 0. */
    const uint32_t start = (uint32_t)n_groups * 4 * 128 * 127;
    while (at < end) {
        const size_t before = g->n;
        at = kernels->dot_i8(s->vec->prefix, n_groups, at, end, coded, start, g->limit, g->hits,
                             &g->n, want_for(keep));
        drop_before(g, before, s->begin);
        if (g->n >= want_for(keep)) g->limit = edge_keep_best(g->hits, &g->n, keep);
    }
}

/*
 * Start with a limit that some more than `keep` rows are likely to be below,
 * from one row in SAMPLE: else the first rows are all taken, only to be cut.
 * If fewer turn out to be below it, the scan begins again without.
 */
static void guess_limit(const scan *s, const int8_t *coded, gathering *g) {
    const size_t run = 4 * EDGE_BLOCK_ROWS, expected = s->keep / SAMPLE;
    const size_t rank = expected + expected / 2 + 8;
    if (s->keep < SAMPLE || (s->end - s->begin) / 4 < s->keep) return;
    for (size_t at = edge_align(s->begin, EDGE_BLOCK_ROWS); at + run <= s->end;
         at += SAMPLE * run)
        scan_codes(s, coded, rank, at, at + run, g);
    if (g->n < rank) { /* too few rows to guess from */
        g->n = 0;
        return;
    }
    edge_keep_best(g->hits, &g->n, rank);
    g->limit = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->hits[i].distance > g->limit) g->limit = g->hits[i].distance;
    g->n = 0;
}

/* ---- scores -------------------------------------------------------------------------- */

static const float *row_of(const edge_vec *vec, uint64_t id) {
    return vec->vectors + (size_t)id * vec->file.bits;
}

static double inverse_norm(const float *query, uint32_t dim) {
    double square;
    edge_dot(query, query, dim, &square);
    return edge_inverse_root(square);
}

/* Of a prefix that is zero, the cosine is 0. */
static uint32_t distance_to(const edge_vec *vec, uint64_t id, const float *query, uint32_t dim,
                            double inverse) {
    double square;
    const double dot = edge_dot(row_of(vec, id), query, dim, &square);
    const double norms = edge_inverse_root(square) * inverse;
    return edge_distance_of(dot * norms);
}

static void scan_vectors(const scan *s, const float *query, size_t at, size_t end, gathering *g) {
    for (; at < end; at++) {
        const uint32_t distance = distance_to(s->vec, at, query, s->dim, g->inverse);
        /* The farthest is below no limit, but any before there is one. */
        if (distance >= g->limit && g->limit != UINT32_MAX) continue;
        g->hits[g->n].id = at;
        g->hits[g->n++].distance = distance;
        if (g->n >= want_for(s->keep)) g->limit = edge_keep_best(g->hits, &g->n, s->keep);
    }
}

/* ---- the first stage ----------------------------------------------------------------- */

static int by_codes(const scan *s) { return s->dim == s->vec->prefix_dim && !s->exact; }

/* The rows of a tile: whole blocks. One query has nothing to share, so no reason to stop. */
static size_t tile_of(const scan *s, size_t n_queries) {
    const size_t bytes = by_codes(s) ? 4 * groups_of(s->vec) : 4 * (size_t)s->vec->file.bits;
    const size_t rows = (size_t)TILE_BYTES / bytes;
    if (n_queries == 1) return s->end;
    return rows < EDGE_BLOCK_ROWS ? (size_t)EDGE_BLOCK_ROWS
                                  : rows / EDGE_BLOCK_ROWS * EDGE_BLOCK_ROWS;
}

static void scan_tile(const scan *s, size_t q, size_t at, size_t end, gathering *g) {
    if (by_codes(s))
        scan_codes(s, s->coded + q * query_room(s->vec), s->keep, at, end, g);
    else
        scan_vectors(s, s->queries + q * s->vec->file.bits, at, end, g);
}

static void start(const scan *s, size_t q, gathering *g) {
    const float *query = s->queries + q * s->vec->file.bits;
    int8_t *coded = s->coded + q * query_room(s->vec);
    g->hits = s->rooms + q * room_for(s->keep);
    g->n = 0;
    g->limit = UINT32_MAX;
    g->inverse = inverse_norm(query, s->dim);
    if (!by_codes(s)) return;
    code_query(s->vec, query, coded);
    guess_limit(s, coded, g);
}

/* Of each query the best `keep`, in ascending order of id, into the rooms. */
static void scan_some(const scan *s, size_t n_queries, gathering *all) {
    const size_t tile = tile_of(s, n_queries);
    const size_t first = by_codes(s) ? s->begin / EDGE_BLOCK_ROWS * EDGE_BLOCK_ROWS : s->begin;
    for (size_t q = 0; q < n_queries; q++) start(s, q, &all[q]);
    for (size_t at = first; at < s->end;) {
        const size_t stop = s->end - at < tile ? s->end : at + tile;
        for (size_t q = 0; q < n_queries; q++) scan_tile(s, q, at, stop, &all[q]);
        at = stop;
    }
    for (size_t q = 0; q < n_queries; q++) {
        if (all[q].n < s->keep && all[q].n < s->end - s->begin) {
            all[q].n = 0; /* the guessed limit was too low */
            all[q].limit = UINT32_MAX;
            scan_tile(s, q, first, s->end, &all[q]);
        }
        edge_keep_best(all[q].hits, &all[q].n, s->keep);
    }
}

static edge_status check_call(const edge_vec *vec, const float *queries, size_t n_queries,
                              size_t keep, size_t workspace_size) {
    const size_t n = n_queries * vec->file.bits;
    for (size_t i = 0; i < n; i++) {
        /* The exponent of infinity and NaN. */
        uint32_t bits;
        memcpy(&bits, queries + i, sizeof bits);
        if ((bits & 0x7f800000u) == 0x7f800000u) return EDGE_ERR_NOT_FINITE;
    }
    return workspace_size < edge_vec_workspace_size(vec, n_queries, keep) ? EDGE_ERR_CAPACITY
                                                                          : EDGE_OK;
}

/* ---- the later stages ---------------------------------------------------------------- */

static void fetch(const edge_vec *vec, const edge_hit *hit, uint32_t dim) {
    const float *row = row_of(vec, hit->id);
    for (uint32_t j = 0; j < dim; j += 16) EDGE_PREFETCH(row + j);
}

/* Re-rank candidates, whose ids ascend, stage by stage; then write down those left. */
static void rerank(const edge_vec *vec, const float *query, const edge_stage *stages,
                   size_t n_stages, edge_hit *hits, size_t n, edge_hit *spare,
                   edge_match *matches) {
    for (size_t s = 0; s < n_stages; s++) {
        const uint32_t dim = stages[s].dim;
        const double inverse = inverse_norm(query, dim);
        const size_t ahead = IN_FLIGHT / dim + 1;
        for (size_t i = 0; i < n && i < ahead; i++) fetch(vec, &hits[i], dim);
        for (size_t i = 0; i < n; i++) {
            if (i + ahead < n) fetch(vec, &hits[i + ahead], dim);
            hits[i].distance = distance_to(vec, hits[i].id, query, dim, inverse);
        }
        edge_keep_best(hits, &n, stages[s].keep);
    }
    edge_sort_hits(hits, n, 0, spare);
    for (size_t i = 0; i < n; i++) {
        matches[i].id = (uint32_t)hits[i].id;
        matches[i].score = edge_score_of(hits[i].distance);
    }
}

/* Trained dims that do not shrink, and numbers kept that do not grow. */
static int stages_fit(const edge_vec *vec, const edge_stage *stages, size_t n_stages) {
    if (!stages || n_stages == 0) return 0;
    for (size_t s = 0; s < n_stages; s++) {
        if (!trained(vec, stages[s].dim) || stages[s].keep == 0 || stages[s].keep > MAX_KEEP)
            return 0;
        if (s != 0 && (stages[s].dim < stages[s - 1].dim || stages[s].keep > stages[s - 1].keep))
            return 0;
    }
    return 1;
}

edge_status edge_vec_rerank(const edge_vec *vec, const float *queries, size_t n_queries,
                            const edge_stage *stages, size_t n_stages, const edge_hit *candidates,
                            size_t n_candidates, edge_match *matches, void *workspace,
                            size_t workspace_size) {
    edge_hit *hits = (edge_hit *)workspace;
    edge_status status;
    if (!vec || ((!queries || !candidates || !matches || !workspace) && n_queries) ||
        !stages_fit(vec, stages, n_stages) || n_candidates > MAX_KEEP ||
        (workspace && !edge_aligned(workspace, 8)))
        return EDGE_ERR_ARGUMENT;
    if (n_candidates == 0 || n_queries == 0) return EDGE_OK;
    for (size_t i = 0; i < n_queries * n_candidates; i++)
        if (candidates[i].id >= vec->file.n) return EDGE_ERR_ARGUMENT;
    status = check_call(vec, queries, n_queries, n_candidates, workspace_size);
    if (status != EDGE_OK) return status;
    for (size_t q = 0; q < n_queries; q++) {
        memcpy(hits, candidates + q * n_candidates, n_candidates * sizeof *hits);
        edge_sort_hits(hits, n_candidates, 1, hits + n_candidates);
        rerank(vec, queries + q * vec->file.bits, stages, n_stages, hits, n_candidates,
               hits + n_candidates, matches + q * stages[n_stages - 1].keep);
    }
    return EDGE_OK;
}

/* ---- both ---------------------------------------------------------------------------- */

/* Where the answers go: the hits of the first stage, or the matches of the later ones. */
typedef struct answers {
    edge_hit *hits;
    edge_match *matches;
    const edge_stage *stages;
    size_t n_stages, keep; /* of the last stage */
} answers;

static void write_answer(const scan *s, const float *query, gathering *g, edge_hit *spare,
                         const answers *to, size_t q) {
    if (to->hits)
        memcpy(to->hits + q * to->keep, g->hits, g->n * sizeof *g->hits);
    else
        rerank(s->vec, query, to->stages, to->n_stages, g->hits, g->n, spare,
               to->matches + q * to->keep);
}

static edge_status run(scan *s, const float *queries, size_t n_queries, void *workspace,
                       size_t workspace_size, const answers *to) {
    const size_t dim = s->vec->file.bits;
    gathering all[QUERIES_AT_ONCE];
    edge_status status;
    if (s->begin == s->end || n_queries == 0) return EDGE_OK;
    status = check_call(s->vec, queries, n_queries, s->keep, workspace_size);
    if (status != EDGE_OK) return status;
    s->rooms = (edge_hit *)workspace;
    s->coded = (int8_t *)(s->rooms + (at_once(n_queries) + 1) * room_for(s->keep));
    for (size_t q = 0; q < n_queries; q += QUERIES_AT_ONCE) {
        const size_t count = at_once(n_queries - q);
        s->queries = queries + q * dim;
        scan_some(s, count, all);
        for (size_t i = 0; i < count; i++)
            write_answer(s, s->queries + i * dim, &all[i],
                         s->rooms + at_once(n_queries) * room_for(s->keep), to, q + i);
    }
    return EDGE_OK;
}

edge_status edge_vec_scan(const edge_vec *vec, const float *queries, size_t n_queries,
                          edge_stage stage, int exact, uint64_t begin, uint64_t end,
                          edge_hit *hits, void *workspace, size_t workspace_size) {
    const answers to = {hits, NULL, NULL, 0, stage.keep};
    if (!vec || ((!queries || !hits || !workspace) && n_queries) || !stages_fit(vec, &stage, 1) ||
        begin > end || end > vec->file.n || (workspace && !edge_aligned(workspace, 8)))
        return EDGE_ERR_ARGUMENT;
    scan s = {vec, NULL, stage.dim, exact, (size_t)begin, (size_t)end, stage.keep, NULL, NULL};
    return run(&s, queries, n_queries, workspace, workspace_size, &to);
}

edge_status edge_vec_search(const edge_vec *vec, const float *queries, size_t n_queries,
                            const edge_stage *stages, size_t n_stages, edge_match *matches,
                            void *workspace, size_t workspace_size) {
    if (!vec || ((!queries || !matches || !workspace) && n_queries) ||
        !stages_fit(vec, stages, n_stages) || (workspace && !edge_aligned(workspace, 8)))
        return EDGE_ERR_ARGUMENT;
    /* The codes shortlist; the order and the scores are those of the vectors. */
    const size_t first = n_stages > 1 ? 1 : 0;
    const answers to = {NULL, matches, stages + first, n_stages - first,
                        stages[n_stages - 1].keep};
    scan s = {vec, NULL, stages[0].dim, 0, 0, (size_t)vec->file.n, stages[0].keep, NULL, NULL};
    return run(&s, queries, n_queries, workspace, workspace_size, &to);
}
