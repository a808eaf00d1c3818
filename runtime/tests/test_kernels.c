/*
 * Every kernel that this machine can run finds what a plain loop finds, in the
 * same order, however a scan is cut into calls.
 */
#include "../src/kernels.h"
#include "check.h"

typedef enum kind { HAMMING_U32, HAMMING_U64, HAMMING_WORDS, SOFT_U32, SOFT_U64 } kind;

static const char *const kind_names[] = {"hamming_u32", "hamming_u64", "hamming_words",
                                         "soft_u32", "soft_u64"};

/* A scan: codes are `words`, or `halves` for the kinds of 32 bits. */
typedef struct scan {
    kind what;
    size_t n_words;
    size_t n_codes;
    uint64_t *words;
    uint32_t *halves;
    uint64_t query[4];
    uint32_t n_bits;
    uint32_t weights[64];
    edge_soft_tables tables;
} scan;

static size_t random_below(size_t n) { return (size_t)random_word(32) % n; }

/* ---- the slow, obvious answer --------------------------------------------------------------- */

static uint64_t word_of(const scan *s, size_t i, size_t word)
{
    if (s->what == HAMMING_U32 || s->what == SOFT_U32) {
        return s->halves[i];
    }
    return s->words[i * s->n_words + word];
}

static int is_soft(const scan *s) { return s->what == SOFT_U32 || s->what == SOFT_U64; }

static uint32_t naive_distance(const scan *s, size_t i)
{
    uint32_t sum = 0;
    size_t word;
    uint32_t bit;
    for (word = 0; word < s->n_words; word++) {
        const uint64_t differing = word_of(s, i, word) ^ s->query[word];
        for (bit = 0; bit < 64; bit++) {
            if ((differing >> bit & 1) != 0) {
                sum += !is_soft(s) ? 1 : bit < s->n_bits ? s->weights[bit] : 0;
            }
        }
    }
    return sum;
}

static int naive_is_hit(const scan *s, uint32_t distance, uint32_t limit)
{
    return is_soft(s) ? distance <= limit : distance < limit;
}

/* ---- one scan ------------------------------------------------------------------------------- */

static size_t run(const edge_kernels *kernels, const scan *s, size_t begin, size_t end,
                  uint32_t limit, edge_hit *hits, size_t *n_hits, size_t want)
{
    switch (s->what) {
    case HAMMING_U32:
        return kernels->hamming_u32(s->halves, begin, end, (uint32_t)s->query[0], limit, hits,
                                    n_hits, want);
    case HAMMING_U64:
        return kernels->hamming_u64(s->words, begin, end, s->query[0], limit, hits, n_hits, want);
    case HAMMING_WORDS:
        return kernels->hamming_words(s->words, s->n_words, begin, end, s->query, limit, hits,
                                      n_hits, want);
    case SOFT_U32:
        return kernels->soft_u32(s->halves, begin, end, (uint32_t)s->query[0], &s->tables, limit,
                                 hits, n_hits, want);
    default:
        return kernels->soft_u64(s->words, begin, end, s->query[0], &s->tables, limit, hits,
                                 n_hits, want);
    }
}

static int fail(const edge_kernels *kernels, const scan *s, size_t begin, size_t end,
                uint32_t limit, size_t want, const char *message, size_t where)
{
    printf("FAIL %s__%s, %s: %s (%lu)\n", kind_names[s->what], kernels->isa, current, message,
           (unsigned long)where);
    printf("  n_words %lu  n_bits %lu  codes %lu..%lu of %lu  limit %lu  want %lu\n",
           (unsigned long)s->n_words, (unsigned long)s->n_bits, (unsigned long)begin,
           (unsigned long)end, (unsigned long)s->n_codes, (unsigned long)limit,
           (unsigned long)want);
    return 1;
}

