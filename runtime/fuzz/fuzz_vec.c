/*
 * Fuzzing of the .vec reader and of retrieval from it.
 *
 * Bytes that begin as a file are opened as they are, then with their digests
 * mended; all other bytes are a recipe of a file, which is searched on every
 * instruction set. Whatever opens is searched stage by stage, by slices of its
 * rows and from candidates, and each time plain loops say the same to the bit.
 * Those loops score by the core's dot product and root, which are themselves
 * compared with sums in double.
 *
 * Built by run.sh with libFuzzer; with EDGE_FUZZ_MAIN, a program that replays files.
 */
#include "../src/vectors.h"
#include "steer.h"

enum { MAX_STAGES = 4, MAX_QUERIES = 20 };

/* A draw for each of two choices, in this order on every compiler. */
static uint32_t draw_few_or_many(cursor *c, uint32_t few, uint32_t many) {
    const uint32_t often = draw8(c) % 4;
    return (uint32_t)draw(c, 2) % (often ? few : many);
}

/* ---- the obvious answers ----------------------------------------------------------------- */

static int is_finite(double x) { return x - x == 0; }

static const float *row_of(const edge_vec *vec, uint64_t id) {
    return vec->vectors + id * vec->file.bits;
}

static uint32_t obvious_distance(const edge_vec *vec, uint64_t id, const float *query,
                                 uint32_t dim) {
    double squares[2];
    const double dot = edge_dot(row_of(vec, id), query, dim, &squares[0]);
    edge_dot(query, query, dim, &squares[1]);
    return edge_distance_of(dot * (edge_inverse_root(squares[0]) * edge_inverse_root(squares[1])));
}

/* To the nearest integer, halves to the even one. */
static int rounded(double x) {
    int below = (int)x;
    if (x < below) below--;
    const double rest = x - below;
    return below + (rest > 0.5 || (rest == 0.5 && below % 2 != 0));
}

/* Codes are ranked by their dot product with the query's, of which more is better. */
static uint32_t obvious_code_distance(const edge_vec *vec, uint64_t id, const float *query) {
    const size_t groups = ((size_t)vec->prefix_dim + 3) / 4;
    double largest = 0;
    int64_t dot = 0;
    for (size_t d = 0; d < vec->prefix_dim; d++)
        if ((double)query[d] * query[d] > largest) largest = (double)query[d] * query[d];
    const double scale = 127 * edge_inverse_root(largest);
    for (size_t d = 0; d < vec->prefix_dim; d++) {
        const double scaled = scale * query[d];
        dot += vec->prefix[((id / 64 * groups + d / 4) * 64 + id % 64) * 4 + d % 4] *
               rounded(scaled);
    }
    return (uint32_t)((int64_t)groups * 4 * 128 * 127 - dot);
}

