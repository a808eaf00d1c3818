/*
 * The decoders and the .llc file, by the public header alone, on every
 * instruction set of this machine: test_codes [tests/vectors].
 *
 * The vectors' answers come from NumPy (tests/vectors/make.py). All buffers are
 * allocated with just the bytes that the _size() functions ask for, so that a
 * sanitizer sees what goes beyond them.
 */
#include <math.h>

#include "vectors.h"

enum { MAX_VALUES = 4096, MAX_WORDS = 4 };

/* ---- a file, written as any program would ------------------------------------------ */

enum { WITH_CODES = 1, WITH_EXACT = 2, WITH_FILTER = 4, WITH_NEAREST = 8, WITH_MULTI = 16,
       WITH_CALIBRATION = 32, WITH_ALL = 31 };

static uint8_t *stored_codes(const uint64_t *codes, size_t n, uint32_t bits, size_t *size) {
    const size_t width = bits <= 32 ? 4 : bits <= 64 ? 8 : bits / 8;
    uint8_t *data = (uint8_t *)room(n * width);
    if (width == 4)
        for (size_t i = 0; i < n; i++) {
            const uint32_t narrow = (uint32_t)codes[i];
            memcpy(data + i * 4, &narrow, 4);
        }
    else if (n)
        memcpy(data, codes, n * width);
    *size = n * width;
    return data;
}

static void put_codes(writer *w, const uint64_t *codes, size_t n, uint32_t bits) {
    size_t size;
    uint8_t *data = stored_codes(codes, n, bits, &size);
    put(w, EDGE_TAG_CODES, bits <= 32 ? 4 : bits <= 64 ? 8 : bits / 8, data, size);
}

static void put_exact(writer *w, const uint64_t *codes, uint32_t n, uint32_t bits) {
    const size_t size = edge_exact_size(n, bits), scratch = edge_exact_workspace_size(n);
    uint8_t *data = (uint8_t *)room(size);
    void *workspace = room(scratch);
    size_t written = 0;
    uint32_t twins[2] = {0, 0};
    EXPECT(EDGE_OK, edge_exact_build(codes, n, bits, 1, data, size, &written, workspace, scratch,
                                     twins));
    CHECK(written != 0 && written <= size);
    free(workspace);
    put(w, EDGE_TAG_EXACT, 1, data, written);
}

static void put_filter(writer *w, const uint64_t *codes, uint32_t n, uint32_t bits) {
    const size_t size = edge_filter_size(n, bits);
    uint8_t *data = (uint8_t *)room(size);
    EXPECT(EDGE_OK, edge_filter_build(codes, n, bits, data, size));
    put(w, EDGE_TAG_FILTER, 1, data, size);
}

static void put_nearest(writer *w, const uint64_t *codes, uint32_t n, uint32_t bits) {
    const size_t size = edge_nearest_size(n, bits), scratch = edge_nearest_workspace_size(bits);
    uint8_t *data = (uint8_t *)room(size), *workspace = (uint8_t *)room(scratch);
    EXPECT(EDGE_OK, edge_nearest_build(codes, n, bits, data, size, workspace, scratch));
    free(workspace);
    put(w, EDGE_TAG_NEAREST, (uint32_t)(size >> bits), data, size);
}

static void put_multi(writer *w, const uint64_t *codes, uint32_t n, uint32_t bits) {
    const size_t size = edge_multi_size(n, bits);
    uint8_t *data = (uint8_t *)room(size);
    EXPECT(EDGE_OK, edge_multi_build(codes, n, bits, data, size));
    put(w, EDGE_TAG_MULTI, 1, data, size);
}

static uint8_t *class_file(const uint64_t *codes, uint32_t n, uint32_t bits, unsigned with,
                           size_t *size) {
    writer w;
    w.n = 0;
    if (n && (with & WITH_EXACT)) put_exact(&w, codes, n, bits);
    if (n && (with & WITH_FILTER)) put_filter(&w, codes, n, bits);
    if (n && (with & WITH_NEAREST) && bits <= EDGE_NEAREST_MAX_BITS)
        put_nearest(&w, codes, n, bits);
    if (n && (with & WITH_MULTI)) put_multi(&w, codes, n, bits);
    if (with & WITH_CODES) put_codes(&w, codes, n, bits);
    if (with & WITH_CALIBRATION) {
        float *rows = (float *)room(bits * 8);
        for (uint32_t j = 0; j < 2 * bits; j++) rows[j] = j < bits ? 2.0f : -0.5f;
        put(&w, EDGE_TAG_CALIBRATION, 4, rows, bits * 8);
    }
    return finish(&w, EDGE_KIND_CLASSES, bits, n, size);
}

static uint8_t *item_file(const uint64_t *codes, size_t n, uint32_t bits, size_t *size) {
    writer w;
    w.n = 0;
    put_codes(&w, codes, n, bits);
    return finish(&w, EDGE_KIND_INSTANCES, bits, n, size);
}

/* ---- the vectors ----------------------------------------------------------------- */

