/*
 * The log-mel front end, by the public header alone: test_logmel [tests/vectors].
 *
 * The vectors' answers come from NumPy (tests/vectors/make_logmel.py), to the bit.
 * Buffers have just the bytes asked for, so that a sanitizer sees what goes beyond.
 */
#include "vectors.h"

enum { TABLE_COLUMNS = 9, CASE_COLUMNS = 4, MAX_FRONTS = 16, MAX_NAME = 32 };

/* A front end with arrays of its own. */
typedef struct front {
    char name[MAX_NAME];
    edge_logmel_config config;
    int16_t *weights;
    int32_t *sine;
    uint16_t *position;
} front;

static front fronts[MAX_FRONTS];
static size_t n_fronts;
static char line[MAX_LINE];

/* ---- reading ------------------------------------------------------------------------- */

static uint32_t read_word(const char *at, int n_digits) {
    char digits[9];
    memcpy(digits, at, (size_t)n_digits);
    digits[n_digits] = '\0';
    return (uint32_t)strtoul(digits, NULL, 16);
}

static uint32_t number(const char *text) { return (uint32_t)strtoul(text, NULL, 10); }

static void read_tables(char **columns, front *f) {
    edge_logmel_config *c = &f->config;
    const char *weights = columns[6], *sine = columns[7], *position = columns[8];
    snprintf(f->name, sizeof f->name, "%.31s", columns[0]);
    c->window = number(columns[1]);
    c->hop = number(columns[2]);
    c->n_fft = number(columns[3]);
    c->n_bands = number(columns[4]);
    c->floor_log2 = number(columns[5]);
    CHECK(strlen(weights) == 4 * (size_t)c->window);
    CHECK(strlen(sine) == 8 * (size_t)(c->n_fft / 4 + 1));
    CHECK(strlen(position) == 4 * (size_t)(c->n_fft / 2 + 1));
    c->weights = f->weights = (int16_t *)room(c->window * sizeof *f->weights);
    c->sine = f->sine = (int32_t *)room((c->n_fft / 4 + 1) * sizeof *f->sine);
    c->position = f->position = (uint16_t *)room((c->n_fft / 2 + 1) * sizeof *f->position);
    for (uint32_t i = 0; i < c->window; i++)
        f->weights[i] = (int16_t)read_word(weights + 4 * i, 4);
    for (uint32_t i = 0; i <= c->n_fft / 4; i++)
        f->sine[i] = (int32_t)read_word(sine + 8 * i, 8);
    for (uint32_t i = 0; i <= c->n_fft / 2; i++)
        f->position[i] = (uint16_t)read_word(position + 4 * i, 4);
}

static void read_fronts(void) {
    FILE *file = vectors("logmel_tables.txt");
    char *columns[TABLE_COLUMNS];
    while (n_fronts < MAX_FRONTS && next_case(file, line, columns, TABLE_COLUMNS))
        read_tables(columns, &fronts[n_fronts++]);
    CHECK(n_fronts >= 7);
    fclose(file);
}

static front *front_named(const char *name) {
    for (size_t i = 0; i < n_fronts; i++)
        if (strcmp(fronts[i].name, name) == 0) return &fronts[i];
    fprintf(stderr, "no front end %s\n", name);
    exit(2);
}

/* VALUE*COUNT or @SEED:SHIFT*COUNT, again and again. Returns the samples and their number. */
static int16_t *read_samples(const char *text, size_t *n) {
    size_t all = 0, at = 0;
    int16_t *samples;
    for (const char *star = strchr(text, '*'); star; star = strchr(star + 1, '*'))
        all += strtoul(star + 1, NULL, 10);
    samples = (int16_t *)room(all * sizeof *samples);
    while (*text) {
        const char *const star = strchr(text, '*');
        const int is_random = *text == '@';
        const int value = is_random ? 0 : (int)strtol(text, NULL, 10);
        uint64_t state = is_random ? strtoull(text + 1, NULL, 10) : 0;
        const int shift = is_random ? (int)strtol(strchr(text, ':') + 1, NULL, 10) : 0;
        char *end;
        const size_t stop = at + strtoul(star + 1, &end, 10);
        for (; at < stop; at++) {
            const int drawn = is_random ? (int16_t)(next_word(&state) >> 48) : value;
            /* As a floor, without shifting what is negative. */
            samples[at] = (int16_t)(drawn >= 0 ? drawn >> shift : ~(~drawn >> shift));
        }
        text = *end == ',' ? end + 1 : end;
    }
    CHECK(at == all);
    *n = all;
    return samples;
}