/* Scan begin..end in as many calls as it takes, each appending to `n_before` hits. */
static int check_kernels(const edge_kernels *kernels, const scan *s, const uint32_t *distances,
                         size_t begin, size_t end, uint32_t limit, size_t want, size_t n_before)
{
    const size_t capacity = want + EDGE_KERNEL_STEP;
    edge_hit *hits = (edge_hit *)room((capacity + 1) * sizeof *hits);
    const uint64_t untouched = 0xdeadbeefu;
    size_t i = begin;
    size_t at = begin; /* the next code to be accounted for */
    size_t n, h;
    const char *wrong = NULL;

    do {
        const size_t from = i;
        for (h = 0; h <= capacity; h++) {
            hits[h].id = untouched;
        }
        n = n_before;
        i = run(kernels, s, from, end, limit, hits, &n, want);
        if (i < from || i > end || (i == from && from < end && n_before < want)) {
            wrong = "returned index";
        } else if (n_before >= want && i != from) {
            wrong = "went on with nothing wanted";
        } else if (n < want && i != end) {
            wrong = "stopped early";
        } else if (n >= capacity || n < n_before) {
            wrong = "number of hits";
        } else if (hits[capacity].id != untouched) {
            wrong = "wrote beyond the hits";
        }
        for (h = 0; h < n_before && wrong == NULL; h++) {
            wrong = hits[h].id != untouched ? "overwrote earlier hits" : NULL;
        }
        for (h = n_before; wrong == NULL && at < i; at++) {
            if (naive_is_hit(s, distances[at], limit)) {
                if (h >= n || hits[h].id != at) {
                    wrong = "hit missing";
                } else if (hits[h].distance != distances[at]) {
                    wrong = "distance";
                }
                h++;
            }
        }
        if (wrong == NULL && h != n) {
            wrong = "hit too many";
        }
    } while (wrong == NULL && i < end && n_before < want);
    free(hits);
    return wrong == NULL ? 0 : fail(kernels, s, begin, end, limit, want, wrong, at);
}

/* ---- all kernels ---------------------------------------------------------------------------- */

static const edge_kernels *const all_kernels[] = {
#define EDGE_KERNEL(isa) &edge_kernels__##isa,
#include "../src/kernels.def"
#undef EDGE_KERNEL
};

#define N_KERNELS (sizeof all_kernels / sizeof all_kernels[0])

static int check_prepare(const edge_kernels *kernels, scan *s)
{
    /* At the end of a block of their own, so that a sanitizer sees any read beyond. */
    uint32_t *weights = (uint32_t *)room(s->n_bits * sizeof *weights);
    uint32_t g, m, j;
    int failed = 0;

    memcpy(weights, s->weights, s->n_bits * sizeof *weights);
    memset(&s->tables, 0xff, sizeof s->tables);
    kernels->soft_prepare(weights, s->n_bits, &s->tables);
    free(weights);
    for (g = 0; g < 38; g++) {
        const uint32_t size = g < 16 ? 4 : 3;
        const uint32_t first = g < 16 ? 4 * g : 3 * (g - 16);
        const uint32_t *table = g < 16 ? s->tables.nibble[g] : s->tables.triple[g - 16];
        for (m = 0; m < 1u << size; m++) {
            uint32_t sum = 0;
            for (j = 0; j < size; j++) {
                sum += (m >> j & 1) != 0 && first + j < s->n_bits ? s->weights[first + j] : 0;
            }
            failed |= table[m] != sum;
        }
    }
    failed |= s->tables.n_bits != s->n_bits;
    return failed == 0 ? 0 : fail(kernels, s, 0, 0, 0, 0, "soft_prepare", s->n_bits);
}