/* Words of up to 256 bits, `n_words` parts each, low part first. Returns how many. */
static size_t read_words(const char *at, size_t n_words, uint64_t *words) {
    size_t n = 0;
    if (strcmp(at, "-") == 0) return 0;
    for (;;) {
        const size_t digits = strcspn(at, ",");
        memset(words + n * n_words, 0, n_words * sizeof *words);
        for (size_t i = 0; i < digits; i++) {
            const char c = at[i];
            const uint64_t digit = (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
            const size_t place = digits - 1 - i;
            words[n * n_words + place / 16] |= digit << (place % 16 * 4);
        }
        n++;
        if (at[digits] == '\0') return n;
        at += digits + 1;
        if (n * n_words + n_words > MAX_VALUES) abort();
    }
}

static void read_scores(const char *at, uint32_t bits, float *scores) {
    static uint64_t raw[MAX_VALUES];
    CHECK(read_words(at, 1, raw) == bits);
    for (uint32_t j = 0; j < bits; j++) {
        const uint32_t narrow = (uint32_t)raw[j];
        memcpy(&scores[j], &narrow, sizeof narrow);
    }
}

/* One id, EDGE_NONE for -; moves on behind the character after it. */
static uint32_t read_number(char **at) {
    const uint32_t number = **at == '-' ? EDGE_NONE : (uint32_t)strtoul(*at, NULL, 10);
    *at += strcspn(*at, ",:;");
    if (**at) ++*at;
    return number;
}

static char line[MAX_LINE];
static uint64_t codes[MAX_VALUES], words[MAX_VALUES];

/* A file, opened, and the words or scores asked of it: a case, its columns at hand. */
typedef struct question {
    edge_llc file;
    size_t n;
    char **columns;
} question;

static void ed_case(void *argument) {
    const question *asked = (const question *)argument;
    const edge_llc *file = &asked->file;
    const size_t n = asked->n;
    uint32_t *ids = (uint32_t *)room(n * sizeof *ids);
    char *answer = asked->columns[4];
    EXPECT(EDGE_OK, edge_ed_decode(file, words, n, ids));
    for (size_t i = 0; i < n; i++) CHECK(ids[i] == read_number(&answer));
    CHECK(*answer == '\0');
    free(ids);
}

static void mhd_case(void *argument) {
    const question *asked = (const question *)argument;
    const edge_llc *file = &asked->file;
    const size_t n = asked->n;
    uint32_t *ids = (uint32_t *)room(n * sizeof *ids);
    edge_nearest *nearest = (edge_nearest *)room(n * sizeof *nearest);
    for (int plan = EDGE_MHD_AUTO; plan <= EDGE_MHD_MULTI; plan++) {
        char *answer = asked->columns[4];
        if (plan == EDGE_MHD_TABLE && file->n && !file->nearest) {
            EXPECT(EDGE_ERR_ABSENT,
                   edge_mhd_decode(file, words, n, (edge_mhd_plan)plan, ids));
            continue;
        }
        EXPECT(EDGE_OK, edge_mhd_decode(file, words, n, (edge_mhd_plan)plan, ids));
        for (size_t i = 0; i < n; i++) {
            CHECK(ids[i] == read_number(&answer));
            read_number(&answer);
            read_number(&answer);
        }
        CHECK(*answer == '\0');
    }
    EXPECT(EDGE_OK, edge_mhd_decode_margin(file, words, n, nearest));
    char *answer = asked->columns[4];
    for (size_t i = 0; i < n; i++) {
        CHECK(nearest[i].id == read_number(&answer));
        CHECK(nearest[i].distance == read_number(&answer));
        CHECK(nearest[i].runner_up == read_number(&answer));
    }
    free(nearest);
    free(ids);
}

static int has_twins(const uint64_t *values, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (values[i] == values[j]) return 1;
    return 0;
}

/* Without keep_lowest, equal codes are an error that names two of them. */
static void twins_are_named(uint32_t n, uint32_t bits) {
    const size_t size = edge_exact_size(n, bits), scratch = edge_exact_workspace_size(n);
    void *section = room(size), *workspace = room(scratch);
    size_t written = 0;
    uint32_t twins[2] = {0, 0};
    const int twice = has_twins(codes, n);
    EXPECT(twice ? EDGE_ERR_DUPLICATE : EDGE_OK,
           edge_exact_build(codes, n, bits, 0, (uint8_t *)section, size, &written, workspace,
                            scratch, twins));
    if (twice)
        CHECK(twins[0] != twins[1] && twins[0] < n && twins[1] < n &&
              codes[twins[0]] == codes[twins[1]]);
    free(section);
    free(workspace);
}

static void words_vectors(const char *name, unsigned with, void (*body)(void *)) {
    FILE *cases = vectors(name);
    char *columns[5];
    while (next_case(cases, line, columns, 5)) {
        const uint32_t bits = (uint32_t)strtoul(columns[1], NULL, 10);
        const uint32_t n = (uint32_t)read_words(columns[2], 1, codes);
        size_t size;
        uint8_t *bytes = class_file(codes, n, bits, with, &size);
        question asked;
        EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &asked.file));
        CHECK(asked.file.n == n && asked.file.bits == bits && asked.file.kind == EDGE_KIND_CLASSES);
        asked.n = read_words(columns[3], 1, words);
        asked.columns = columns;
        on_every_isa(body, &asked);
        if (n) twins_are_named(n, bits);
        free(bytes);
    }
    fclose(cases);
}

static edge_met met_named(const char *name) {
    return strcmp(name, "order") == 0  ? EDGE_MET_ORDER
           : strcmp(name, "mhd") == 0  ? EDGE_MET_MHD
           : strcmp(name, "soft") == 0 ? EDGE_MET_SOFT
                                       : EDGE_MET_NONE;
}

static double penalty_of(const edge_llc *file, const float *scores, uint32_t id) {
    double sum = 0;
    for (uint32_t j = 0; j < file->bits; j++)
        if ((codes[id] >> j & 1) != (scores[j] >= 0)) sum += fabs((double)scores[j]);
    return sum;
}

static double largest_of(const edge_llc *file, const float *scores) {
    double largest = 0;
    for (uint32_t j = 0; j < file->bits; j++)
        if (fabs((double)scores[j]) > largest) largest = fabs((double)scores[j]);
    return largest;
}

static void ord_case(void *argument) {
    const question *asked = (const question *)argument;
    const edge_llc *file = &asked->file;
    const size_t n = asked->n;
    char **columns = asked->columns;
    const uint32_t max_lookups = (uint32_t)strtoul(columns[4], NULL, 10);
    const size_t size = edge_ord_workspace_size(max_lookups);
    const edge_fallback fallback = strcmp(columns[5], "mhd") == 0    ? EDGE_FALLBACK_MHD
                                   : strcmp(columns[5], "soft") == 0 ? EDGE_FALLBACK_SOFT
                                                                     : EDGE_FALLBACK_NONE;
    float scores[64];
    void *workspace = room(size);
    edge_ordered answers[2];
    char *id = columns[6];
    const uint32_t expected = read_number(&id);
    read_scores(columns[3], file->bits, scores);
    EXPECT(EDGE_OK, edge_ord_decode(file, scores, n, max_lookups, fallback, workspace, size,
                                    &answers[0]));
    CHECK(answers[0].id == expected);
    if (*columns[7] != '-') CHECK(answers[0].lookups == strtoul(columns[7], NULL, 10));
    if (*columns[8] != '-') CHECK(answers[0].met == (uint32_t)met_named(columns[8]));
    if (fallback == EDGE_FALLBACK_SOFT) {
        EXPECT(EDGE_OK, edge_soft_decode(file, scores, n, &answers[1]));
        CHECK(answers[1].id == expected);
        CHECK(answers[1].met == (uint32_t)(file->n ? EDGE_MET_SOFT : EDGE_MET_NONE));
        CHECK(answers[0].penalty == answers[1].penalty);
    }
    if (expected != EDGE_NONE) {
        /* Each |z| lost what is below 2^-54 of the largest. */
        const double penalty = penalty_of(file, scores, expected), lost = file->bits * 0x1p-54;
        CHECK(fabs(answers[0].penalty - penalty) <= lost * largest_of(file, scores) +
                                                        penalty * 1e-15);
    } else {
        CHECK(isinf(answers[0].penalty) && answers[0].penalty > 0);
    }
    free(workspace);
}

static void ord_vectors(void) {
    FILE *cases = vectors("codes_ord.txt");
    char *columns[9];
    while (next_case(cases, line, columns, 9)) {
        const uint32_t bits = (uint32_t)strtoul(columns[1], NULL, 10);
        const uint32_t n = (uint32_t)read_words(columns[2], 1, codes);
        /* The filter only saves time, and the table serves the fallback as the codes do. */
        static const unsigned with[2] = {WITH_ALL & ~(unsigned)WITH_MULTI,
                                         WITH_CODES | WITH_EXACT};
        for (int i = 0; i < 2; i++) {
            size_t size;
            uint8_t *bytes = class_file(codes, n, bits, with[i], &size);
            question asked;
            EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &asked.file));
            CHECK(edge_ord_choose(&asked.file) >= 1 &&
                  edge_ord_choose(&asked.file) <= EDGE_LOOKUPS_MAX);
            asked.n = 1;
            asked.columns = columns;
            on_every_isa(ord_case, &asked);
            free(bytes);
        }
    }
    fclose(cases);
}