/* ---- a front end at work ------------------------------------------------------------- */

typedef struct work {
    edge_logmel logmel;
    void *workspace;
} work;

static void start(work *w, const edge_logmel_config *config) {
    const size_t size = edge_logmel_size(config);
    w->workspace = room(size);
    EXPECT(EDGE_OK, edge_logmel_init(&w->logmel, config, w->workspace, size));
}

/* In pieces of `piece` samples; the features of all of them. */
static int16_t *features_of(work *w, const int16_t *samples, size_t n, size_t piece,
                            size_t *n_frames) {
    const size_t n_bands = w->logmel.config.n_bands, most = edge_logmel_frames(&w->logmel, n);
    int16_t *features = (int16_t *)room(most * n_bands * sizeof *features);
    *n_frames = 0;
    for (size_t at = 0; at < n;) {
        const size_t here = n - at < piece ? n - at : piece;
        const size_t coming = edge_logmel_frames(&w->logmel, here);
        int16_t *part = (int16_t *)room(here * sizeof *part);
        size_t got, used;
        memcpy(part, samples + at, here * sizeof *part);
        EXPECT(EDGE_OK, edge_logmel_push(&w->logmel, part, here, features + *n_frames * n_bands,
                                         most - *n_frames, &got, &used));
        CHECK(used == here && got == coming);
        *n_frames += got;
        at += here;
        free(part);
    }
    CHECK(*n_frames == most);
    return features;
}

static void check_features(const char *answer, const int16_t *features, size_t n_frames,
                           size_t n_bands) {
    CHECK(strlen(answer) == (n_frames ? n_frames * (4 * n_bands + 1) - 1 : 1));
    for (size_t i = 0; i < n_frames; i++)
        for (size_t b = 0; b < n_bands; b++)
            CHECK((uint16_t)features[i * n_bands + b] ==
                  read_word(answer + i * (4 * n_bands + 1) + 4 * b, 4));
}

static void features_are_those_of_the_vectors_however_they_come(void) {
    static const size_t pieces[] = {1, 7, 80, 199, 200, 201, 100000};
    FILE *cases = vectors("logmel.txt");
    char *columns[CASE_COLUMNS];
    unsigned long n_cases = 0;
    for (; next_case(cases, line, columns, CASE_COLUMNS); n_cases++) {
        const front *f = front_named(columns[1]);
        size_t n, n_frames;
        int16_t *samples = read_samples(columns[2], &n);
        work w;
        start(&w, &f->config);
        for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
            int16_t *features = features_of(&w, samples, n, pieces[i], &n_frames);
            check_features(columns[3], features, n_frames, f->config.n_bands);
            edge_logmel_reset(&w.logmel);
            free(features);
        }
        free(w.workspace);
        free(samples);
    }
    CHECK(n_cases >= 40);
    fclose(cases);
}

/* With room for `max_frames` at a time, nothing is lost and nothing comes twice. */
static void want_of_room_stops_and_goes_on(void) {
    const edge_logmel_config *c = &front_named("8k_32")->config;
    int16_t samples[1000];
    size_t n_frames, n_again, got = 1, used = 1;
    uint64_t state = 3;
    work whole, w;
    current = "room";
    for (size_t i = 0; i < 1000; i++) samples[i] = (int16_t)(next_word(&state) >> 48);
    start(&whole, c);
    start(&w, c);
    int16_t *expected = features_of(&whole, samples, 1000, 1000, &n_frames);
    CHECK(n_frames == 11);
    EXPECT(EDGE_OK, edge_logmel_push(&w.logmel, samples, 1000, NULL, 0, &got, &used));
    CHECK(got == 0 && used == c->window - 1);
    EXPECT(EDGE_OK, edge_logmel_push(&w.logmel, samples + used, 1, NULL, 0, &got, &used));
    CHECK(got == 0 && used == 0);
    for (size_t max_frames = 1; max_frames < 13; max_frames++) {
        int16_t *some = (int16_t *)room(max_frames * c->n_bands * sizeof *some);
        edge_logmel_reset(&w.logmel);
        n_again = 0;
        for (size_t at = 0; at < 1000; at += used) {
            EXPECT(EDGE_OK, edge_logmel_push(&w.logmel, samples + at, 1000 - at, some, max_frames,
                                             &got, &used));
            CHECK(got <= max_frames && (got == max_frames || used == 1000 - at));
            CHECK(memcmp(some, expected + n_again * c->n_bands,
                         got * c->n_bands * sizeof *some) == 0);
            n_again += got;
            if (used == 0) break;
        }
        CHECK(n_again == n_frames);
        free(some);
    }
    free(expected);
    free(whole.workspace);
    free(w.workspace);
}

