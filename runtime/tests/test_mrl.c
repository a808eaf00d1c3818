/*
 * Matryoshka heads and cascades, by the public header alone, on every
 * instruction set of this machine: test_mrl [tests/vectors].
 *
 * The vectors' answers come from NumPy (tests/vectors/make_mrl.py), to the bit.
 * All buffers are allocated with just the bytes that they must have, so that a
 * sanitizer sees what goes beyond them.
 */
#include "model.h"
#include "vectors.h"

/* ---- the vectors ------------------------------------------------------------------------- */

/* A number in a base; moves on behind the character after it. */
static uint32_t read_number(char **at, int base) {
    const uint32_t number = (uint32_t)strtoul(*at, at, base);
    if (**at) ++*at;
    return number;
}

/* A column of n floats: a recipe, or their bits. */
static float *read_floats(char *at, size_t n) {
    float *values;
    if (*at == '@') {
        const uint64_t seed = strtoull(at + 1, &at, 10);
        return reals(seed, (int)strtol(at + 1, NULL, 10), n);
    }
    values = (float *)room(n * sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = as_float(read_number(&at, 16));
    CHECK(*at == '\0');
    return values;
}

/* The columns that both files begin with. */
enum { NAME, N_CLASSES, DIMS, TIED, NORMALIZED, SCALE, WEIGHTS, BIASES, N, X, N_COMMON };

static model read_model(char **columns) {
    model m;
    char *at = columns[DIMS];
    memset(&m, 0, sizeof m);
    m.n_classes = (uint32_t)strtoul(columns[N_CLASSES], NULL, 10);
    while (*at) m.dims[m.n_dims++] = read_number(&at, 10);
    m.tied = columns[TIED][0] == '1';
    m.normalized = columns[NORMALIZED][0] == '1';
    m.scale = as_float((uint32_t)strtoul(columns[SCALE], NULL, 16));
    m.weights = read_floats(columns[WEIGHTS], n_weights(&m));
    m.biases = read_floats(columns[BIASES], (size_t)n_blocks(&m) * m.n_classes);
    return m;
}

static uint32_t read_flags(const char *column) {
    return (strchr(column, 'i') ? EDGE_MRL_INTERPOLATE : 0) |
           (strchr(column, 'a') ? EDGE_MRL_AGREE : 0) |
           (strchr(column, 'e') ? EDGE_MRL_EVERY_STEP : 0);
}

/* One case, with its head opened. */
typedef struct example {
    edge_mrl head;
    char **columns;
    float *x;
    size_t n;
} example;

static void logits_case(void *argument) {
    const example *e = (const example *)argument;
    const uint32_t dim = (uint32_t)strtoul(e->columns[N_COMMON], NULL, 10);
    const size_t size = edge_mrl_workspace_size(&e->head), n_logits = e->n * e->head.n_classes;
    float *wanted = read_floats(e->columns[N_COMMON + 2], n_logits);
    float *logits = (float *)room(n_logits * sizeof *logits);
    void *workspace = room(size);
    EXPECT(EDGE_OK, edge_mrl_logits(&e->head, e->x, e->n, e->head.dim, dim,
                                    read_flags(e->columns[N_COMMON + 1]), workspace, size, logits));
    CHECK(memcmp(logits, wanted, n_logits * sizeof *logits) == 0);
    free(workspace);
    free(logits);
    free(wanted);
}

static edge_signal signal_named(const char *name) {
    return strcmp(name, "margin") == 0    ? EDGE_SIGNAL_MARGIN
           : strcmp(name, "entropy") == 0 ? EDGE_SIGNAL_ENTROPY
                                          : EDGE_SIGNAL_SOFTMAX;
}

static void cascade_case(void *argument) {
    const example *e = (const example *)argument;
    char *at = e->columns[N_COMMON], *before = e->columns[N_COMMON + 3];
    char *answer = e->columns[N_COMMON + 4];
    const uint32_t flags = read_flags(e->columns[N_COMMON + 2]);
    const size_t size = edge_mrl_workspace_size(&e->head);
    edge_step steps[EDGE_MRL_MAX_DIMS];
    uint32_t n_steps = 0, *previous = NULL;
    for (; *at; n_steps++) {
        steps[n_steps].dim = read_number(&at, 10);
        steps[n_steps].threshold = as_float(read_number(&at, 16));
    }
    if (*before != '-') {
        previous = (uint32_t *)room(e->n * sizeof *previous);
        for (size_t i = 0; i < e->n; i++) previous[i] = read_number(&before, 10);
    }
    const size_t n_verdicts = flags & EDGE_MRL_EVERY_STEP ? e->n * n_steps : e->n;
    edge_verdict *verdicts = (edge_verdict *)room(n_verdicts * sizeof *verdicts);
    void *workspace = room(size);
    EXPECT(EDGE_OK, edge_mrl_cascade(&e->head, e->x, e->n, e->head.dim, steps, n_steps,
                                     signal_named(e->columns[N_COMMON + 1]), flags, previous,
                                     workspace, size, verdicts));
    for (size_t i = 0; i < n_verdicts; i++) {
        CHECK(verdicts[i].id == read_number(&answer, 10));
        CHECK(verdicts[i].step == read_number(&answer, 10));
        CHECK(as_raw(verdicts[i].confidence) == read_number(&answer, 16));
        CHECK(verdicts[i].sure == read_number(&answer, 10));
    }
    CHECK(*answer == '\0');
    free(workspace);
    free(verdicts);
    free(previous);
}

static char line[MAX_LINE];

static void answers_are_those_of_the_vectors(const char *name, int n_columns,
                                             void (*body)(void *)) {
    FILE *cases = vectors(name);
    char *columns[N_COMMON + 5];
    unsigned long n_cases = 0;
    for (; next_case(cases, line, columns, n_columns); n_cases++) {
        model m = read_model(columns);
        example e;
        size_t size;
        uint8_t *bytes = head_file(&m, &size);
        EXPECT(EDGE_OK, edge_mrl_open(bytes, size, 0, &e.head));
        CHECK(e.head.n_classes == m.n_classes && e.head.dim == dim_of(&m));
        CHECK(e.head.n_dims == m.n_dims && memcmp(e.head.dims, m.dims, sizeof m.dims) == 0);
        CHECK(e.head.tied == m.tied && e.head.normalized == m.normalized);
        CHECK(e.head.scale == m.scale);
        e.columns = columns;
        e.n = (size_t)strtoul(columns[N], NULL, 10);
        e.x = read_floats(columns[X], e.n * e.head.dim);
        on_every_isa(body, &e);
        free(e.x);
        free(bytes);
        forget(&m);
    }
    CHECK(n_cases > 50);
    fclose(cases);
}

/* ---- the calls --------------------------------------------------------------------------- */

/* A head in memory, and room for its calls, not a byte more. */
typedef struct fixture {
    model m;
    edge_mrl head;
    uint8_t *bytes;
    size_t size, workspace_size;
    void *workspace;
} fixture;

static void set_up(fixture *f, uint32_t n_classes, uint32_t tied, uint32_t normalized) {
    f->m = random_model(n_classes, tied, normalized);
    f->bytes = head_file(&f->m, &f->size);
    EXPECT(EDGE_OK, edge_mrl_open(f->bytes, f->size, 0, &f->head));
    f->workspace_size = edge_mrl_workspace_size(&f->head);
    f->workspace = room(f->workspace_size);
}

static void tear_down(fixture *f) {
    free(f->workspace);
    free(f->bytes);
    forget(&f->m);
}

static const edge_step three[3] = {{2, 0.08f}, {8, 0.08f}, {24, 0.0f}};

static edge_status run(const fixture *f, const float *x, size_t n, size_t stride,
                       const edge_step *steps, uint32_t n_steps, uint32_t flags,
                       edge_verdict *verdicts) {
    return edge_mrl_cascade(&f->head, x, n, stride, steps, n_steps, EDGE_SIGNAL_MARGIN, flags,
                            NULL, f->workspace, f->workspace_size, verdicts);
}

static int same_verdict(const edge_verdict *a, const edge_verdict *b) {
    return a->id == b->id && a->step == b->step && a->sure == b->sure &&
           as_raw(a->confidence) == as_raw(b->confidence);
}

static unsigned long left_at[3]; /* embeddings, by the step that they left at */

/* Of a batch as one by one, whatever lies between the rows, and step by step as all at once. */
static void steps_and_batches_do_not_change_an_answer(void *argument) {
    enum { ROWS = 40, STRIDE = 29 };
    fixture *f = (fixture *)argument;
    float *x = reals(7, 2, ROWS * STRIDE);
    edge_verdict batch[ROWS], every[ROWS][3], alone;
    for (size_t i = 0; i < ROWS; i++) x[i * STRIDE + 24] = as_float(0x7fc00000u);
    EXPECT(EDGE_OK, run(f, x, ROWS, STRIDE, three, 3, 0, batch));
    EXPECT(EDGE_OK, run(f, x, ROWS, STRIDE, three, 3, EDGE_MRL_EVERY_STEP, every[0]));
    for (size_t i = 0; i < ROWS; i++) {
        uint32_t leave = 0;
        EXPECT(EDGE_OK, run(f, x + i * STRIDE, 1, 24, three, 3, 0, &alone));
        CHECK(same_verdict(&alone, &batch[i]));
        while (leave < 2 && !every[i][leave].sure) leave++;
        CHECK(same_verdict(&every[i][leave], &batch[i]));
        left_at[batch[i].step]++;
        for (uint32_t j = 0; j < 3; j++) {
            CHECK(every[i][j].step == j && every[i][j].id < f->head.n_classes);
            CHECK(every[i][j].sure == (every[i][j].confidence > three[j].threshold));
            EXPECT(EDGE_OK, run(f, x + i * STRIDE, 1, 24, &three[j], 1, 0, &alone));
            CHECK(alone.id == every[i][j].id);
            CHECK(as_raw(alone.confidence) == as_raw(every[i][j].confidence));
        }
    }
    free(x);
}

static void on_some_heads(void (*body)(void *)) {
    static const uint32_t counts[] = {1, 16, 17, 80, 130};
    for (unsigned i = 0; i < 4 * sizeof counts / sizeof *counts; i++) {
        fixture f;
        set_up(&f, counts[i / 4], i & 1, i >> 1 & 1);
        on_every_isa(body, &f);
        tear_down(&f);
    }
}

static void buffers_that_are_too_small_or_misaligned_are_refused(void) {
    fixture f;
    float x[24] = {1}, logits[17];
    edge_verdict verdict;
    current = "workspace";
    set_up(&f, 17, 1, 0);
    CHECK(f.workspace_size == 2 * 32 * sizeof(float));
    EXPECT(EDGE_OK, edge_mrl_logits(&f.head, x, 1, 24, 8, 0, f.workspace, f.workspace_size,
                                    logits));
    f.workspace_size--;
    EXPECT(EDGE_ERR_CAPACITY, edge_mrl_logits(&f.head, x, 1, 24, 8, 0, f.workspace,
                                              f.workspace_size, logits));
    EXPECT(EDGE_ERR_CAPACITY, run(&f, x, 1, 24, three, 3, 0, &verdict));
    f.workspace_size++;
    for (size_t by = 1; by < 4; by++) {
        uint8_t *more = (uint8_t *)room(f.workspace_size + by);
        EXPECT(EDGE_ERR_ARGUMENT, edge_mrl_logits(&f.head, x, 1, 24, 8, 0, more + by,
                                                  f.workspace_size, logits));
        EXPECT(EDGE_ERR_ARGUMENT,
               edge_mrl_cascade(&f.head, x, 1, 24, three, 3, EDGE_SIGNAL_MARGIN, 0, NULL,
                                more + by, f.workspace_size, &verdict));
        free(more);
    }
    tear_down(&f);
}

static void nulls_and_counts_out_of_range_are_refused(void) {
    fixture f;
    edge_mrl closed;
    float x[24] = {1}, logits[17];
    edge_verdict verdict;
    current = "arguments";
    memset(&closed, 0, sizeof closed);
    set_up(&f, 17, 1, 0);
    CHECK(edge_mrl_workspace_size(NULL) == 0 && edge_mrl_workspace_size(&closed) == 0);
#define LOGITS(head, x, n, stride, dim, workspace, logits) \
    edge_mrl_logits(head, x, n, stride, dim, 0, workspace, f.workspace_size, logits)
    EXPECT(EDGE_ERR_ARGUMENT, LOGITS(NULL, x, 1, 24, 8, f.workspace, logits));
    EXPECT(EDGE_ERR_ARGUMENT, LOGITS(&closed, x, 1, 24, 8, f.workspace, logits));
    EXPECT(EDGE_ERR_ARGUMENT, LOGITS(&f.head, NULL, 1, 24, 8, f.workspace, logits));
    EXPECT(EDGE_ERR_ARGUMENT, LOGITS(&f.head, x, 1, 23, 8, f.workspace, logits));
    EXPECT(EDGE_ERR_ARGUMENT, LOGITS(&f.head, x, 1, 24, 8, NULL, logits));
    EXPECT(EDGE_ERR_ARGUMENT, LOGITS(&f.head, x, 1, 24, 8, f.workspace, NULL));
    EXPECT(EDGE_ERR_ARGUMENT, LOGITS(&f.head, x, 1, 24, 0, f.workspace, logits));
    EXPECT(EDGE_ERR_ARGUMENT, LOGITS(&f.head, x, 1, 24, 25, f.workspace, logits));
    EXPECT(EDGE_OK, LOGITS(&f.head, NULL, 0, 24, 8, f.workspace, NULL));
#undef LOGITS
#define CASCADE(head, x, n, stride, steps, n_steps, signal, workspace, verdicts)                 \
    edge_mrl_cascade(head, x, n, stride, steps, n_steps, signal, 0, NULL, workspace,             \
                     f.workspace_size, verdicts)
#define SOFTMAX EDGE_SIGNAL_SOFTMAX
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(NULL, x, 1, 24, three, 3, SOFTMAX, f.workspace, &verdict));
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(&closed, x, 1, 24, three, 3, SOFTMAX, f.workspace, &verdict));
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(&f.head, NULL, 1, 24, three, 3, SOFTMAX, f.workspace,
                                      &verdict));
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(&f.head, x, 1, 23, three, 3, SOFTMAX, f.workspace, &verdict));
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(&f.head, x, 1, 24, NULL, 3, SOFTMAX, f.workspace, &verdict));
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(&f.head, x, 1, 24, three, 0, SOFTMAX, f.workspace, &verdict));
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(&f.head, x, 1, 24, three, EDGE_MRL_MAX_DIMS + 1, SOFTMAX,
                                      f.workspace, &verdict));
    for (int signal = -1; signal <= 4; signal++)
        EXPECT(signal < 1 || signal > 3 ? EDGE_ERR_ARGUMENT : EDGE_OK,
               CASCADE(&f.head, x, 1, 24, three, 3, (edge_signal)signal, f.workspace, &verdict));
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(&f.head, x, 1, 24, three, 3, SOFTMAX, NULL, &verdict));
    EXPECT(EDGE_ERR_ARGUMENT, CASCADE(&f.head, x, 1, 24, three, 3, SOFTMAX, f.workspace, NULL));
    EXPECT(EDGE_OK, CASCADE(&f.head, NULL, 0, 24, three, 3, SOFTMAX, f.workspace, NULL));