static uint32_t distance_of(const uint64_t *a, const uint64_t *b, size_t n_words) {
    uint32_t distance = 0;
    for (size_t i = 0; i < n_words; i++)
        for (uint64_t rest = a[i] ^ b[i]; rest; rest &= rest - 1) distance++;
    return distance;
}

/* All rows of a slice by distance, then id: what hits of it must be a prefix of. */
static int hits_are_of_slice(const edge_llc *file, const uint64_t *query, size_t n_words,
                             uint64_t begin, uint64_t end, const edge_hit *hits, size_t found) {
    size_t at = 0;
    for (uint32_t distance = 0; distance <= file->bits && at < found; distance++)
        for (uint64_t id = begin; id < end && at < found; id++)
            if (distance_of(codes + id * n_words, query, n_words) == distance) {
                if (hits[at].id != id || hits[at].distance != distance) return 0;
                at++;
            }
    return at == found;
}

static void search_case(void *argument) {
    const question *asked = (const question *)argument;
    const edge_llc *file = &asked->file;
    const size_t n_queries = asked->n;
    char **columns = asked->columns;
    const size_t k = (size_t)strtoul(columns[3], NULL, 10);
    const size_t n_words = file->bits <= 64 ? 1 : file->bits / 64;
    const size_t size = edge_search_workspace_size(n_queries, k);
    const size_t found = file->n < k ? (size_t)file->n : k;
    edge_hit *hits = (edge_hit *)room(n_queries * k * sizeof *hits);
    void *workspace = room(size);
    char *answer = columns[5];
    EXPECT(EDGE_OK, edge_search(file, words, n_queries, k, 0, file->n, hits, workspace, size));
    for (size_t q = 0; q < n_queries; q++) {
        for (size_t i = 0; i < found; i++) {
            CHECK(hits[q * k + i].id == read_number(&answer));
            CHECK(hits[q * k + i].distance == read_number(&answer));
        }
        if (!found) CHECK(read_number(&answer) == EDGE_NONE);
    }
    CHECK(*answer == '\0');
    for (uint64_t begin = 0; begin < 3 && begin < file->n; begin++) {
        const uint64_t end = file->n - (begin == 1);
        const size_t some = end - begin < k ? (size_t)(end - begin) : k;
        EXPECT(EDGE_OK, edge_search(file, words, n_queries, k, begin, end, hits, workspace, size));
        for (size_t q = 0; q < n_queries; q++)
            CHECK(hits_are_of_slice(file, words + q * n_words, n_words, begin, end, hits + q * k,
                                    some));
    }
    free(workspace);
    free(hits);
}

static void search_vectors(void) {
    FILE *cases = vectors("codes_search.txt");
    char *columns[6];
    while (next_case(cases, line, columns, 6)) {
        const uint32_t bits = (uint32_t)strtoul(columns[1], NULL, 10);
        const size_t n_words = bits <= 64 ? 1 : bits / 64;
        const size_t n = read_words(columns[2], n_words, codes);
        size_t size;
        question asked;
        asked.n = read_words(columns[4], n_words, words);
        asked.columns = columns;
        uint8_t *bytes = item_file(codes, n, bits, &size);
        EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &asked.file));
        on_every_isa(search_case, &asked);
        free(bytes);
        if (bits > 64) continue;
        bytes = class_file(codes, (uint32_t)n, bits, WITH_CODES, &size); /* classes too */
        EXPECT(EDGE_OK, edge_llc_open(bytes, size, EDGE_UNVERIFIED, &asked.file));
        on_every_isa(search_case, &asked);
        free(bytes);
    }
    fclose(cases);
}

/* ---- more than the vectors hold --------------------------------------------------- */

/* Every decoder against plain loops, where kernels have many whole steps and a rest. */
static void many_classes_agree_with_plain_loops(void) {
    enum { N = 4001, QUERIES = 24 };
    static const uint32_t widths[] = {13, 20, 32, 33, 64};
    static uint64_t book[N];
    current = "many classes";
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        const uint32_t bits = widths[w];
        size_t size, plain_size;
        edge_llc file, plain;
        for (size_t i = 0; i < N; i++) book[i] = random_word(bits);
        uint8_t *bytes = class_file(book, N, bits, WITH_ALL, &size);
        uint8_t *plain_bytes = class_file(book, N, bits, WITH_CODES | WITH_EXACT, &plain_size);
        EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
        EXPECT(EDGE_OK, edge_llc_open(plain_bytes, plain_size, 0, &plain));
        for (size_t q = 0; q < QUERIES; q++) {
            uint64_t word = q % 3 ? book[random_word(30) % N] : random_word(bits);
            for (size_t flips = q % 4; flips; flips--)
                word ^= (uint64_t)1 << random_word(30) % bits;
            float scores[64];
            double best = INFINITY;
            uint32_t likely = EDGE_NONE, twin = EDGE_NONE;
            edge_nearest expected = {EDGE_NONE, bits + 1, bits + 1}, margin;
            for (uint32_t j = 0; j < bits; j++) /* few enough bits for sums that are exact */
                scores[j] = ((word >> j & 1) ? 1.0f : -1.0f) * (float)random_word(8);
            for (uint32_t i = 0; i < N; i++) {
                const uint32_t distance = distance_of(&book[i], &word, 1);
                double cost = 0;
                for (uint32_t j = 0; j < bits; j++)
                    if ((book[i] >> j & 1) != (scores[j] >= 0)) cost += fabs((double)scores[j]);
                if (cost < best) {
                    best = cost;
                    likely = i;
                }
                if (distance == 0 && twin == EDGE_NONE) twin = i;
                if (distance < expected.distance) {
                    expected.runner_up = expected.distance;
                    expected.distance = distance;
                    expected.id = i;
                } else if (distance < expected.runner_up) {
                    expected.runner_up = distance;
                }
            }
            for (size_t isa = 0; isa < edge_isa_count(); isa++) {
                static uint64_t workspace[1 << 19];
                uint32_t id;
                edge_ordered answer;
                EXPECT(EDGE_OK, edge_isa_use(edge_isa_name(isa)));
                EXPECT(EDGE_OK, edge_ed_decode(&file, &word, 1, &id));
                CHECK(id == twin);
                for (int plan = bits <= EDGE_NEAREST_MAX_BITS ? EDGE_MHD_TABLE : EDGE_MHD_SCAN;
                     plan <= EDGE_MHD_MULTI; plan++) {
                    EXPECT(EDGE_OK, edge_mhd_decode(&file, &word, 1, (edge_mhd_plan)plan, &id));
                    CHECK(id == expected.id);
                }
                EXPECT(EDGE_OK, edge_mhd_decode_margin(&file, &word, 1, &margin));
                CHECK(margin.id == expected.id && margin.distance == expected.distance &&
                      margin.runner_up == expected.runner_up);
                EXPECT(EDGE_OK, edge_soft_decode(&file, scores, 1, &answer));
                CHECK(answer.id == likely && answer.penalty == best);
                for (int i = 0; i < 2; i++) { /* by parts, and by levels until the scan */
                    EXPECT(EDGE_OK, edge_ord_decode(i ? &plain : &file, scores, 1,
                                                    EDGE_LOOKUPS_AUTO, EDGE_FALLBACK_NONE,
                                                    workspace, sizeof workspace, &answer));
                    CHECK(answer.id == likely && answer.penalty == best);
                }
                EXPECT(EDGE_OK, edge_ord_decode(&file, scores, 1, EDGE_LOOKUPS_MAX,
                                                EDGE_FALLBACK_SOFT, workspace, sizeof workspace,
                                                &answer));
                CHECK(answer.id == likely && answer.penalty == best);
            }
        }
        free(plain_bytes);
        free(bytes);
    }
}

