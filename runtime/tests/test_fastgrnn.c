/*
 * FastGRNN cells, by the public header alone but for the scalar functions, on
 * every instruction set of this machine: test_fastgrnn [tests/vectors].
 *
 * The vectors' answers come from NumPy (tests/vectors/make_fastgrnn.py), to the bit.
 * All buffers are allocated with just the bytes that they must have, so that a
 * sanitizer sees what goes beyond them.
 */
#include "fastgrnn_math.h"
#include "vectors.h"

/* ---- the vectors ------------------------------------------------------------------------- */

static char line[MAX_LINE];

enum { NAME, KIND, FILE_BYTES, FRAMES, STATES, LOGITS, N_COLUMNS };

/* The bytes of a column, which free() takes. */
static uint8_t *read_bytes(const char *at, size_t *size) {
    uint8_t *bytes;
    *size = *at == '-' ? 0 : strlen(at) / 2;
    bytes = (uint8_t *)room(*size);
    for (size_t i = 0; i < *size; i++) {
        const char digits[3] = {at[2 * i], at[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return bytes;
}

typedef struct example {
    edge_fastgrnn cell;
    uint8_t *bytes, *frames, *states, *logits;
    size_t n_bytes, n_frames; /* T */
    size_t states_size, logits_size;
} example;

static void open_example(char **columns, example *e) {
    size_t size;
    e->bytes = read_bytes(columns[FILE_BYTES], &e->n_bytes);
    EXPECT(EDGE_OK, edge_fastgrnn_open(e->bytes, e->n_bytes, 0, &e->cell));
    CHECK(e->cell.integers == (columns[KIND][0] == 'i'));
    e->frames = read_bytes(columns[FRAMES], &size);
    e->n_frames = size / e->cell.n_inputs / (e->cell.integers ? 2 : 4);
    e->states = read_bytes(columns[STATES], &e->states_size);
    e->logits = read_bytes(columns[LOGITS], &e->logits_size);
    CHECK(e->logits_size == 4 * (size_t)e->cell.n_classes);
}

static void close_example(example *e) {
    free(e->bytes);
    free(e->frames);
    free(e->states);
    free(e->logits);
}

/* The first `cut` frames at once, the others one by one. */
static void run_with_cut(const example *e, size_t cut) {
    const edge_fastgrnn *cell = &e->cell;
    const size_t size = edge_fastgrnn_state_size(cell), d = cell->n_inputs;
    void *state = room(size);
    uint8_t *states = (uint8_t *)room(e->states_size), *logits = (uint8_t *)room(e->logits_size);
    const size_t row = e->states_size / e->n_frames;
    EXPECT(EDGE_OK, edge_fastgrnn_init(cell, state, size));
    for (size_t t = 0; t < e->n_frames;) {
        const size_t n = t < cut ? cut : 1;
        if (cell->integers)
            EXPECT(EDGE_OK, edge_fastgrnn_run_i16(cell, state, size,
                                                  (const int16_t *)(const void *)e->frames + t * d,
                                                  n, (int16_t *)(void *)(states + t * row)));
        else
            EXPECT(EDGE_OK, edge_fastgrnn_run(cell, state, size,
                                              (const float *)(const void *)e->frames + t * d, n,
                                              (float *)(void *)(states + t * row)));
        t += n;
    }
    CHECK(memcmp(states, e->states, e->states_size) == 0);
    if (cell->n_classes) {
        if (cell->integers)
            EXPECT(EDGE_OK, edge_fastgrnn_logits_i32(cell, state, size,
                                                     (int32_t *)(void *)logits));
        else
            EXPECT(EDGE_OK, edge_fastgrnn_logits(cell, state, size, (float *)(void *)logits));
        CHECK(memcmp(logits, e->logits, e->logits_size) == 0);
    }
    free(state);
    free(states);
    free(logits);
}

static void whole_and_streamed(void *argument) {
    const example *e = (const example *)argument;
    for (size_t cut = 0; cut <= e->n_frames; cut++) run_with_cut(e, cut);
}

/* Of a cell in integers, floats in and floats out say the same. */
static void floats_are_the_integers(const example *e) {
    const edge_fastgrnn *cell = &e->cell;
    const size_t size = edge_fastgrnn_state_size(cell), d = cell->n_inputs, n = cell->n_hidden;
    void *state = room(size);
    float *x = (float *)room(e->n_frames * d * 4), *h = (float *)room(n * 4);
    float step = 1;
    for (int32_t i = 0; i < cell->input_bits; i++) step /= 2;
    for (int32_t i = 0; i > cell->input_bits; i--) step *= 2;
    for (size_t i = 0; i < e->n_frames * d; i++)
        x[i] = (float)((const int16_t *)(const void *)e->frames)[i] * step;
    EXPECT(EDGE_OK, edge_fastgrnn_init(cell, state, size));
    EXPECT(EDGE_OK, edge_fastgrnn_run(cell, state, size, x, e->n_frames, NULL));
    CHECK(memcmp(state, e->states + e->states_size - n * 2, n * 2) == 0);
    EXPECT(EDGE_OK, edge_fastgrnn_get(cell, state, size, h));
    EXPECT(EDGE_OK, edge_fastgrnn_init(cell, state, size));
    EXPECT(EDGE_OK, edge_fastgrnn_set(cell, state, size, h));
    CHECK(memcmp(state, e->states + e->states_size - n * 2, n * 2) == 0);
    free(state);
    free(x);
    free(h);
}

static void answers_are_those_of_the_vectors(void) {
    FILE *cases = vectors("fastgrnn.txt");
    char *columns[N_COLUMNS];
    unsigned long n_cases = 0;
    for (; next_case(cases, line, columns, N_COLUMNS); n_cases++) {
        example e;
        open_example(columns, &e);
        on_every_isa(whole_and_streamed, &e);
        if (e.cell.integers) floats_are_the_integers(&e);
        close_example(&e);
    }
    CHECK(n_cases > 30);
    fclose(cases);
}

/* ---- the calls --------------------------------------------------------------------------- */

/* The case of that name and kind, opened. */
static void find_example(const char *name, const char *kind, example *e) {
    FILE *cases = vectors("fastgrnn.txt");
    char *columns[N_COLUMNS];
    while (next_case(cases, line, columns, N_COLUMNS))
        if (strcmp(columns[NAME], name) == 0 && strcmp(columns[KIND], kind) == 0) break;
    open_example(columns, e);
    fclose(cases);
}

static void bad_arguments_are_refused(const char *kind) {
    example e;
    edge_fastgrnn closed;
    float x[32] = {1}, h[48], logits[10];
    int16_t x_q[32] = {1};
    int32_t logits_q[10];
    size_t size;
    uint8_t *state;
    memset(&closed, 0, sizeof closed);
    find_example("digits", kind, &e);
    size = edge_fastgrnn_state_size(&e.cell);
    state = (uint8_t *)room(size + 4);
    CHECK(edge_fastgrnn_state_size(NULL) == 0 && edge_fastgrnn_state_size(&closed) == 0);
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_init(NULL, state, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_init(&closed, state, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_init(&e.cell, NULL, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_init(&e.cell, state + 1, size));
    EXPECT(EDGE_ERR_CAPACITY, edge_fastgrnn_init(&e.cell, state, size - 1));
    EXPECT(EDGE_OK, edge_fastgrnn_init(&e.cell, state, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_step(&e.cell, state, size, NULL));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_run(&e.cell, state, size, x, 0, NULL));
    EXPECT(EDGE_ERR_CAPACITY, edge_fastgrnn_run(&e.cell, state, size - 1, x, 1, NULL));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_get(&e.cell, state, size, NULL));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_set(&e.cell, state, size, NULL));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_logits(&e.cell, state, size, NULL));
    EXPECT(EDGE_ERR_CAPACITY, edge_fastgrnn_logits(&e.cell, state, size - 1, logits));
    EXPECT(EDGE_ERR_CAPACITY, edge_fastgrnn_get(&e.cell, state, size - 1, h));
    EXPECT(EDGE_ERR_CAPACITY, edge_fastgrnn_set(&e.cell, state, size - 1, h));
    if (e.cell.integers) {
        EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_run_i16(&e.cell, state, size, NULL, 1, NULL));
        EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_run_i16(&e.cell, state, size, x_q, 0, NULL));
        EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_logits_i32(&e.cell, state, size, NULL));
    } else {
        EXPECT(EDGE_ERR_ABSENT, edge_fastgrnn_run_i16(&e.cell, state, size, x_q, 1, NULL));
        EXPECT(EDGE_ERR_ABSENT, edge_fastgrnn_logits_i32(&e.cell, state, size, logits_q));
    }
    free(state);
    close_example(&e);
    find_example("no_head", kind, &e);
    size = edge_fastgrnn_state_size(&e.cell);
    state = (uint8_t *)room(size);
    EXPECT(EDGE_OK, edge_fastgrnn_init(&e.cell, state, size));
    EXPECT(EDGE_ERR_ABSENT, edge_fastgrnn_logits(&e.cell, state, size, logits));
    EXPECT(EDGE_ERR_ABSENT, edge_fastgrnn_logits_i32(&e.cell, state, size, logits_q));
    free(state);
    close_example(&e);
}