static void a_reset_forgets_all_samples(void) {
    const edge_logmel_config *c = &front_named("16k_32")->config;
    int16_t samples[900];
    size_t n_first, n_again;
    uint64_t state = 4;
    work w;
    current = "reset";
    for (size_t i = 0; i < 900; i++) samples[i] = (int16_t)(next_word(&state) >> 48);
    start(&w, c);
    int16_t *first = features_of(&w, samples, 900, 900, &n_first);
    edge_logmel_reset(&w.logmel);
    int16_t *again = features_of(&w, samples, 900, 33, &n_again);
    CHECK(n_first == 4 && n_again == 4);
    CHECK(memcmp(first, again, n_first * c->n_bands * sizeof *first) == 0);
    edge_logmel_reset(NULL);
    free(first);
    free(again);
    free(w.workspace);
}

/* ---- what is refused ----------------------------------------------------------------- */

static edge_status start_with(const edge_logmel_config *config) {
    const size_t size = edge_logmel_size(config);
    void *workspace = room(size);
    edge_logmel logmel;
    size_t got = 1, used = 1;
    int16_t sample = 1;
    const edge_status status = edge_logmel_init(&logmel, config, workspace, size);
    if (status != EDGE_OK) {
        CHECK(edge_logmel_frames(&logmel, 100000) == 0);
        EXPECT(EDGE_ERR_ARGUMENT, edge_logmel_push(&logmel, &sample, 1, NULL, 0, &got, &used));
        CHECK(got == 0 && used == 0);
    }
    free(workspace);
    return status;
}

static void a_workspace_too_small_or_misaligned_is_refused(void) {
    current = "workspace";
    CHECK(edge_logmel_size(&front_named("8k_32")->config) == 1424);
    CHECK(edge_logmel_size(&front_named("16k_32")->config) == 2848);
    CHECK(edge_logmel_size(NULL) == 0);
    for (size_t i = 0; i < n_fronts; i++) {
        const edge_logmel_config *c = &fronts[i].config;
        const size_t size = edge_logmel_size(c);
        edge_logmel logmel;
        uint8_t *workspace = (uint8_t *)room(size + 3);
        EXPECT(EDGE_OK, edge_logmel_init(&logmel, c, workspace, size));
        EXPECT(EDGE_ERR_CAPACITY, edge_logmel_init(&logmel, c, workspace, size - 1));
        EXPECT(EDGE_ERR_CAPACITY, edge_logmel_init(&logmel, c, workspace, 0));
        for (size_t by = 1; by < 4; by++)
            EXPECT(EDGE_ERR_ARGUMENT, edge_logmel_init(&logmel, c, workspace + by, size));
        EXPECT(EDGE_ERR_ARGUMENT, edge_logmel_init(&logmel, c, NULL, size));
        EXPECT(EDGE_ERR_ARGUMENT, edge_logmel_init(NULL, c, workspace, size));
        EXPECT(EDGE_ERR_ARGUMENT, edge_logmel_init(&logmel, NULL, workspace, size));
        free(workspace);
    }
}