/* Every kernel, over codes[begin..end), with limits around every distance that matters. */
static int check_range(scan *s, size_t begin, size_t end, const uint32_t *limits, size_t n_limits)
{
    static const size_t wants[] = {1, 2, 7, 63, 64, 65, 1000};
    uint32_t *distances = (uint32_t *)room(s->n_codes * sizeof *distances);
    size_t i, k, l, w;
    int failed = 0;

    for (i = 0; i < s->n_codes; i++) {
        distances[i] = naive_distance(s, i);
    }
    for (k = 0; k < N_KERNELS && !failed; k++) {
        if (!all_kernels[k]->available()) {
            continue;
        }
        failed = is_soft(s) ? check_prepare(all_kernels[k], s) : 0;
        for (l = 0; l < n_limits && !failed; l++) {
            for (w = 0; w < sizeof wants / sizeof wants[0] && !failed; w++) {
                const size_t n_before = (l + w) % 3 == 0 ? wants[w] / 2 : 0;
                failed = check_kernels(all_kernels[k], s, distances, begin, end, limits[l],
                                       wants[w], n_before);
            }
        }
        if (!failed) { /* nothing is wanted any more */
            failed = check_kernels(all_kernels[k], s, distances, begin, end, limits[0], 3, 3);
        }
    }
    free(distances);
    return failed;
}

/* Limits: none, all, the wide ones, and those at, below and above a distance that occurs. */
static int check_limits(scan *s, size_t begin, size_t end)
{
    uint32_t limits[9] = {0, 1, 65, 257, 0x7fffffffu, 0xffffffffu, 0, 0, 0};
    if (begin < end) {
        const uint32_t distance = naive_distance(s, begin + random_below(end - begin));
        limits[6] = distance;
        limits[7] = distance - 1;
        limits[8] = distance + 1;
        return check_range(s, begin, end, limits, 9);
    }
    return check_range(s, begin, end, limits, 6);
}

/* ---- codes ---------------------------------------------------------------------------------- */

typedef enum content { RANDOM, EQUAL, ZEROS, ONES, NEAR, LAST_HITS, N_CONTENTS } content;

static const char *const content_names[] = {"random",    "equal", "zeros",
                                            "all ones",  "near the query", "last hits"};

static uint64_t code_word(content what, uint64_t query, size_t i, size_t n)
{
    switch (what) {
    case EQUAL:
        return query;
    case ZEROS:
        return 0;
    case ONES:
        return ~(uint64_t)0;
    case NEAR:
        return query ^ (uint64_t)1 << random_below(64) ^ (uint64_t)1 << random_below(64);
    case LAST_HITS:
        return i + 1 == n ? query : ~query;
    default:
        return random_word(64);
    }
}

/* Codes end with the block that holds them, so that a sanitizer sees any read beyond. */
static void scan_make(scan *s, kind what, size_t n_words, size_t n_codes, content fill)
{
    size_t i, j;
    s->what = what;
    s->n_words = n_words;
    s->n_codes = n_codes;
    s->words = NULL;
    s->halves = NULL;
    for (j = 0; j < 4; j++) {
        s->query[j] = random_word(64);
    }
    if (what == HAMMING_U32 || what == SOFT_U32) {
        s->query[0] &= 0xffffffffu;
        s->halves = (uint32_t *)room(n_codes * sizeof *s->halves);
        for (i = 0; i < n_codes; i++) {
            s->halves[i] = (uint32_t)code_word(fill, s->query[0], i, n_codes);
        }
    } else {
        s->words = (uint64_t *)room(n_codes * n_words * sizeof *s->words);
        for (i = 0; i < n_codes * n_words; i++) {
            s->words[i] = code_word(fill, s->query[i % n_words], i / n_words, n_codes);
        }
    }
    current = content_names[fill];
}

static void scan_free(scan *s)
{
    free(s->words);
    free(s->halves);
}

/* Weights that sum to less than 2^32. */
static void weigh(scan *s, uint32_t n_bits, int heavy)
{
    const uint32_t most = n_bits == 0 ? 1 : 0xffffffffu / n_bits;
    uint32_t j;
    s->n_bits = n_bits;
    for (j = 0; j < 64; j++) {
        s->weights[j] = heavy ? most : (uint32_t)random_word(64) % (j % 2 == 0 ? most : 1000);
    }
}

