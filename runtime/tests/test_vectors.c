/*
 * Retrieval and the .vec file, on every instruction set of this machine:
 * test_vectors [tests/vectors]. The answers come from NumPy
 * (tests/vectors/make_vectors.py); scores must agree to the last bit. Buffers
 * have just the bytes asked for, so that a sanitizer sees what goes beyond.
 */
#include "../src/vectors.h"
#include "vectors.h"

enum { MAX_STAGES = 4 };

/* ---- keeping the best, scores -------------------------------------------------------- */

static void the_best_are_kept_in_order(void) {
    current = "best";
    for (size_t round = 0; round < 500; round++) {
        const size_t n = (size_t)random_word(7), k = (size_t)random_word(6);
        const uint32_t bits = 1 + (uint32_t)random_word(5);
        edge_hit *hits = (edge_hit *)room(n * sizeof *hits), *spare, *all;
        size_t kept = n, at = 0;
        all = (edge_hit *)room(n * sizeof *hits);
        spare = (edge_hit *)room(n * sizeof *hits);
        for (size_t i = 0; i < n; i++) {
            hits[i].id = i;
            hits[i].distance = (uint32_t)random_word(bits) * (random_word(1) ? 1u : 0x01010101u);
        }
        if (n) memcpy(all, hits, n * sizeof *hits);
        const uint32_t limit = edge_keep_best(hits, &kept, k);
        CHECK(kept == (n < k ? n : k));
        /* One is kept if fewer than k come before it, by distance and then by id. */
        for (size_t i = 0; i < n; i++) {
            size_t before = 0;
            for (size_t j = 0; j < n; j++)
                before += all[j].distance < all[i].distance ||
                          (all[j].distance == all[i].distance && j < i);
            if (before >= k) continue;
            CHECK(at < kept && hits[at].id == i);
            if (n > k) CHECK(hits[at].distance <= limit);
            at++;
        }
        edge_sort_hits(hits, kept, 0, spare);
        for (size_t i = 1; i < kept; i++)
            CHECK(hits[i - 1].distance < hits[i].distance ||
                  (hits[i - 1].distance == hits[i].distance && hits[i - 1].id < hits[i].id));
        edge_sort_hits(hits, kept, 1, spare);
        for (size_t i = 1; i < kept; i++) CHECK(hits[i - 1].id < hits[i].id);
        free(hits);
        free(spare);
        free(all);
    }
}

static void roots_and_scores_are_what_they_say(void) {
    static const float scores[] = {-1.0f, -0.5f, -1e-30f, 0.0f, 1e-45f, 1e-30f, 0.25f, 1.0f};
    current = "scores";
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
        CHECK(edge_score_of(edge_distance_of(scores[i])) == scores[i]);
        if (i) CHECK(edge_distance_of(scores[i]) < edge_distance_of(scores[i - 1]));
    }
    CHECK(edge_distance_of(-0.0f) == edge_distance_of(0.0f));
    CHECK(edge_distance_of(3.0f) == UINT32_MAX);
    CHECK(edge_score_of(UINT32_MAX) < -1e38f);
    CHECK(edge_inverse_root(0) == 0 && edge_inverse_root(-1) == 0);
    for (double x = 1e-290; x < 1e290; x *= 1.7) {
        const double root = edge_inverse_root(x), one = root * root * x;
        CHECK(one > 1 - 1e-15 && one < 1 + 1e-15);
    }
}

/* ---- a file ---------------------------------------------------------------------------- */

typedef struct a_case {
    const char *name;
    uint32_t prefix_dim, n_dims, dims[EDGE_MAX_DIMS];
    size_t n, n_queries, n_stages;
    float *rows, *queries;
    int8_t *codes;
    edge_stage stages[MAX_STAGES];
    char *answers;
} a_case;

/* Returns the file's bytes, which free() takes, as any program would write them. */
static uint8_t *write_file(const a_case *c, size_t *size) {
    const uint32_t dim = c->dims[c->n_dims - 1];
    const size_t groups = (c->prefix_dim + 3) / 4, prefix_size = (c->n + 63) / 64 * 256 * groups;
    uint32_t dims[EDGE_MAX_DIMS + 1];
    int8_t *prefix = (int8_t *)room(prefix_size);
    writer w;
    w.n = 0;
    dims[0] = c->prefix_dim;
    memcpy(dims + 1, c->dims, c->n_dims * 4);
    memset(prefix, 0, prefix_size);
    for (size_t i = 0; i < c->n; i++)
        for (size_t d = 0; d < c->prefix_dim; d++)
            prefix[((i / 64 * groups + d / 4) * 64 + i % 64) * 4 + d % 4] =
                c->codes[i * c->prefix_dim + d];
    put_copy(&w, EDGE_TAG_DIMS, 4, dims, 4 * ((size_t)c->n_dims + 1));
    put_copy(&w, EDGE_TAG_VECTORS, 4, c->rows, c->n * dim * 4);
    put(&w, EDGE_TAG_PREFIX, 1, prefix, prefix_size);
    return finish(&w, EDGE_KIND_VECTORS, dim, c->n, size);
}