static void numbers_out_of_range_are_refused(void) {
    const edge_logmel_config good = front_named("8k_32")->config;
    edge_logmel_config c;
    current = "numbers";
    EXPECT(EDGE_OK, start_with(&good));
#define TRY(status, field, value) (c = good, c.field = (value), EXPECT(status, start_with(&c)))
    TRY(EDGE_ERR_ARGUMENT, window, 0);
    TRY(EDGE_ERR_ARGUMENT, window, 1);
    TRY(EDGE_ERR_ARGUMENT, window, 257);
    TRY(EDGE_ERR_ARGUMENT, window, UINT32_MAX);
    TRY(EDGE_ERR_ARGUMENT, hop, 0);
    TRY(EDGE_OK, hop, 1);
    TRY(EDGE_OK, hop, 200);
    TRY(EDGE_ERR_ARGUMENT, hop, 201);
    TRY(EDGE_ERR_ARGUMENT, n_fft, 0);
    TRY(EDGE_ERR_ARGUMENT, n_fft, 128);
    TRY(EDGE_ERR_ARGUMENT, n_fft, 300);
    TRY(EDGE_ERR_ARGUMENT, n_fft, 2048);
    TRY(EDGE_ERR_ARGUMENT, n_bands, 0);
    TRY(EDGE_ERR_ARGUMENT, n_bands, 31); /* the positions end beyond */
    TRY(EDGE_OK, n_bands, 33);
    TRY(EDGE_OK, n_bands, EDGE_LOGMEL_MAX_BANDS);
    TRY(EDGE_ERR_ARGUMENT, n_bands, EDGE_LOGMEL_MAX_BANDS + 1);
    TRY(EDGE_ERR_ARGUMENT, n_bands, UINT32_MAX);
    TRY(EDGE_OK, floor_log2, 0);
    TRY(EDGE_OK, floor_log2, EDGE_LOGMEL_MAX_FLOOR);
    TRY(EDGE_ERR_ARGUMENT, floor_log2, EDGE_LOGMEL_MAX_FLOOR + 1);
    TRY(EDGE_ERR_ARGUMENT, weights, NULL);
    TRY(EDGE_ERR_ARGUMENT, sine, NULL);
    TRY(EDGE_ERR_ARGUMENT, position, NULL);
    TRY(EDGE_ERR_ARGUMENT, weights, (const int16_t *)((const char *)good.weights + 1));
    TRY(EDGE_ERR_ARGUMENT, sine, (const int32_t *)((const char *)good.sine + 2));
    TRY(EDGE_ERR_ARGUMENT, position, (const uint16_t *)((const char *)good.position + 1));
#undef TRY
}

static void a_table_with_any_number_wrong_is_refused(front *f) {
    edge_logmel_config *c = &f->config;
    current = f->name;
    EXPECT(EDGE_OK, start_with(c));
    for (uint32_t i = 0; i < c->window; i++) {
        const int16_t kept = f->weights[i];
        f->weights[i] = -1;
        EXPECT(EDGE_ERR_ARGUMENT, start_with(c));
        f->weights[i] = kept;
    }
    for (uint32_t i = 0; i <= c->n_fft / 4; i++) {
        static const int32_t by[] = {-8, 8, 1 << 30, -(1 << 30)};
        const int32_t kept = f->sine[i];
        for (size_t j = 0; j < 4; j++) {
            f->sine[i] = (int32_t)((uint32_t)kept + (uint32_t)by[j]);
            EXPECT(EDGE_ERR_ARGUMENT, start_with(c));
        }
        f->sine[i] = kept;
    }
    for (uint32_t k = 1; k <= c->n_fft / 2; k++) {
        const uint16_t kept = f->position[k];
        f->position[k] = UINT16_MAX;
        EXPECT(EDGE_ERR_ARGUMENT, start_with(c));
        if (f->position[k - 1] > 0) {
            f->position[k] = (uint16_t)(f->position[k - 1] - 1);
            EXPECT(EDGE_ERR_ARGUMENT, start_with(c));
        }
        f->position[k] = kept;
    }
    EXPECT(EDGE_OK, start_with(c));
}