static float as_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void frames_that_are_not_finite_leave_the_state_as_it_was(void *argument) {
    static const uint32_t bad[] = {0x7fc00000u, 0xffc00001u, 0x7f800000u, 0xff800000u};
    const example *e = (const example *)argument;
    const size_t size = edge_fastgrnn_state_size(&e->cell), n = e->cell.n_hidden;
    void *state = room(size);
    float x[64], before[48], after[48], h[48];
    for (size_t i = 0; i < 64; i++) x[i] = 0.25f * (float)(i % 7);
    EXPECT(EDGE_OK, edge_fastgrnn_init(&e->cell, state, size));
    EXPECT(EDGE_OK, edge_fastgrnn_run(&e->cell, state, size, x, 2, NULL));
    EXPECT(EDGE_OK, edge_fastgrnn_get(&e->cell, state, size, before));
    for (size_t i = 0; i < 4 * 64; i++) {
        x[i / 4] = as_float(bad[i % 4]);
        EXPECT(EDGE_ERR_NOT_FINITE, edge_fastgrnn_run(&e->cell, state, size, x, 2, NULL));
        EXPECT(EDGE_OK, edge_fastgrnn_get(&e->cell, state, size, after));
        CHECK(memcmp(before, after, n * sizeof *after) == 0);
        x[i / 4] = 0;
    }
    memcpy(h, before, sizeof h);
    h[n - 1] = as_float(bad[0]);
    EXPECT(EDGE_ERR_NOT_FINITE, edge_fastgrnn_set(&e->cell, state, size, h));
    EXPECT(EDGE_OK, edge_fastgrnn_get(&e->cell, state, size, after));
    CHECK(memcmp(before, after, n * sizeof *after) == 0);
    free(state);
}