/* ---- the vectors ----------------------------------------------------------------------- */

static unsigned digit(char c) { return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10); }

/* Numbers of `width` bytes each, most significant digit first. */
static void *parse(const char *text, size_t width, size_t *n) {
    *n = strlen(text) / (2 * width);
    uint8_t *out = (uint8_t *)room(*n * width);
    for (size_t i = 0; i < *n; i++) {
        uint32_t value = 0;
        for (size_t j = 0; j < 2 * width; j++)
            value = value << 4 | digit(text[i * 2 * width + j]);
        memcpy(out + i * width, &value, width);
    }
    return out;
}

enum { NAME, PREFIX_DIM, DIMS, ROWS, CODES, QUERIES, STAGES, ANSWERS, N_COLUMNS };

static void read_case(char **columns, a_case *c) {
    char *at;
    size_t n = 0;
    memset(c, 0, sizeof *c);
    c->name = columns[NAME];
    c->prefix_dim = (uint32_t)strtoul(columns[PREFIX_DIM], NULL, 10);
    for (at = columns[DIMS]; *at; at += *at == ',')
        c->dims[c->n_dims++] = (uint32_t)strtoul(at, &at, 10);
    const uint32_t dim = c->dims[c->n_dims - 1];
    c->rows = (float *)parse(columns[ROWS], 4, &n);
    c->n = n / dim;
    c->codes = (int8_t *)parse(columns[CODES], 1, &n);
    CHECK(n == c->n * c->prefix_dim);
    c->queries = (float *)parse(columns[QUERIES], 4, &n);
    c->n_queries = n / dim;
    for (at = columns[STAGES]; *at; at += *at == ',') {
        edge_stage *stage = &c->stages[c->n_stages++];
        stage->dim = (uint32_t)strtoul(at, &at, 10);
        stage->keep = (uint32_t)strtoul(at + 1, &at, 10);
    }
    c->answers = columns[ANSWERS];
}

static void answers_agree(const a_case *c, const edge_match *matches, size_t keep) {
    char *at = c->answers;
    for (size_t q = 0; q < c->n_queries; q++) {
        const size_t found = keep < c->n ? keep : c->n;
        for (size_t i = 0; i < found; i++, at++) {
            const edge_match *one = &matches[q * keep + i];
            uint32_t bits;
            memcpy(&bits, &one->score, 4);
            CHECK(one->id == strtoul(at, &at, 10));
            CHECK(bits == strtoul(at + 1, &at, 16));
        }
    }
}

static void search_case(void *argument) {
    const a_case *c = (const a_case *)argument;
    const size_t keep = c->stages[c->n_stages - 1].keep, first = c->stages[0].keep;
    size_t size, scratch;
    uint8_t *file = write_file(c, &size);
    edge_vec vec;
    CHECK(edge_vec_open(file, size, 0, &vec) == EDGE_OK);
    CHECK(vec.file.n == c->n && vec.prefix_dim == c->prefix_dim && vec.n_dims == c->n_dims);
    scratch = edge_vec_workspace_size(&vec, c->n_queries, first);
    void *workspace = room(scratch);
    edge_match *matches = (edge_match *)room(c->n_queries * keep * sizeof *matches);
    CHECK(edge_vec_search(&vec, c->queries, c->n_queries, c->stages, c->n_stages, matches,
                          workspace, scratch) == EDGE_OK);
    answers_agree(c, matches, keep);
    CHECK(edge_vec_search(&vec, c->queries, c->n_queries, c->stages, c->n_stages, matches,
                          workspace, scratch - 1) == EDGE_ERR_CAPACITY);

    /* The same by hand: the first stage, then the later ones. */
    const size_t listed = first < c->n ? first : c->n;
    edge_hit *hits = (edge_hit *)room(c->n_queries * first * sizeof *hits);
    edge_hit *packed = (edge_hit *)room(c->n_queries * listed * sizeof *hits);
    CHECK(edge_vec_scan(&vec, c->queries, c->n_queries, c->stages[0], 0, 0, c->n, hits, workspace,
                        scratch) == EDGE_OK);
    for (size_t q = 0; q < c->n_queries; q++)
        for (size_t i = 0; i < listed; i++) /* backwards: their order does not matter */
            packed[q * listed + i] = hits[q * first + listed - 1 - i];
    const size_t skip = c->n_stages > 1 ? 1 : 0;
    CHECK(edge_vec_rerank(&vec, c->queries, c->n_queries, c->stages + skip, c->n_stages - skip,
                          packed, listed, matches, workspace, scratch) == EDGE_OK);
    answers_agree(c, matches, keep);
    free(hits);
    free(packed);
    free(matches);
    free(workspace);
    free(file);
}