/* More than half of all words, and more classes than two bytes number. */
static void classes_side_by_side_are_all_told_apart(void) {
    enum { BITS = 17, N = 70000, ALL = 1 << BITS };
    static uint64_t book[N], all[ALL];
    static uint32_t owner[ALL], ids[ALL], others[ALL];
    current = "side by side";
    memset(owner, 0xff, sizeof owner);
    for (uint32_t i = 0; i < N; i++) {
        book[i] = (uint64_t)i * 40503u & (ALL - 1); /* odd: no two are equal */
        owner[book[i]] = i;
    }
    for (uint32_t i = 0; i < ALL; i++) all[i] = i;
    for (int table = 0; table < 2; table++) {
        const unsigned with = WITH_EXACT | WITH_CODES | (table ? WITH_NEAREST : 0);
        size_t size;
        edge_llc file;
        uint8_t *bytes = class_file(book, N, BITS, with, &size);
        EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
        EXPECT(EDGE_OK, edge_ed_decode(&file, all, ALL, ids));
        CHECK(memcmp(ids, owner, sizeof ids) == 0);
        CHECK(edge_mhd_choose(&file) == (table ? EDGE_MHD_TABLE : EDGE_MHD_BALL));
        EXPECT(EDGE_OK, edge_mhd_decode(&file, all, 1000, EDGE_MHD_AUTO, ids));
        EXPECT(EDGE_OK, edge_mhd_decode(&file, all, 1000, EDGE_MHD_SCAN, others));
        CHECK(memcmp(ids, others, 1000 * sizeof *ids) == 0);
        free(bytes);
    }
    /* One more class, with the code of another. */
    book[N - 1] = book[5];
    const size_t size = edge_exact_size(N, BITS), scratch = edge_exact_workspace_size(N);
    void *section = room(size), *workspace = room(scratch);
    size_t written = 0;
    uint32_t twins[2] = {0, 0};
    EXPECT(EDGE_ERR_DUPLICATE, edge_exact_build(book, N, BITS, 0, (uint8_t *)section, size,
                                                &written, workspace, scratch, twins));
    CHECK((twins[0] == 5 && twins[1] == N - 1) || (twins[0] == N - 1 && twins[1] == 5));
    free(section);
    free(workspace);
}

/* ---- buffers and arguments ---------------------------------------------------------- */

static const uint64_t few[3] = {5, 9, 250};
enum { FEW = 3, FEW_BITS = 8 };
/* Words far apart and words side by side: the two tables of ED. */
static const uint64_t dense[12] = {15, 0, 1, 14, 2, 3, 4, 5, 6, 13, 8, 9};
typedef struct book {
    const uint64_t *codes;
    uint32_t n, bits;
} book;
static const book books[2] = {{few, FEW, FEW_BITS}, {dense, 12, 4}};

static void buffers_one_byte_too_small_are_refused(void) {
    const size_t exact = edge_exact_size(FEW, FEW_BITS);
    const size_t scratch = edge_exact_workspace_size(FEW);
    const size_t near = edge_nearest_size(FEW, FEW_BITS);
    const size_t distances = edge_nearest_workspace_size(FEW_BITS);
    const size_t filter = edge_filter_size(FEW, FEW_BITS), multi = edge_multi_size(FEW, FEW_BITS);
    const size_t order = edge_ord_workspace_size(10), found = edge_search_workspace_size(1, 2);
    uint8_t *out = (uint8_t *)room(1 << 16), *workspace = (uint8_t *)room(1 << 16), *bytes;
    const float scores[FEW_BITS] = {1, -1, 1, -1, -1, -1, -1, -1};
    size_t written = 0, size;
    uint32_t twins[2];
    uint64_t file_size;
    edge_section section = {EDGE_TAG_CODES, 4, 0, 12, 0};
    edge_ordered answer;
    edge_hit hits[2];
    edge_llc file;
    current = "one byte too small";
    CHECK(exact && scratch && near && distances && filter && multi && order && found);
    EXPECT(EDGE_OK, edge_exact_build(few, FEW, FEW_BITS, 0, out, exact, &written, workspace,
                                     scratch, twins));
    EXPECT(EDGE_ERR_CAPACITY, edge_exact_build(few, FEW, FEW_BITS, 0, out, exact - 1, &written,
                                               workspace, scratch, twins));
    EXPECT(EDGE_ERR_CAPACITY, edge_exact_build(few, FEW, FEW_BITS, 0, out, exact, &written,
                                               workspace, scratch - 1, twins));
    EXPECT(EDGE_OK, edge_nearest_build(few, FEW, FEW_BITS, out, near, workspace, distances));
    EXPECT(EDGE_ERR_CAPACITY,
           edge_nearest_build(few, FEW, FEW_BITS, out, near - 1, workspace, distances));
    EXPECT(EDGE_ERR_CAPACITY,
           edge_nearest_build(few, FEW, FEW_BITS, out, near, workspace, distances - 1));
    EXPECT(EDGE_OK, edge_filter_build(few, FEW, FEW_BITS, out, filter));
    EXPECT(EDGE_ERR_CAPACITY, edge_filter_build(few, FEW, FEW_BITS, out, filter - 1));
    EXPECT(EDGE_OK, edge_multi_build(few, FEW, FEW_BITS, out, multi));
    EXPECT(EDGE_ERR_CAPACITY, edge_multi_build(few, FEW, FEW_BITS, out, multi - 1));
    for (size_t head = 0; head < edge_file_head_size(1); head++)
        EXPECT(EDGE_ERR_CAPACITY, edge_file_write_head(EDGE_KIND_CLASSES, FEW_BITS, FEW, &section,
                                                      1, out, head, &file_size));
    EXPECT(EDGE_OK, edge_file_write_head(EDGE_KIND_CLASSES, FEW_BITS, FEW, &section, 1, out,
                                        edge_file_head_size(1), &file_size));

    bytes = class_file(few, FEW, FEW_BITS, WITH_ALL, &size);
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    EXPECT(EDGE_OK, edge_ord_decode(&file, scores, 1, 10, EDGE_FALLBACK_SOFT, workspace, order,
                                    &answer));
    EXPECT(EDGE_ERR_CAPACITY, edge_ord_decode(&file, scores, 1, 10, EDGE_FALLBACK_SOFT, workspace,
                                              order - 1, &answer));
    EXPECT(EDGE_ERR_CAPACITY, edge_ord_decode(&file, scores, 1, EDGE_LOOKUPS_AUTO,
                                              EDGE_FALLBACK_SOFT, workspace,
                                              edge_ord_workspace_size(0) - 1, &answer));
    EXPECT(EDGE_OK, edge_search(&file, few, 1, 2, 0, FEW, hits, workspace, found));
    EXPECT(EDGE_ERR_CAPACITY, edge_search(&file, few, 1, 2, 0, FEW, hits, workspace, found - 1));
    free(bytes);
    free(workspace);
    free(out);
}