static void states_are_kept_when_frames_are_bad(const char *kind) {
    example e;
    find_example("digits", kind, &e);
    on_every_isa(frames_that_are_not_finite_leave_the_state_as_it_was, &e);
    close_example(&e);
}

/* Whatever bit is flipped and wherever it is cut, a file is refused; unverified, it is harmless. */
static void damaged_files_are_refused(const char *kind) {
    example e;
    edge_fastgrnn cell;
    float x[3] = {1, -2, 3};
    find_example("no_head", kind, &e);
    for (size_t i = 0; i < 8 * e.n_bytes; i++) {
        e.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        CHECK(edge_fastgrnn_open(e.bytes, e.n_bytes, 0, &cell) != EDGE_OK);
        CHECK(cell.n_hidden == 0);
        if (edge_fastgrnn_open(e.bytes, e.n_bytes, EDGE_UNVERIFIED, &cell) == EDGE_OK) {
            const size_t size = edge_fastgrnn_state_size(&cell);
            void *state = room(size);
            EXPECT(EDGE_OK, edge_fastgrnn_init(&cell, state, size));
            const edge_status status = edge_fastgrnn_step(&cell, state, size, x);
            CHECK(status == EDGE_OK || status == EDGE_ERR_NOT_FINITE);
            free(state);
        }
        e.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t size = 0; size < e.n_bytes; size++) {
        uint8_t *part = (uint8_t *)room(size);
        memcpy(part, e.bytes, size);
        EXPECT(EDGE_ERR_FORMAT, edge_fastgrnn_open(part, size, 0, &cell));
        EXPECT(EDGE_ERR_FORMAT, edge_fastgrnn_open(part, size, EDGE_UNVERIFIED, &cell));
        free(part);
    }
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_open(NULL, 0, 0, &cell));
    EXPECT(EDGE_ERR_ARGUMENT, edge_fastgrnn_open(e.bytes, e.n_bytes, 0, NULL));
    close_example(&e);
}