/* ---- tests ---------------------------------------------------------------------------------- */

static const kind kinds[] = {HAMMING_U32, HAMMING_U64, HAMMING_WORDS, HAMMING_WORDS, SOFT_U32,
                             SOFT_U64};
static const size_t words_of_kinds[] = {1, 1, 2, 4, 1, 1};

#define N_KINDS (sizeof kinds / sizeof kinds[0])

static uint32_t bits_of_kind(kind what) { return what == SOFT_U32 ? 32 : 64; }

static int test_every_length_and_start(void)
{
    scan s;
    size_t k, n;
    for (k = 0; k < N_KINDS; k++) {
        for (n = 0; n < 150; n++) {
            int failed = 0;
            scan_make(&s, kinds[k], words_of_kinds[k], n, n % 4 == 3 ? NEAR : RANDOM);
            weigh(&s, 1 + (uint32_t)random_below(bits_of_kind(kinds[k])), 0);
            failed = check_limits(&s, 0, n) || check_limits(&s, n / 2, n) ||
                     check_limits(&s, n - n % 7, n) || check_limits(&s, n < 9 ? n : n % 9, n);
            if (n > 0) {
                failed = failed || check_limits(&s, random_below(n), n - 1 + random_below(2));
            }
            scan_free(&s);
            if (failed) {
                return 1;
            }
        }
    }
    return 0;
}

static int test_contents(void)
{
    scan s;
    size_t k;
    int fill;
    for (k = 0; k < N_KINDS; k++) {
        for (fill = 0; fill < N_CONTENTS; fill++) {
            int failed;
            scan_make(&s, kinds[k], words_of_kinds[k], 333, (content)fill);
            weigh(&s, bits_of_kind(kinds[k]), fill % 2);
            failed = check_limits(&s, 0, 333) || check_limits(&s, 1, 332);
            scan_free(&s);
            if (failed) {
                return 1;
            }
        }
    }
    return 0;
}

static int test_every_width_of_soft_codes(void)
{
    scan s;
    uint32_t n_bits;
    int heavy;
    for (n_bits = 0; n_bits <= 64; n_bits++) {
        for (heavy = 0; heavy < 2; heavy++) {
            int failed;
            scan_make(&s, SOFT_U64, 1, 100, RANDOM);
            weigh(&s, n_bits, heavy);
            failed = check_limits(&s, 0, 100);
            scan_free(&s);
            if (!failed && n_bits <= 32) {
                scan_make(&s, SOFT_U32, 1, 100, RANDOM);
                weigh(&s, n_bits, heavy);
                failed = check_limits(&s, 0, 100);
                scan_free(&s);
            }
            if (failed) {
                return 1;
            }
        }
    }
    return 0;
}

static int test_costs_beyond_signed(void)
{
    scan s;
    int failed;
    scan_make(&s, SOFT_U32, 1, 100, RANDOM);
    current = "costs around 2^31";
    weigh(&s, 2, 0);
    s.weights[0] = 0x7fffffffu;
    s.weights[1] = 0x80000000u;
    failed = check_limits(&s, 0, 100);
    s.weights[1] = 1;
    failed = failed || check_limits(&s, 0, 100);
    scan_free(&s);
    return failed;
}

/* ---- int8 rows ------------------------------------------------------------------------------ */

static int8_t *random_codes(size_t size, int extreme)
{
    int8_t *codes = (int8_t *)room(size);
    for (size_t i = 0; i < size; i++)
        codes[i] = (int8_t)(extreme ? (random_word(1) ? 127 : -128) : (int)random_word(8) - 128);
    return codes;
}

static uint32_t naive_dot(const int8_t *blocks, size_t n_groups, size_t row, const int8_t *query,
                          uint32_t start)
{
    for (size_t d = 0; d < 4 * n_groups; d++) {
        const size_t at = ((row / 64 * n_groups + d / 4) * 64 + row % 64) * 4 + d % 4;
        start += (uint32_t)(blocks[at] * query[d]);
    }
    return start;
}