static void nulls_and_counts_out_of_range_are_refused(void) {
    uint8_t *out = (uint8_t *)room(1 << 16), *workspace = (uint8_t *)room(1 << 16), *bytes;
    const size_t big = 1 << 16;
    const float scores[FEW_BITS] = {1, -1, 1, -1, -1, -1, -1, -1};
    size_t written = 0, size;
    uint32_t twins[2], ids[FEW];
    uint64_t file_size, workspace64[512];
    edge_section section = {EDGE_TAG_CODES, 4, 0, 12, 0}, twice[2];
    edge_ordered answer;
    edge_nearest nearest;
    edge_hit hits[2];
    edge_llc file;
    twice[0] = twice[1] = section;
    current = "NULL";
#define REFUSED(call) EXPECT(EDGE_ERR_ARGUMENT, call)
    REFUSED(edge_exact_build(NULL, FEW, 8, 0, out, big, &written, workspace, big, twins));
    REFUSED(edge_exact_build(few, FEW, 8, 0, NULL, big, &written, workspace, big, twins));
    REFUSED(edge_exact_build(few, FEW, 8, 0, out, big, NULL, workspace, big, twins));
    REFUSED(edge_exact_build(few, FEW, 8, 0, out, big, &written, NULL, big, twins));
    REFUSED(edge_exact_build(few, FEW, 8, 0, out, big, &written, workspace, big, NULL));
    REFUSED(edge_exact_build(few, FEW, 8, 0, out, big, &written, workspace + 1, big - 1, twins));
    REFUSED(edge_nearest_build(NULL, FEW, 8, out, big, workspace, big));
    REFUSED(edge_nearest_build(few, FEW, 8, NULL, big, workspace, big));
    REFUSED(edge_nearest_build(few, FEW, 8, out, big, NULL, big));
    REFUSED(edge_nearest_build(few, FEW, EDGE_NEAREST_MAX_BITS + 1, out, big, workspace, big));
    REFUSED(edge_filter_build(NULL, FEW, 8, out, big));
    REFUSED(edge_filter_build(few, FEW, 8, NULL, big));
    REFUSED(edge_multi_build(NULL, FEW, 8, out, big));
    REFUSED(edge_multi_build(few, FEW, 8, NULL, big));
    REFUSED(edge_multi_build(few, FEW, 8, out + 1, big - 1));
    current = "count out of range";
    for (int i = 0; i < 3; i++) {
        static const uint32_t counts[3] = {0, EDGE_MAX_CLASSES + 1, FEW};
        static const uint32_t widths[3] = {8, 8, 0};
        const uint32_t n = counts[i], bits = widths[i];
        REFUSED(edge_exact_build(few, n, bits, 0, out, big, &written, workspace, big, twins));
        REFUSED(edge_nearest_build(few, n, bits, out, big, workspace, big));
        REFUSED(edge_filter_build(few, n, bits, out, big));
        REFUSED(edge_multi_build(few, n, bits, out, big));
        CHECK(edge_exact_size(n, bits) == 0 && edge_nearest_size(n, bits) == 0);
        CHECK(edge_filter_size(n, bits) == 0 && edge_multi_size(n, bits) == 0);
    }
    REFUSED(edge_exact_build(few, FEW, 65, 0, out, big, &written, workspace, big, twins));
    REFUSED(edge_filter_build(few, FEW, 65, out, big));
    REFUSED(edge_multi_build(few, FEW, 65, out, big));
    CHECK(edge_exact_size(FEW, 65) == 0 && edge_multi_size(FEW, 65) == 0);
    CHECK(edge_filter_size(FEW, 65) == 0 && edge_nearest_size(FEW, 21) == 0);
    CHECK(edge_nearest_workspace_size(0) == 0 && edge_nearest_workspace_size(21) == 0);
    CHECK(edge_ord_workspace_size(EDGE_LOOKUPS_MAX + 1) == 0);

    current = "head";
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 8, FEW, NULL, 1, out, big, &file_size));
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 8, FEW, &section, 1, NULL, big, &file_size));
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 8, FEW, &section, 1, out, big, NULL));
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 8, FEW, &section, EDGE_MAX_SECTIONS + 1,
                                out, big, &file_size));
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 0, FEW, &section, 1, out, big, &file_size));
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 128, FEW, &section, 1, out, big, &file_size));
    REFUSED(edge_file_write_head(EDGE_KIND_INSTANCES, 65, FEW, &section, 1, out, big, &file_size));
    REFUSED(edge_file_write_head(EDGE_KIND_INSTANCES, 512, FEW, &section, 1, out, big,
                                &file_size));
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 8, (uint64_t)EDGE_MAX_CLASSES + 1, &section, 1,
                                out, big, &file_size));
    REFUSED(edge_file_write_head((edge_kind)7, 8, FEW, &section, 1, out, big, &file_size));
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 8, FEW, twice, 2, out, big, &file_size));
    section.size = UINT64_MAX;
    REFUSED(edge_file_write_head(EDGE_KIND_CLASSES, 8, FEW, &section, 1, out, big, &file_size));

    current = "NULL";
    bytes = class_file(few, FEW, FEW_BITS, WITH_ALL, &size);
    REFUSED(edge_llc_open(NULL, size, 0, &file));
    REFUSED(edge_llc_open(bytes, size, 0, NULL));
    REFUSED(edge_llc_open(bytes + 1, size - 1, 0, &file));
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    REFUSED(edge_ed_decode(NULL, few, FEW, ids));
    REFUSED(edge_ed_decode(&file, NULL, FEW, ids));
    REFUSED(edge_ed_decode(&file, few, FEW, NULL));
    EXPECT(EDGE_OK, edge_ed_decode(&file, NULL, 0, NULL));
    REFUSED(edge_mhd_decode(NULL, few, FEW, EDGE_MHD_AUTO, ids));
    REFUSED(edge_mhd_decode(&file, NULL, FEW, EDGE_MHD_AUTO, ids));
    REFUSED(edge_mhd_decode(&file, few, FEW, EDGE_MHD_AUTO, NULL));
    REFUSED(edge_mhd_decode(&file, few, FEW, (edge_mhd_plan)5, ids));
    EXPECT(EDGE_OK, edge_mhd_decode(&file, NULL, 0, EDGE_MHD_AUTO, NULL));
    REFUSED(edge_mhd_decode_margin(NULL, few, 1, &nearest));
    REFUSED(edge_mhd_decode_margin(&file, NULL, 1, &nearest));
    REFUSED(edge_mhd_decode_margin(&file, few, 1, NULL));
    EXPECT(EDGE_OK, edge_mhd_decode_margin(&file, NULL, 0, NULL));
    REFUSED(edge_ord_decode(NULL, scores, 1, 9, EDGE_FALLBACK_NONE, workspace, big, &answer));
    REFUSED(edge_ord_decode(&file, NULL, 1, 9, EDGE_FALLBACK_NONE, workspace, big, &answer));
    REFUSED(edge_ord_decode(&file, scores, 1, 9, EDGE_FALLBACK_NONE, NULL, big, &answer));
    REFUSED(edge_ord_decode(&file, scores, 1, 9, EDGE_FALLBACK_NONE, workspace, big, NULL));
    REFUSED(edge_ord_decode(&file, scores, 1, 9, (edge_fallback)3, workspace, big, &answer));
    REFUSED(edge_ord_decode(&file, scores, 1, EDGE_LOOKUPS_MAX + 1, EDGE_FALLBACK_NONE, workspace,
                            big, &answer));
    REFUSED(edge_ord_decode(&file, scores, 1, 9, EDGE_FALLBACK_NONE, workspace + 4, big - 4,
                            &answer));
    EXPECT(EDGE_OK, edge_ord_decode(&file, NULL, 0, 9, EDGE_FALLBACK_NONE, workspace, big, NULL));
    REFUSED(edge_soft_decode(NULL, scores, 1, &answer));
    REFUSED(edge_soft_decode(&file, NULL, 1, &answer));
    REFUSED(edge_soft_decode(&file, scores, 1, NULL));
    EXPECT(EDGE_OK, edge_soft_decode(&file, NULL, 0, NULL));
    REFUSED(edge_search(NULL, few, 1, 2, 0, FEW, hits, workspace64, sizeof workspace64));
    REFUSED(edge_search(&file, NULL, 1, 2, 0, FEW, hits, workspace64, sizeof workspace64));
    REFUSED(edge_search(&file, few, 1, 2, 0, FEW, NULL, workspace64, sizeof workspace64));
    REFUSED(edge_search(&file, few, 1, 2, 0, FEW, hits, NULL, sizeof workspace64));
    REFUSED(edge_search(&file, few, 1, EDGE_SEARCH_MAX_K + 1, 0, FEW, hits, workspace64,
                        sizeof workspace64));
    REFUSED(edge_search(&file, few, 1, 2, 2, 1, hits, workspace64, sizeof workspace64));
    REFUSED(edge_search(&file, few, 1, 2, 0, FEW + 1, hits, workspace64, sizeof workspace64));
    EXPECT(EDGE_OK, edge_search(&file, NULL, 0, 2, 0, FEW, NULL, NULL, 0));
    REFUSED(edge_isa_use(NULL));
    REFUSED(edge_isa_use("an instruction set of the future"));
    CHECK(edge_isa_name(edge_isa_count()) == NULL);
    CHECK(edge_mhd_choose(NULL) == 0);