static int by_id(const void *a, const void *b) {
    const edge_hit *x = (const edge_hit *)a, *y = (const edge_hit *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static int by_distance_and_id(const void *a, const void *b) {
    const edge_hit *x = (const edge_hit *)a, *y = (const edge_hit *)b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return by_id(a, b);
}

/* The best `keep`, best first; returns how many there are. */
static size_t obvious_best(edge_hit *hits, size_t n, size_t keep) {
    qsort(hits, n, sizeof *hits, by_distance_and_id);
    return n < keep ? n : keep;
}

static size_t obvious_scan(const edge_vec *vec, const float *query, edge_stage stage, int exact,
                           uint64_t begin, uint64_t end, edge_hit *hits) {
    const int by_codes = stage.dim == vec->prefix_dim && !exact;
    for (uint64_t id = begin; id < end; id++) {
        hits[id - begin].id = id;
        hits[id - begin].distance = by_codes ? obvious_code_distance(vec, id, query)
                                             : obvious_distance(vec, id, query, stage.dim);
    }
    return obvious_best(hits, (size_t)(end - begin), stage.keep);
}

static size_t obvious_rerank(const edge_vec *vec, const float *query, const edge_stage *stages,
                             size_t n_stages, edge_hit *hits, size_t n) {
    for (size_t s = 0; s < n_stages; s++) {
        for (size_t i = 0; i < n; i++)
            hits[i].distance = obvious_distance(vec, hits[i].id, query, stages[s].dim);
        n = obvious_best(hits, n, stages[s].keep);
    }
    return n;
}

/* Minus infinity for rows that are not finite; else the cosine, or 0 of zeros. */
static void check_score(const edge_vec *vec, const edge_match *match, const float *query,
                        uint32_t dim) {
    const float *row = row_of(vec, match->id);
    const double score = (double)match->score;
    double dot = 0, a = 0, b = 0;
    for (uint32_t d = 0; d < dim; d++) {
        const double x = (double)row[d], y = (double)query[d];
        dot += x * y;
        a += x * x;
        b += y * y;
    }
    if (!is_finite(a)) {
        REQUIRE(!is_finite(score) && score < 0);
    } else if (a == 0 || b == 0) {
        REQUIRE(score == 0);
    } else {
        /* Squared, with the sign kept: without a root. */
        const double error = score * (score < 0 ? -score : score) -
                             dot / a * ((dot < 0 ? -dot : dot) / b);
        REQUIRE(error < 1e-6 && error > -1e-6);
    }
}

/* ---- a call ------------------------------------------------------------------------------ */

typedef struct call {
    const edge_vec *vec;
    size_t n_queries, n_stages;
    edge_stage stages[MAX_STAGES];
    float *queries;
    int finite;
} call;

static int is_trained(const edge_vec *vec, uint32_t dim) {
    int found = 0;
    for (uint32_t i = 0; i < vec->n_dims; i++) found |= vec->dims[i] == dim;
    return found;
}

static int is_allowed(const call *t) {
    int fits = 1;
    for (size_t s = 0; s < t->n_stages; s++) {
        const edge_stage *stage = &t->stages[s];
        fits &= is_trained(t->vec, stage->dim) && stage->keep >= 1;
        fits &= stage->keep <= EDGE_SEARCH_MAX_K;
        if (s > 0) fits &= stage->dim >= stage[-1].dim && stage->keep <= stage[-1].keep;
    }
    return fits;
}

/* What a call must answer that has so many rows to look at. */
static edge_status expected(const call *t, uint64_t n_rows) {
    if (!is_allowed(t)) return EDGE_ERR_ARGUMENT;
    return t->finite || n_rows == 0 || t->n_queries == 0 ? EDGE_OK : EDGE_ERR_NOT_FINITE;
}

static edge_stage draw_stage(cursor *c, const edge_vec *vec, const edge_stage *before,
                             int careless) {
    edge_stage stage;
    uint32_t first = 0;
    if (careless) {
        stage.dim = draw8(c) % (vec->file.bits + 2);
        stage.keep = draw8(c) % 4 ? draw8(c) % 20 : EDGE_SEARCH_MAX_K + 1;
        return stage;
    }
    while (before && vec->dims[first] < before->dim) first++;
    stage.dim = vec->dims[first + draw8(c) % (vec->n_dims - first)];
    if (!before && draw8(c) % 2) stage.dim = vec->prefix_dim;
    stage.keep = 1 + draw_few_or_many(c, 20, 300);
    if (before && stage.keep > before->keep) stage.keep = 1 + stage.keep % before->keep;
    return stage;
}

static void draw_call(cursor *c, const edge_vec *vec, call *t) {
    /* Bytes of files are often 0: that is the plain case. */
    const int careless = draw8(c) % 16 == 7, none = draw8(c) % 16 == 7;
    const uint32_t style = draw8(c) % 8;
    const size_t dim = vec->file.bits;
    t->vec = vec;
    t->n_stages = 1 + draw8(c) % MAX_STAGES;
    for (size_t s = 0; s < t->n_stages; s++)
        t->stages[s] = draw_stage(c, vec, s ? &t->stages[s - 1] : NULL, careless);
    t->n_queries = none ? 0 : 1 + draw_few_or_many(c, 3, MAX_QUERIES);
    t->queries = (float *)room(t->n_queries * dim * sizeof *t->queries);
    t->finite = 1;
    for (size_t i = 0; i < t->n_queries * dim; i++) {
        t->queries[i] = style == 4 && draw8(c) % 32 == 0 ? draw_any(c) : draw_real(c);
        if (style == 1) t->queries[i] *= 1e30f;
        if (style == 2) t->queries[i] *= 1e-44f;
        t->finite &= is_finite((double)t->queries[i]);
    }
    /* As a row that is there. */
    for (size_t q = 0; q < t->n_queries && vec->file.n && style == 3; q++)
        memcpy(t->queries + q * dim, row_of(vec, draw(c, 4) % vec->file.n),
               dim * sizeof *t->queries);
    for (size_t i = 0; i < t->n_queries * dim; i++)
        t->finite &= is_finite((double)t->queries[i]);
}

/* The first stage, on some rows. */
static void try_scan(const call *whole, cursor *c) {
    const edge_vec *vec = whole->vec;
    const uint64_t begin = draw8(c) % 2 ? draw(c, 4) % (vec->file.n + 1) : 0;
    const uint64_t end = draw8(c) % 2 ? begin + draw(c, 4) % (vec->file.n - begin + 1)
                                      : vec->file.n;
    const int exact = draw8(c) % 4 == 0;
    call one = *whole;
    one.n_stages = 1;
    const size_t keep = is_allowed(&one) ? one.stages[0].keep : 0;
    const size_t size = edge_vec_workspace_size(vec, one.n_queries, keep);
    edge_hit *hits = (edge_hit *)room(one.n_queries * keep * sizeof *hits);
    edge_hit *all = (edge_hit *)room((size_t)(end - begin) * sizeof *all);
    void *workspace = room(size);
    const edge_status status = edge_vec_scan(vec, one.queries, one.n_queries, one.stages[0], exact,
                                             begin, end, hits, workspace, size);
    REQUIRE(status == expected(&one, end - begin));
    for (size_t q = 0; q < one.n_queries && status == EDGE_OK; q++) {
        const edge_hit *row = hits + q * keep;
        const size_t n = obvious_scan(vec, one.queries + q * vec->file.bits, one.stages[0], exact,
                                      begin, end, all);
        qsort(all, n, sizeof *all, by_id);
        for (size_t i = 0; i < n; i++)
            REQUIRE(row[i].id == all[i].id && row[i].distance == all[i].distance);
    }
    free(workspace);
    free(all);
    free(hits);
}

/* Of one query: `hits` are the obvious answer, best first. */
static void check_matches(const call *t, size_t q, const edge_match *matches, const edge_hit *hits,
                          size_t n) {
    const edge_stage *last = &t->stages[t->n_stages - 1];
    for (size_t i = 0; i < n; i++) {
        const edge_match *match = matches + q * last->keep + i;
        REQUIRE(match->id == hits[i].id);
        REQUIRE(match->score == edge_score_of(hits[i].distance));
        check_score(t->vec, match, t->queries + q * t->vec->file.bits, last->dim);
    }
}

static void try_search(const call *t) {
    const edge_vec *vec = t->vec;
    const int allowed = is_allowed(t);
    const size_t keep = allowed ? t->stages[t->n_stages - 1].keep : 0;
    const size_t skip = t->n_stages > 1 ? 1 : 0; /* one stage alone finds, then ranks */
    const size_t size = edge_vec_workspace_size(vec, t->n_queries, allowed ? t->stages[0].keep : 0);
    edge_match *matches = (edge_match *)room(t->n_queries * keep * sizeof *matches);
    edge_hit *all = (edge_hit *)room((size_t)vec->file.n * sizeof *all);
    void *workspace = room(size);
    const edge_status status = edge_vec_search(vec, t->queries, t->n_queries, t->stages,
                                               t->n_stages, matches, workspace, size);
    REQUIRE(status == expected(t, vec->file.n));
    for (size_t q = 0; q < t->n_queries && status == EDGE_OK; q++) {
        const float *query = t->queries + q * vec->file.bits;
        size_t n = obvious_scan(vec, query, t->stages[0], 0, 0, vec->file.n, all);
        n = obvious_rerank(vec, query, t->stages + skip, t->n_stages - skip, all, n);
        check_matches(t, q, matches, all, n);
    }
    if (status == EDGE_OK && vec->file.n && t->n_queries)
        REQUIRE(edge_vec_search(vec, t->queries, t->n_queries, t->stages, t->n_stages, matches,
                                workspace, size - 1) == EDGE_ERR_CAPACITY);
    free(workspace);
    free(all);
    free(matches);
}

/* From candidates that need not be near: a run of rows, backwards, that may go round. */
static void try_rerank(const call *t, cursor *c) {
    const edge_vec *vec = t->vec;
    const uint64_t rows = vec->file.n, first = draw(c, 4);
    const size_t n = rows ? (size_t)(draw_few_or_many(c, 30, 700) % (rows + 1)) : 0;
    const int beyond = n && t->n_queries && draw8(c) % 16 == 0;
    const size_t keep = is_allowed(t) ? t->stages[t->n_stages - 1].keep : 0;
    const size_t size = edge_vec_workspace_size(vec, t->n_queries, n);
    edge_hit *candidates = (edge_hit *)room(t->n_queries * n * sizeof *candidates);
    edge_match *matches = (edge_match *)room(t->n_queries * keep * sizeof *matches);
    edge_hit *own = (edge_hit *)room(n * sizeof *own);
    void *workspace = room(size);
    for (size_t i = 0; i < t->n_queries * n; i++)
        candidates[i].id = (first + i / n + n - i % n) % rows;
    if (beyond)
        candidates[first % (t->n_queries * n)].id = rows + (draw8(c) % 4 ? 0 : draw(c, 7));
    const edge_status status = edge_vec_rerank(vec, t->queries, t->n_queries, t->stages,
                                               t->n_stages, candidates, n, matches, workspace,
                                               size);
    REQUIRE(status == (beyond ? EDGE_ERR_ARGUMENT : expected(t, n)));
    for (size_t q = 0; q < t->n_queries && n && status == EDGE_OK; q++) {
        memcpy(own, candidates + q * n, n * sizeof *own);
        check_matches(t, q, matches, own,
                      obvious_rerank(vec, t->queries + q * vec->file.bits, t->stages, t->n_stages,
                                     own, n));
    }
    free(workspace);
    free(own);
    free(matches);
    free(candidates);
}

static void try_calls(const edge_vec *vec, cursor *c) {
    call t;
    draw_call(c, vec, &t);
    try_scan(&t, c);
    try_search(&t);
    try_rerank(&t, c);
    free(t.queries);
}

/* ---- whatever opens ---------------------------------------------------------------------- */

static void check_inside(const edge_vec *vec, const void *data, uint64_t size) {
    const uint8_t *at = (const uint8_t *)data, *bytes = vec->file.bytes;
    REQUIRE(at >= bytes && size <= vec->file.size - (uint64_t)(at - bytes));
}

static void check_opened(const edge_vec *vec) {
    const uint64_t n = vec->file.n, groups = ((uint64_t)vec->prefix_dim + 3) / 4;
    REQUIRE(vec->n_dims >= 1 && vec->n_dims <= EDGE_MAX_DIMS && vec->dims[0] >= 1);
    for (uint32_t i = 1; i < vec->n_dims; i++) REQUIRE(vec->dims[i] > vec->dims[i - 1]);
    REQUIRE(vec->dims[vec->n_dims - 1] == vec->file.bits && is_trained(vec, vec->prefix_dim));
    check_inside(vec, vec->vectors, n * vec->file.bits * 4);
    check_inside(vec, vec->prefix, (n + 63) / 64 * 256 * groups);
    if (vec->ids) check_inside(vec, vec->ids, n * 8);
}

static void try_file(const uint8_t *bytes, size_t size) {
    uint8_t *copy = (uint8_t *)room(size);
    edge_vec vec;
    edge_status status;
    cursor c = cursor_on(bytes, size);
    memcpy(copy, bytes, size);
    status = edge_vec_open(copy, size, 0, &vec);
    REQUIRE(status == EDGE_OK || status == EDGE_ERR_FORMAT || status == EDGE_ERR_VERSION);
    if (status == EDGE_OK)
        REQUIRE(edge_vec_open(copy, size, EDGE_UNVERIFIED, &vec) == EDGE_OK);
    if (size >= HEAD) {
        /* The head's own digest field is free to steer: it is written anew. */
        const uint32_t flags = bytes[AT_DIGEST] & 2 ? EDGE_UNVERIFIED : 0;
        c.at = AT_DIGEST;
        mend(copy, size, bytes[AT_DIGEST] & 1);
        /* Unverified, what lies in the sections may be any bytes, the dims too. */
        if (flags) copy[size - 1] ^= bytes[AT_DIGEST + 1];
        if (edge_vec_open(copy, size, flags, &vec) == EDGE_OK) {
            use_isa(draw8(&c) % isa_count());
            check_opened(&vec);
            for (int i = 0; i < 4; i++) try_calls(&vec, &c);
        }
    }
    free(copy);
}

/* ---- recipes ----------------------------------------------------------------------------- */

/* A coordinate as its code; the float is that by 32. */
static uint8_t draw_byte(cursor *c, uint32_t style, uint64_t *state) {
    static const uint8_t few[4] = {96, 128, 160, 128};
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    const uint8_t byte = (uint8_t)(*state >> 56);
    return style == 0 ? draw8(c) : style == 1 ? few[byte & 3] : byte;
}

/* Rows as the bytes say, of few values, at random, or near an earlier one. */
static void draw_rows(cursor *c, const vec_sample *s, float *rows, int8_t *codes) {
    const uint32_t style = draw8(c) % 4, dim = s->dims[s->n_dims - 1];
    uint64_t state = draw(c, 8);
    for (size_t i = 0; i < s->n; i++) {
        uint8_t byte = draw_byte(c, style, &state);
        const size_t other = style == 3 && i ? (size_t)(state >> 20) % i : i;
        for (size_t d = 0; d < dim; d++) {
            const int code = byte - 128;
            const int copied = other < i && byte >= 2;
            rows[i * dim + d] = copied ? rows[other * dim + d] : (float)code / 32;
            if (d < s->prefix_dim)
                codes[i * s->prefix_dim + d] =
                    copied ? codes[other * s->prefix_dim + d] : (int8_t)code;
            byte = draw_byte(c, style, &state);
        }
    }
}

static void try_recipe(const uint8_t *bytes, size_t size) {
    cursor c = cursor_on(bytes, size);
    vec_sample s;
    edge_vec vec;
    uint32_t dim = 0;
    size_t file_size;
    memset(&s, 0, sizeof s);
    s.n = draw_few_or_many(&c, 140, 1100);
    s.with_note = draw8(&c) & 1;
    const uint32_t longest = draw8(&c) % 16 ? 12 : s.n < 200 ? 900 : 12;
    const uint32_t most = 1 + draw8(&c) % 4;
    while (s.n_dims < most) s.dims[s.n_dims++] = dim += 1 + (uint32_t)draw(&c, 2) % longest;
    s.prefix_dim = s.dims[draw8(&c) % most];
    float *rows = (float *)room((size_t)s.n * dim * sizeof *rows);
    int8_t *codes = (int8_t *)room((size_t)s.n * s.prefix_dim);
    draw_rows(&c, &s, rows, codes);
    if (s.n && draw8(&c) % 4 == 0) rows[draw(&c, 4) % ((size_t)s.n * dim)] = draw_any(&c);
    s.rows = rows;
    s.codes = codes;
    uint8_t *built = vec_sample_build(&s, &file_size);
    REQUIRE(edge_vec_open(built, file_size, 0, &vec) == EDGE_OK);
    REQUIRE(vec.file.n == s.n && vec.file.bits == dim && vec.prefix_dim == s.prefix_dim);
    REQUIRE(s.n == 0 || memcmp(vec.vectors, rows, (size_t)s.n * dim * sizeof *rows) == 0);
    for (size_t isa = 0; isa < isa_count(); isa++) {
        cursor same = c;
        use_isa(isa);
        try_calls(&vec, &same);
    }
    free(built);
    free(codes);
    free(rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == 0x89)
        try_file(data, size);
    else
        try_recipe(data, size);
    return 0;
}