/* In as many calls as it takes: every row below the limit, once, in order, and no other. */
static void check_dot(const edge_kernels *kernels, const int8_t *blocks, size_t n_groups,
                      size_t begin, size_t end, const int8_t *query, uint32_t limit, size_t want)
{
    const uint32_t start = (uint32_t)n_groups * 4 * 128 * 127;
    edge_hit *hits = (edge_hit *)room((want + EDGE_KERNEL_STEP) * sizeof *hits);
    size_t row = begin;
    for (size_t at = begin; at < end;) {
        const size_t before = at;
        size_t n = 0, h = 0;
        at = kernels->dot_i8(blocks, n_groups, at, end, query, start, limit, hits, &n, want);
        CHECK(at > before && at <= end && n < want + EDGE_KERNEL_STEP);
        CHECK(at == end || n >= want);
        for (; row < at; row++) {
            const uint32_t distance = naive_dot(blocks, n_groups, row, query, start);
            if (distance >= limit) continue;
            CHECK(h < n && hits[h].id == row && hits[h].distance == distance);
            h++;
        }
        CHECK(h == n);
    }
    free(hits);
}

static void test_int8_rows(void)
{
    static const size_t ends[] = {0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 200};
    static const size_t wants[] = {1, 5, 64, 1000};
    for (size_t k = 0; k < N_KERNELS; k++) {
        if (!all_kernels[k]->available()) continue;
        current = all_kernels[k]->isa;
        for (size_t round = 0; round < 200; round++) {
            const size_t n_groups = 1 + round % 9, end = ends[round % 11];
            const int extreme = round % 3 == 0;
            int8_t *blocks = random_codes((end + 63) / 64 * 256 * n_groups, extreme);
            int8_t *query = random_codes(4 * n_groups, extreme);
            const uint32_t start = (uint32_t)n_groups * 4 * 128 * 127;
            uint32_t limits[] = {0, 1, 0xffffffffu, 0};
            for (size_t d = 0; d < 4 * n_groups; d++)
                if (query[d] == -128) query[d] = -127;
            if (end) limits[3] = naive_dot(blocks, n_groups, end / 2, query, start) + 1;
            for (size_t l = 0; l < 4; l++)
                for (size_t begin = 0; begin <= end && begin < 129; begin += 64)
                    check_dot(all_kernels[k], blocks, n_groups, begin, end, query, limits[l],
                              wants[round % 4]);
            free(blocks);
            free(query);
        }
    }
}

/* ---- dispatch ------------------------------------------------------------------------------- */

static int test_isa(void)
{
    size_t i;
    const size_t n = edge_isa_count();
    const char *const best = edge_isa_name(n - 1);
    int failed = n == 0 || edge_isa_name(n) != NULL || strcmp(edge_isa_name(0), "scalar") != 0 ||
                 edge_isa_use("none") != EDGE_ERR_ARGUMENT ||
                 edge_isa_use(NULL) != EDGE_ERR_ARGUMENT || strcmp(edge_isa(), best) != 0;
    for (i = 0; i < n; i++) {
        failed |= edge_isa_use(edge_isa_name(i)) != EDGE_OK;
        failed |= strcmp(edge_isa(), edge_isa_name(i)) != 0;
        failed |= edge_kernels_active()->isa != edge_isa();
        printf("isa %s\n", edge_isa());
    }
    if (failed) {
        printf("FAIL dispatch\n");
    }
    return failed;
}

int main(void)
{
    const int failed = test_isa() || test_every_length_and_start() || test_contents() ||
                       test_every_width_of_soft_codes() || test_costs_beyond_signed();
    test_int8_rows();
    printf("int8 rows %lu checks  %lu failures\n", n_checks, n_failures);
    return failed || n_failures != 0;
}