#undef REFUSED
    free(bytes);
    free(workspace);
    free(out);
}

/* ---- what a word, a score or a file can not be ---------------------------------------- */

static void words_beyond_the_width_are_refused(void) {
    const uint64_t wide = 1u << FEW_BITS;
    uint8_t out[4096];
    uint32_t workspace[4096], twins[2], id;
    uint64_t room64[512];
    size_t written, size;
    edge_nearest nearest;
    edge_hit hit;
    edge_llc file;
    uint8_t *bytes = class_file(few, FEW, FEW_BITS, WITH_ALL, &size);
    current = "too wide";
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    EXPECT(EDGE_ERR_WIDTH, edge_ed_decode(&file, &wide, 1, &id));
    for (int plan = EDGE_MHD_AUTO; plan <= EDGE_MHD_MULTI; plan++)
        EXPECT(EDGE_ERR_WIDTH, edge_mhd_decode(&file, &wide, 1, (edge_mhd_plan)plan, &id));
    EXPECT(EDGE_ERR_WIDTH, edge_mhd_decode_margin(&file, &wide, 1, &nearest));
    EXPECT(EDGE_ERR_WIDTH, edge_search(&file, &wide, 1, 1, 0, FEW, &hit, room64, sizeof room64));
    EXPECT(EDGE_ERR_WIDTH, edge_exact_build(&wide, 1, FEW_BITS, 0, out, sizeof out, &written,
                                            workspace, sizeof workspace, twins));
    EXPECT(EDGE_ERR_WIDTH, edge_filter_build(&wide, 1, FEW_BITS, out, sizeof out));
    EXPECT(EDGE_ERR_WIDTH, edge_nearest_build(&wide, 1, FEW_BITS, out, sizeof out,
                                              (uint8_t *)workspace, sizeof workspace));
    EXPECT(EDGE_ERR_WIDTH,
           edge_multi_build(&wide, 1, FEW_BITS, (uint8_t *)workspace, sizeof workspace));
    free(bytes);
}

static void scores_that_are_not_finite_are_refused(void) {
    static const unsigned with[2] = {WITH_ALL, WITH_ALL | WITH_CALIBRATION};
    static const uint32_t raw[4] = {0x7fc00000u, 0xff800001u, 0x7f800000u, 0xff800000u};
    uint64_t workspace[512];
    current = "not finite";
    for (int i = 0; i < 2; i++) {
        size_t size;
        edge_llc file;
        edge_ordered answer;
        uint8_t *bytes = class_file(few, FEW, FEW_BITS, with[i], &size);
        EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
        for (size_t at = 0; at < FEW_BITS * 4; at++) {
            float scores[FEW_BITS] = {1, -1, 1, -1, -1, -1, -1, -1};
            memcpy(&scores[at / 4], &raw[at % 4], 4);
            EXPECT(EDGE_ERR_NOT_FINITE, edge_ord_decode(&file, scores, 1, 9, EDGE_FALLBACK_SOFT,
                                                        workspace, sizeof workspace, &answer));
            EXPECT(EDGE_ERR_NOT_FINITE, edge_soft_decode(&file, scores, 1, &answer));
        }
        free(bytes);
    }
}

/* slope 2 and offset -1/2: 0.2 is no longer positive, 0.3 still is. */
static void calibration_is_applied_before_signs_are_taken(void) {
    static const uint64_t book[2] = {1, 0};
    const float below[1] = {0.2f}, above[1] = {0.3f};
    uint64_t workspace[512];
    size_t size;
    edge_llc file;
    edge_ordered answer;
    uint8_t *bytes = class_file(book, 2, 1, WITH_CODES | WITH_EXACT | WITH_CALIBRATION, &size);
    current = "calibration";
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    EXPECT(EDGE_OK, edge_ord_decode(&file, below, 1, 1, EDGE_FALLBACK_NONE, workspace,
                                    sizeof workspace, &answer));
    CHECK(answer.id == 1 && answer.lookups == 1 && answer.penalty == 0);
    EXPECT(EDGE_OK, edge_soft_decode(&file, above, 1, &answer));
    CHECK(answer.id == 0 && answer.penalty == 0);
    free(bytes);
}