/* ---- bad arguments and bytes ------------------------------------------------------------- */

static void what_is_out_of_range_is_refused(const a_case *c) {
    size_t size;
    uint8_t *file = write_file(c, &size);
    uint64_t workspace[4096];
    edge_match matches[64];
    edge_hit hits[64];
    edge_vec vec;
    const edge_stage good = {4, 2}, untrained = {3, 2}, none = {4, 0}, many = {4, 1u << 21};
    const edge_stage shrinking[2] = {{4, 2}, {2, 2}}, growing[2] = {{2, 1}, {4, 2}};
    float nan_query[4] = {0, 0, 0, 0};
    current = "arguments";
    CHECK(edge_vec_open(NULL, size, 0, &vec) == EDGE_ERR_ARGUMENT);
    CHECK(edge_vec_open(file, size, 0, NULL) == EDGE_ERR_ARGUMENT);
    CHECK(edge_vec_open(file, size, 0, &vec) == EDGE_OK);
#define SEARCH(queries, stages, n_stages)                                                 \
    edge_vec_search(&vec, (queries), 1, (stages), (n_stages), matches, workspace,         \
                    sizeof workspace)
    CHECK(SEARCH(c->queries, &good, 1) == EDGE_OK);
    CHECK(SEARCH(c->queries, &untrained, 1) == EDGE_ERR_ARGUMENT);
    CHECK(SEARCH(c->queries, &none, 1) == EDGE_ERR_ARGUMENT);
    CHECK(SEARCH(c->queries, &many, 1) == EDGE_ERR_ARGUMENT);
    CHECK(SEARCH(c->queries, shrinking, 2) == EDGE_ERR_ARGUMENT);
    CHECK(SEARCH(c->queries, growing, 2) == EDGE_ERR_ARGUMENT);
    CHECK(SEARCH(c->queries, &good, 0) == EDGE_ERR_ARGUMENT);
    CHECK(SEARCH(c->queries, NULL, 1) == EDGE_ERR_ARGUMENT);
    CHECK(SEARCH(NULL, &good, 1) == EDGE_ERR_ARGUMENT);
    const uint32_t bits = 0x7fc00000u, infinity = 0x7f800000u;
    memcpy(&nan_query[3], &bits, 4);
    CHECK(SEARCH(nan_query, &good, 1) == EDGE_ERR_NOT_FINITE);
    memcpy(&nan_query[3], &infinity, 4);
    CHECK(SEARCH(nan_query, &good, 1) == EDGE_ERR_NOT_FINITE);
    CHECK(edge_vec_search(NULL, c->queries, 1, &good, 1, matches, workspace, sizeof workspace) ==
          EDGE_ERR_ARGUMENT);
    CHECK(edge_vec_search(&vec, c->queries, 1, &good, 1, matches, (uint8_t *)workspace + 1,
                          sizeof workspace - 1) == EDGE_ERR_ARGUMENT);
    CHECK(edge_vec_search(&vec, NULL, 0, &good, 1, NULL, NULL, 0) == EDGE_OK);
    CHECK(edge_vec_scan(&vec, c->queries, 1, good, 0, 0, c->n + 1, hits, workspace,
                        sizeof workspace) == EDGE_ERR_ARGUMENT);
    CHECK(edge_vec_scan(&vec, c->queries, 1, good, 0, 1, 0, hits, workspace,
                        sizeof workspace) == EDGE_ERR_ARGUMENT);
    hits[0].id = c->n;
    CHECK(edge_vec_rerank(&vec, c->queries, 1, &good, 1, hits, 1, matches, workspace,
                          sizeof workspace) == EDGE_ERR_ARGUMENT);
    CHECK(edge_vec_workspace_size(&vec, 1, 0) == 0);
    CHECK(edge_vec_workspace_size(&vec, 1, EDGE_SEARCH_MAX_K + 1) == 0);
    CHECK(edge_vec_workspace_size(NULL, 1, 1) == 0);
    free(file);
}