/* ---- the functions ----------------------------------------------------------------------- */

/* e^x in double, by its series after halving: enough for a bound of 1e-7. */
static double obvious_exp(double x) {
    double sum = 1, term = 1;
    int halvings = 0;
    while (x > 0.1 || x < -0.1) {
        x /= 2;
        halvings++;
    }
    for (int i = 1; i < 16; i++) sum += term *= x / i;
    while (halvings--) sum *= sum;
    return sum;
}

static double distance(double a, double b) { return a < b ? b - a : a - b; }

/* Every 257th float up to 100, and the largest. */
static void tanh_and_sigmoid_are_near_the_true_ones(void) {
    double most_tanh = 0, most_sigmoid = 0;
    current = "tanh and sigmoid";
    for (uint32_t bits = 0; bits < 0x42c80000u; bits += bits < 0x33000000u ? 65537 : 257) {
        const float x = as_float(bits), y = edge_tanh(x), z = edge_sigmoid(x);
        const double e = obvious_exp(-2 * (double)x), s = obvious_exp(-(double)x);
        const double off = distance((double)y, (1 - e) / (1 + e));
        const double up = distance((double)z, 1 / (1 + s));
        const double down = distance((double)edge_sigmoid(-x), s / (1 + s));
        most_tanh = off > most_tanh ? off : most_tanh;
        most_sigmoid = up > most_sigmoid ? up : most_sigmoid;
        most_sigmoid = down > most_sigmoid ? down : most_sigmoid;
        CHECK(y >= 0 && y <= 1 && edge_tanh(-x) == -y && z >= 0.5f && z <= 1);
    }
    CHECK(most_tanh < 1.4e-7);
    CHECK(most_sigmoid < 1.1e-7);
    for (uint32_t bits = 0x42c80000u; bits <= 0x7f800000u; bits += 1u << 16) {
        CHECK(edge_tanh(as_float(bits)) == 1 && edge_tanh(-as_float(bits)) == -1);
        CHECK(edge_sigmoid(as_float(bits)) == 1 && edge_sigmoid(-as_float(bits)) < 2e-38f);
    }
}

int main(int n_arguments, char **arguments) {
    static const edge_status mine[] = {EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_NOT_FINITE,
                                       EDGE_ERR_CAPACITY, EDGE_ERR_ABSENT, EDGE_ERR_FORMAT};
    folder = n_arguments > 1 ? arguments[1] : NULL;
    answers_are_those_of_the_vectors();
    for (int i = 0; i < 2; i++) {
        const char *kind = i ? "i16" : "f32";
        bad_arguments_are_refused(kind);
        states_are_kept_when_frames_are_bad(kind);
        damaged_files_are_refused(kind);
    }
    tanh_and_sigmoid_are_near_the_true_ones();
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) CHECK(seen[mine[i] & 0xff]);
    printf("fastgrnn %lu checks  %lu instruction sets  %lu failures\n", n_checks,
           (unsigned long)edge_isa_count(), n_failures);
    return n_failures != 0;
}