static void decoders_whose_sections_are_absent_say_so(void) {
    const float scores[FEW_BITS] = {1, -1, 1, -1, -1, -1, -1, -1};
    uint64_t workspace[512];
    uint32_t ids[FEW];
    edge_ordered answer;
    edge_nearest nearest;
    edge_hit hits[1];
    edge_llc file;
    size_t size;
    uint8_t *bytes = class_file(few, FEW, FEW_BITS, 0, &size);
    current = "absent";
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    CHECK(edge_mhd_choose(&file) == 0);
    EXPECT(EDGE_ERR_ABSENT, edge_ed_decode(&file, few, FEW, ids));
    for (int plan = EDGE_MHD_AUTO; plan <= EDGE_MHD_MULTI; plan++)
        EXPECT(EDGE_ERR_ABSENT, edge_mhd_decode(&file, few, FEW, (edge_mhd_plan)plan, ids));
    EXPECT(EDGE_ERR_ABSENT, edge_mhd_decode_margin(&file, few, 1, &nearest));
    for (int fallback = EDGE_FALLBACK_NONE; fallback <= EDGE_FALLBACK_SOFT; fallback++)
        EXPECT(EDGE_ERR_ABSENT, edge_ord_decode(&file, scores, 1, 9, (edge_fallback)fallback,
                                                workspace, sizeof workspace, &answer));
    EXPECT(EDGE_ERR_ABSENT, edge_soft_decode(&file, scores, 1, &answer));
    EXPECT(EDGE_ERR_ABSENT,
           edge_search(&file, few, 1, 1, 0, FEW, hits, workspace, sizeof workspace));
    free(bytes);

    bytes = class_file(few, FEW, FEW_BITS, WITH_EXACT, &size);
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    EXPECT(EDGE_OK, edge_ed_decode(&file, few, FEW, ids));
    EXPECT(EDGE_ERR_ABSENT, edge_mhd_decode(&file, few, FEW, EDGE_MHD_BALL, ids));
    EXPECT(EDGE_OK, edge_ord_decode(&file, scores, 1, 9, EDGE_FALLBACK_NONE, workspace,
                                    sizeof workspace, &answer));
    CHECK(answer.id == 0 && answer.met == EDGE_MET_ORDER);
    EXPECT(EDGE_ERR_ABSENT, edge_ord_decode(&file, scores, 1, 9, EDGE_FALLBACK_MHD, workspace,
                                            sizeof workspace, &answer));
    EXPECT(EDGE_ERR_ABSENT, edge_ord_decode(&file, scores, 1, EDGE_LOOKUPS_AUTO,
                                            EDGE_FALLBACK_NONE, workspace, sizeof workspace,
                                            &answer));
    free(bytes);

    bytes = class_file(few, FEW, FEW_BITS, WITH_EXACT | WITH_NEAREST, &size);
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    CHECK(edge_mhd_choose(&file) == EDGE_MHD_TABLE);
    EXPECT(EDGE_OK, edge_mhd_decode(&file, few, FEW, EDGE_MHD_AUTO, ids));
    CHECK(ids[0] == 0 && ids[1] == 1 && ids[2] == 2);
    EXPECT(EDGE_OK, edge_ord_decode(&file, scores, 1, 9, EDGE_FALLBACK_MHD, workspace,
                                    sizeof workspace, &answer));
    free(bytes);

    bytes = item_file(few, FEW, FEW_BITS, &size); /* items are searched, never decoded */
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    EXPECT(EDGE_ERR_ARGUMENT, edge_ed_decode(&file, few, FEW, ids));
    EXPECT(EDGE_ERR_ARGUMENT, edge_mhd_decode(&file, few, FEW, EDGE_MHD_AUTO, ids));
    EXPECT(EDGE_ERR_ARGUMENT, edge_mhd_decode_margin(&file, few, 1, &nearest));
    EXPECT(EDGE_ERR_ARGUMENT, edge_soft_decode(&file, scores, 1, &answer));
    free(bytes);
}

/* ---- the file ------------------------------------------------------------------------ */

static edge_status open_with_section(uint32_t tag, size_t data_size) {
    edge_llc file;
    size_t size;
    uint8_t *bytes;
    edge_status status;
    writer w;
    w.n = 0;
    put_codes(&w, few, FEW, FEW_BITS);
    put(&w, tag, 1, room(data_size), data_size);
    bytes = finish(&w, EDGE_KIND_CLASSES, FEW_BITS, FEW, &size);
    status = edge_llc_open(bytes, size, 0, &file);
    free(bytes);
    return status;
}

static void items_keep_their_own_ids(void) {
    static const uint64_t own[FEW] = {7, UINT64_MAX, (uint64_t)1 << 63};
    edge_llc file;
    current = "own ids";
    for (size_t n_ids = FEW - 1; n_ids <= FEW; n_ids++) {
        uint8_t *bytes;
        size_t size;
        writer w;
        w.n = 0;
        put_codes(&w, few, FEW, FEW_BITS);
        put_copy(&w, EDGE_TAG_IDS, 8, own, n_ids * 8);
        bytes = finish(&w, EDGE_KIND_INSTANCES, FEW_BITS, FEW, &size);
        EXPECT(n_ids == FEW ? EDGE_OK : EDGE_ERR_FORMAT, edge_llc_open(bytes, size, 0, &file));
        if (n_ids == FEW) CHECK(memcmp(file.ids, own, sizeof own) == 0);
        free(bytes);
    }
}

static void newer_files_are_told_from_damaged_ones(void) {
    size_t size;
    edge_llc file;
    uint8_t *bytes = class_file(few, FEW, FEW_BITS, WITH_CODES, &size);
    current = "version";
    bytes[AT_VERSION]++;
    EXPECT(EDGE_ERR_FORMAT, edge_llc_open(bytes, size, 0, &file)); /* or a flipped bit */
    seal(bytes, 1);
    EXPECT(EDGE_ERR_VERSION, edge_llc_open(bytes, size, 0, &file));
    EXPECT(EDGE_ERR_VERSION, edge_llc_open(bytes, size, EDGE_UNVERIFIED, &file));
    bytes[AT_VERSION] = 0;
    seal(bytes, 1);
    EXPECT(EDGE_ERR_FORMAT, edge_llc_open(bytes, size, 0, &file));
    free(bytes);
    current = "unknown section";
    EXPECT(EDGE_OK, open_with_section(EDGE_TAG('n', 'o', 't', 'e'), 5));
    EXPECT(EDGE_OK, open_with_section(EDGE_TAG('x', '2', '0', '9'), 0));
    EXPECT(EDGE_ERR_VERSION, open_with_section(EDGE_TAG('X', '2', '0', '9'), 5));
    current = "misplaced section";
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_IDS, FEW * 8)); /* of items only */
    current = "malformed section";
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_EXACT, 3));
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_FILTER, 3));
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_NEAREST, 3));
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_MULTI, 3));
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_CALIBRATION, 3));
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_FILTER, 0));
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_MULTI, 4096));
    EXPECT(EDGE_ERR_FORMAT, open_with_section(EDGE_TAG_EXACT, 4096));
}