static void every_truncation_and_every_flipped_bit_is_refused(const a_case *c) {
    size_t size;
    uint8_t *file = write_file(c, &size);
    edge_vec vec;
    current = "truncated";
    for (size_t length = 0; length < size; length++) {
        uint8_t *part = (uint8_t *)room(length);
        memcpy(part, file, length);
        CHECK(edge_vec_open(part, length, 0, &vec) == EDGE_ERR_FORMAT);
        CHECK(edge_vec_open(part, length, EDGE_UNVERIFIED, &vec) == EDGE_ERR_FORMAT);
        CHECK(vec.vectors == NULL);
        free(part);
    }
    current = "flipped";
    for (size_t bit = 0; bit < size * 8; bit++) {
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CHECK(edge_vec_open(file, size, 0, &vec) == EDGE_ERR_FORMAT);
        file[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(file);
}

/* The status of opening a file of these dims, after the prefix's; it has no rows to be wrong. */
static edge_status open_with_dims(const uint32_t *words, size_t n_dims) {
    writer w;
    size_t size;
    uint8_t *file;
    edge_vec vec;
    edge_status status;
    w.n = 0;
    put_copy(&w, EDGE_TAG_DIMS, 4, words, (1 + n_dims) * sizeof *words);
    put_copy(&w, EDGE_TAG_VECTORS, 4, NULL, 0);
    put_copy(&w, EDGE_TAG_PREFIX, 1, NULL, 0);
    file = finish(&w, EDGE_KIND_VECTORS, n_dims ? words[n_dims] : 1, 0, &size);
    status = edge_vec_open(file, size, 0, &vec);
    free(file);
    return status;
}

static void dims_that_do_not_rise_or_are_too_many_are_refused(void) {
    static const uint32_t good[3] = {2, 2, 4}, untrained[3] = {3, 2, 4}, twice[3] = {2, 2, 2},
                          falling[3] = {4, 4, 2}, zero[3] = {0, 0, 4};
    uint32_t many[EDGE_MAX_DIMS + 2] = {1};
    current = "dims";
    for (uint32_t i = 1; i < EDGE_MAX_DIMS + 2; i++) many[i] = i;
    CHECK(open_with_dims(good, 2) == EDGE_OK);
    CHECK(open_with_dims(untrained, 2) == EDGE_ERR_FORMAT);
    CHECK(open_with_dims(twice, 2) == EDGE_ERR_FORMAT);
    CHECK(open_with_dims(falling, 2) == EDGE_ERR_FORMAT);
    CHECK(open_with_dims(zero, 2) == EDGE_ERR_FORMAT);
    CHECK(open_with_dims(good, 0) == EDGE_ERR_FORMAT);
    CHECK(open_with_dims(many, EDGE_MAX_DIMS) == EDGE_OK);
    CHECK(open_with_dims(many, EDGE_MAX_DIMS + 1) == EDGE_ERR_FORMAT);
}

static size_t answers_are_those_of_the_vectors(void) {
    FILE *cases = vectors("vectors_search.txt");
    char *line = (char *)room(MAX_LINE), *columns[N_COLUMNS];
    size_t n_cases = 0;
    for (; next_case(cases, line, columns, N_COLUMNS); n_cases++) {
        a_case c;
        read_case(columns, &c);
        on_every_isa(search_case, &c);
        if (n_cases == 0) every_truncation_and_every_flipped_bit_is_refused(&c);
        if (strcmp(c.name, "equal_rows_by_id") == 0) what_is_out_of_range_is_refused(&c);
        free(c.rows);
        free(c.queries);
        free(c.codes);
    }
    CHECK(n_cases >= 17);
    fclose(cases);
    free(line);
    return n_cases;
}

int main(int n_arguments, char **arguments) {
    size_t n_cases;
    folder = n_arguments > 1 ? arguments[1] : NULL;
    the_best_are_kept_in_order();
    roots_and_scores_are_what_they_say();
    dims_that_do_not_rise_or_are_too_many_are_refused();
    n_cases = answers_are_those_of_the_vectors();
    printf("vectors %lu checks  %lu cases  %lu instruction sets  %lu failures\n", n_checks,
           (unsigned long)n_cases, (unsigned long)edge_isa_count(), n_failures);
    return n_failures != 0;
}