/* At the limit a full-scale frame still comes out right: of a constant, the energy of its sum. */
static void the_heaviest_window_does_not_overflow(void) {
    front *f = front_named("8k_1");
    edge_logmel_config c = f->config;
    int16_t weights[256], samples[256], feature;
    uint16_t position[129];
    size_t got, used;
    work w;
    current = "heaviest";
    for (uint32_t i = 0; i < 256; i++) {
        weights[i] = 32764; /* 256 of them are EDGE_LOGMEL_MAX_WEIGHT */
        samples[i] = -32768;
    }
    for (uint32_t k = 0; k <= 128; k++) position[k] = (uint16_t)(k ? 2048 : 1024);
    c.window = c.hop = 256;
    c.weights = weights;
    c.position = position; /* all of the first point, nothing of the others */
    c.floor_log2 = 0;
    start(&w, &c);
    EXPECT(EDGE_OK, edge_logmel_push(&w.logmel, samples, 256, &feature, 1, &got, &used));
    CHECK(got == 1 && used == 256);
    CHECK(feature == 46 * 512 - 1 || feature == 46 * 512); /* (256 * 32764)^2 = 2^45.9996 */
    weights[7]++;
    EXPECT(EDGE_ERR_ARGUMENT, start_with(&c));
    free(w.workspace);
}

static void calls_with_bad_arguments_are_refused(void) {
    const edge_logmel_config *c = &front_named("8k_32")->config;
    int16_t samples[201] = {0}, features[33];
    size_t got, used;
    work w;
    current = "arguments";
    start(&w, c);
#define PUSH(logmel, samples, n, features, max_frames)                                          \
    (got = used = 9, edge_logmel_push(logmel, samples, n, features, max_frames, &got, &used))
    EXPECT(EDGE_ERR_ARGUMENT, PUSH(NULL, samples, 200, features, 1));
    CHECK(got == 0 && used == 0);
    EXPECT(EDGE_ERR_ARGUMENT, PUSH(&w.logmel, NULL, 200, features, 1));
    EXPECT(EDGE_ERR_ARGUMENT, PUSH(&w.logmel, samples, 200, NULL, 1));
    EXPECT(EDGE_ERR_ARGUMENT,
           PUSH(&w.logmel, (const int16_t *)((const char *)samples + 1), 200, features, 1));
    EXPECT(EDGE_ERR_ARGUMENT,
           PUSH(&w.logmel, samples, 200, (int16_t *)((char *)features + 1), 1));
    CHECK(got == 0 && used == 0);
    EXPECT(EDGE_ERR_ARGUMENT, edge_logmel_push(&w.logmel, samples, 200, features, 1, NULL, &used));
    EXPECT(EDGE_ERR_ARGUMENT, edge_logmel_push(&w.logmel, samples, 200, features, 1, &got, NULL));
    EXPECT(EDGE_OK, PUSH(&w.logmel, NULL, 0, NULL, 0));
    CHECK(got == 0 && used == 0);
    CHECK(edge_logmel_frames(NULL, 1000) == 0);
    CHECK(edge_logmel_frames(&w.logmel, 199) == 0 && edge_logmel_frames(&w.logmel, 200) == 1);
    EXPECT(EDGE_OK, PUSH(&w.logmel, samples, 200, features, 1)); /* no call above took a sample */
    CHECK(got == 1 && used == 200);
#undef PUSH
    free(w.workspace);
}

int main(int n_arguments, char **arguments) {
    static const edge_status mine[] = {EDGE_OK, EDGE_ERR_ARGUMENT, EDGE_ERR_CAPACITY};
    folder = n_arguments > 1 ? arguments[1] : NULL;
    read_fronts();
    features_are_those_of_the_vectors_however_they_come();
    want_of_room_stops_and_goes_on();
    a_reset_forgets_all_samples();
    a_workspace_too_small_or_misaligned_is_refused();
    numbers_out_of_range_are_refused();
    a_table_with_any_number_wrong_is_refused(front_named("8k_32"));
    a_table_with_any_number_wrong_is_refused(front_named("16k_62"));
    the_heaviest_window_does_not_overflow();
    calls_with_bad_arguments_are_refused();
    for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) CHECK(seen[mine[i] & 0xff]);
    for (size_t i = 0; i < n_fronts; i++) {
        free(fronts[i].weights);
        free(fronts[i].sine);
        free(fronts[i].position);
    }
    printf("logmel  %lu checks  %lu front ends  %lu failures\n", n_checks, (unsigned long)n_fronts,
           n_failures);
    return n_failures != 0;
}