static void every_truncation_and_every_flipped_bit_is_refused(const book *b) {
    const unsigned with = WITH_CODES | WITH_EXACT | WITH_FILTER | WITH_NEAREST | WITH_CALIBRATION;
    edge_llc file;
    size_t size;
    uint8_t *bytes = class_file(b->codes, b->n, b->bits, with, &size);
    current = "whole file";
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    current = "truncated";
    for (size_t length = 0; length < size; length++) {
        uint8_t *part = (uint8_t *)room(length); /* a copy: what lies behind is not ours */
        memcpy(part, bytes, length);
        EXPECT(EDGE_ERR_FORMAT, edge_llc_open(part, length, 0, &file));
        EXPECT(EDGE_ERR_FORMAT, edge_llc_open(part, length, EDGE_UNVERIFIED, &file));
        CHECK(file.bytes == NULL);
        free(part);
    }
    current = "flipped";
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        EXPECT(EDGE_ERR_FORMAT, edge_llc_open(bytes, size, 0, &file));
        CHECK(file.bytes == NULL);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    current = "longer";
    uint8_t *longer = (uint8_t *)room(size + 1);
    memcpy(longer, bytes, size);
    longer[size] = 0;
    EXPECT(EDGE_ERR_FORMAT, edge_llc_open(longer, size + 1, 0, &file));
    free(longer);
    free(bytes);
}

/* Unverified, flips in sections are not seen; answers are wrong at worst, and in range. */
static void unverified_files_give_ids_in_range(const book *b) {
    const float scores[FEW_BITS] = {1, -1, 1, -1, -1, -0.5f, -1, 2};
    edge_llc file;
    size_t size;
    uint8_t *bytes = class_file(b->codes, b->n, b->bits, WITH_ALL, &size);
    uint64_t workspace[2048];
    current = "unverified";
    EXPECT(EDGE_OK, edge_llc_open(bytes, size, 0, &file));
    for (uint32_t s = 0; s < file.n_sections; s++) {
        const edge_section section = file.sections[s];
        for (int round = 0; round < 400; round++) {
            uint8_t *at = bytes + section.offset + random_word(40) % section.size;
            const uint8_t before = *at;
            edge_llc damaged;
            *at = (uint8_t)random_word(8);
            if (edge_llc_open(bytes, size, EDGE_UNVERIFIED, &damaged) == EDGE_OK) {
                const uint64_t word = random_word(b->bits);
                uint32_t id;
                edge_nearest nearest;
                edge_ordered answer;
                edge_hit hits[FEW];
                for (int i = 0; i < FEW; i++) hits[i].id = EDGE_NONE; /* as if unwritten */
                EXPECT(EDGE_OK, edge_ed_decode(&damaged, &word, 1, &id));
                CHECK(id == EDGE_NONE || id < b->n);
                for (int plan = EDGE_MHD_TABLE; plan <= EDGE_MHD_MULTI; plan++) {
                    EXPECT(EDGE_OK, edge_mhd_decode(&damaged, &word, 1, (edge_mhd_plan)plan, &id));
                    CHECK(id == EDGE_NONE || id < b->n);
                }
                EXPECT(EDGE_OK, edge_mhd_decode_margin(&damaged, &word, 1, &nearest));
                CHECK(nearest.id == EDGE_NONE || nearest.id < b->n);
                EXPECT(EDGE_OK, edge_ord_decode(&damaged, scores, 1, 0, EDGE_FALLBACK_SOFT,
                                                workspace, sizeof workspace, &answer));
                CHECK(answer.id == EDGE_NONE || answer.id < b->n);
                EXPECT(EDGE_OK, edge_search(&damaged, &word, 1, FEW, 0, b->n, hits, workspace,
                                            sizeof workspace));
                for (int i = 0; i < FEW; i++) CHECK(hits[i].id < b->n);
            }
            *at = before;
        }
    }
    free(bytes);
}

/* What XXH64 gives for the bytes 0, 1, 2, ... by its reference implementation, seed 0. */
static void digests_are_xxh64(void) {
    edge_digest digest;
    uint8_t bytes[256];
    current = "digest";
    for (int i = 0; i < 256; i++) bytes[i] = (uint8_t)i;
    edge_digest_start(&digest);
    edge_digest_add(&digest, NULL, 0);
    CHECK(edge_digest_value(&digest) == 0xEF46DB3751D8E999u);
    edge_digest_add(&digest, (const uint8_t *)"a", 1);
    CHECK(edge_digest_value(&digest) == 0xD24EC4F1A98C6E5Bu);
    edge_digest_add(&digest, (const uint8_t *)"bc", 2);
    CHECK(edge_digest_value(&digest) == 0x44BC2CF5AD770999u);
    /* In whatever pieces the bytes come. */
    for (size_t size = 0; size <= sizeof bytes; size++) {
        edge_digest whole, pieces;
        edge_digest_start(&whole);
        edge_digest_add(&whole, bytes, size);
        edge_digest_start(&pieces);
        for (size_t at = 0; at < size;) {
            size_t step = (size_t)(1 + random_word(6));
            if (step > size - at) step = size - at;
            edge_digest_add(&pieces, bytes + at, step);
            at += step;
        }
        CHECK(edge_digest_value(&whole) == edge_digest_value(&pieces));
    }
}

static void every_status_has_a_text_and_was_seen(void) {
    static const edge_status all[] = {
#define STATUS_(name, value, text) EDGE_##name,
        EDGE_STATUSES(STATUS_)
#undef STATUS_
    };
    current = "statuses";
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        CHECK(strlen(edge_status_text(all[i])) > 4);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(edge_status_text(all[i]), edge_status_text(all[j])) != 0);
        /* Only codes chosen against every seed of the table would bring it about. */
        if (all[i] != EDGE_ERR_BUILD && all[i] != EDGE_ERR_UNTRAINED) CHECK(seen[all[i] & 0xff]);
    }
    CHECK(edge_status_text((edge_status)0x7f) != NULL);
}

int main(int n_arguments, char **arguments) {
    folder = n_arguments > 1 ? arguments[1] : NULL;
    CHECK(edge_isa_count() >= 1);
    digests_are_xxh64();
    words_vectors("codes_ed.txt", WITH_EXACT, ed_case);
    words_vectors("codes_ed.txt", WITH_ALL, ed_case);
    words_vectors("codes_mhd.txt", WITH_ALL, mhd_case);
    ord_vectors();
    search_vectors();
    many_classes_agree_with_plain_loops();
    classes_side_by_side_are_all_told_apart();
    buffers_one_byte_too_small_are_refused();
    nulls_and_counts_out_of_range_are_refused();
    words_beyond_the_width_are_refused();
    scores_that_are_not_finite_are_refused();
    calibration_is_applied_before_signs_are_taken();
    decoders_whose_sections_are_absent_say_so();
    items_keep_their_own_ids();
    newer_files_are_told_from_damaged_ones();
    for (int i = 0; i < 2; i++) {
        every_truncation_and_every_flipped_bit_is_refused(&books[i]);
        unverified_files_give_ids_in_range(&books[i]);
    }
    every_status_has_a_text_and_was_seen();
    printf("codes   %lu checks  %lu instruction sets  %lu failures\n", n_checks,
           (unsigned long)edge_isa_count(), n_failures);
    return n_failures != 0;
}