#undef SOFTMAX
#undef CASCADE
    tear_down(&f);
}

static void steps_must_grow_and_have_thresholds(void) {
    static const struct {
        edge_step steps[2];
        edge_status tied, between, own; /* of a tied head, one that is cut anywhere, of others */
    } cases[] = {
        {{{2, 0}, {8, 0}}, EDGE_OK, EDGE_OK, EDGE_OK},
        {{{8, 0}, {8, 0}}, EDGE_ERR_ARGUMENT, EDGE_ERR_ARGUMENT, EDGE_ERR_ARGUMENT},
        {{{8, 0}, {2, 0}}, EDGE_ERR_ARGUMENT, EDGE_ERR_ARGUMENT, EDGE_ERR_ARGUMENT},
        {{{0, 0}, {8, 0}}, EDGE_ERR_ARGUMENT, EDGE_ERR_ARGUMENT, EDGE_ERR_ARGUMENT},
        {{{8, 0}, {25, 0}}, EDGE_ERR_ARGUMENT, EDGE_ERR_ARGUMENT, EDGE_ERR_ARGUMENT},
        {{{2, 0}, {9, 0}}, EDGE_ERR_UNTRAINED, EDGE_OK, EDGE_ERR_UNTRAINED},
        {{{1, 0}, {23, 0}}, EDGE_ERR_UNTRAINED, EDGE_OK, EDGE_ERR_UNTRAINED},
    };
    const float x[24] = {1};
    edge_step bad[2] = {{2, 0}, {8, 0}};
    edge_verdict verdict;
    fixture tied, own;
    current = "steps";
    set_up(&tied, 17, 1, 0);
    set_up(&own, 17, 0, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const edge_step *steps = cases[i].steps;
        EXPECT(cases[i].tied, run(&tied, x, 1, 24, steps, 2, 0, &verdict));
        EXPECT(cases[i].between, run(&tied, x, 1, 24, steps, 2, EDGE_MRL_INTERPOLATE, &verdict));
        EXPECT(cases[i].own, run(&own, x, 1, 24, steps, 2, EDGE_MRL_INTERPOLATE, &verdict));
        EXPECT(cases[i].own, run(&own, NULL, 0, 24, steps, 2, 0, NULL)); /* checked all the same */
    }
    bad[1].threshold = as_float(0x7fc00000u);
    EXPECT(EDGE_ERR_ARGUMENT, run(&tied, x, 1, 24, bad, 2, 0, &verdict));
    tear_down(&tied);
    tear_down(&own);
}

/* Only coordinates that are used count. */
static void coordinates_that_are_not_finite_are_refused_where_they_are_used(void *argument) {
    static const uint32_t bad[] = {0x7fc00000u, 0xffc00001u, 0x7f800000u, 0xff800000u,
                                   0x5a0e1bcau /* 1e16 */, 0xda0e1bcau};
    static const edge_step sure_at_2[2] = {{2, -1.0f}, {24, 0.0f}};
    const fixture *f = (const fixture *)argument;
    float *logits = (float *)room(f->head.n_classes * sizeof *logits);
    edge_verdict verdict;
    for (uint32_t place = 0; place < 24; place++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            float x[24];
            for (int j = 0; j < 24; j++) x[j] = 0.25f;
            x[place] = as_float(bad[i]);
            for (uint32_t j = 0; j < 3; j++)
                EXPECT(place < f->m.dims[j] ? EDGE_ERR_NOT_FINITE : EDGE_OK,
                       edge_mrl_logits(&f->head, x, 1, 24, f->m.dims[j], 0, f->workspace,
                                       f->workspace_size, logits));
            EXPECT(place < 2 ? EDGE_ERR_NOT_FINITE : EDGE_OK,
                   run(f, x, 1, 24, sure_at_2, 2, 0, &verdict));
            EXPECT(EDGE_ERR_NOT_FINITE,
                   run(f, x, 1, 24, sure_at_2, 2, EDGE_MRL_EVERY_STEP, &verdict));
        }
    free(logits);
}

/* 1e15, and all of it, is still allowed; nothing becomes infinite on the way. */
static void the_largest_numbers_stay_finite(void *argument) {
    const fixture *f = (const fixture *)argument;
    edge_verdict every[3];
    float x[24];
    for (int i = 0; i < 24; i++) x[i] = i % 2 ? 1e15f : -1e15f;
    EXPECT(EDGE_OK, run(f, x, 1, 24, three, 3, EDGE_MRL_EVERY_STEP, every));
    for (int j = 0; j < 3; j++)
        CHECK(every[j].id < f->head.n_classes && every[j].confidence >= 0 &&
              every[j].confidence <= 1);
}

/* Unverified, weights may be anything: an error or a class, but no other byte is touched. */
static void unverified_files_give_ids_in_range(void *argument) {
    const fixture *f = (const fixture *)argument;
    static const uint32_t strange[] = {0x7fc00000u, 0x7f800000u, 0xff800000u, 0x7f7fffffu,
                                       0xff7fffffu, 1};
    uint64_t state = 5;
    float x[24];
    uint8_t *bytes = (uint8_t *)room(f->size);
    for (int i = 0; i < 24; i++) x[i] = next_real(&state, 2);
    memcpy(bytes, f->bytes, f->size);
    for (int round = 0; round < 300; round++) {
        uint8_t *weights = bytes + ((const uint8_t *)f->head.weights - f->bytes);
        edge_mrl damaged;
        for (int i = 0; i < 1 + round % 40; i++) {
            const size_t n = f->size - (size_t)(weights - bytes);
            const uint32_t raw = strange[next_word(&state) % (sizeof strange / sizeof *strange)];
            memcpy(weights + next_word(&state) % (n / 4) * 4, &raw, 4);
        }
        EXPECT(EDGE_OK, edge_mrl_open(bytes, f->size, EDGE_UNVERIFIED, &damaged));
        for (int signal = EDGE_SIGNAL_SOFTMAX; signal <= EDGE_SIGNAL_ENTROPY; signal++) {
            edge_verdict every[3];
            const edge_status status =
                edge_mrl_cascade(&damaged, x, 1, 24, three, 3, (edge_signal)signal,
                                 EDGE_MRL_EVERY_STEP, NULL, f->workspace, f->workspace_size, every);
            CHECK(status == EDGE_OK || status == EDGE_ERR_NOT_FINITE);
            for (int j = 0; j < 3 && status == EDGE_OK; j++)
                CHECK(every[j].id < damaged.n_classes);
        }
        if (round % 40 == 39) memcpy(bytes, f->bytes, f->size);
    }
    free(bytes);
}

int main(int n_arguments, char **arguments) {
    static const edge_status mine[] = {EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_NOT_FINITE,
                                       EDGE_ERR_CAPACITY, EDGE_ERR_UNTRAINED};
    folder = n_arguments > 1 ? arguments[1] : NULL;
    answers_are_those_of_the_vectors("mrl_logits.txt", N_COMMON + 3, logits_case);
    answers_are_those_of_the_vectors("mrl_cascade.txt", N_COMMON + 5, cascade_case);
    current = "calls";
    on_some_heads(steps_and_batches_do_not_change_an_answer);
    CHECK(left_at[0] && left_at[1] && left_at[2]);
    on_some_heads(coordinates_that_are_not_finite_are_refused_where_they_are_used);
    on_some_heads(the_largest_numbers_stay_finite);
    on_some_heads(unverified_files_give_ids_in_range);
    buffers_that_are_too_small_or_misaligned_are_refused();
    nulls_and_counts_out_of_range_are_refused();
    steps_must_grow_and_have_thresholds();
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) CHECK(seen[mine[i] & 0xff]);
    printf("mrl     %lu checks  %lu instruction sets  %lu failures\n", n_checks,
           (unsigned long)edge_isa_count(), n_failures);
    return n_failures != 0;
}
