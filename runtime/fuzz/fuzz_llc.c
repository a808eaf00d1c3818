/*
 * Fuzzing of the .llc reader, the decoders and the builders.
 *
 * Bytes that begin as a file are opened as they are, then with their digests
 * mended, so that what lies behind the digests is reached; whatever opens is
 * decoded with words and scores drawn from the same bytes. All other bytes are a
 * recipe: codes are drawn, built into a file, and every decoder on every
 * instruction set is compared with a slow, obvious answer.
 *
 * Built by run.sh with libFuzzer; with EDGE_FUZZ_MAIN, a program that replays files.
 */
#include "../src/ordered.h"
#include "steer.h"

/* ---- drawing from the input ---------------------------------------------------------- */

static uint64_t draw_below(cursor *c, uint64_t end) { return end ? draw(c, 4) % end : 0; }

static uint64_t mask_of(uint32_t bits) { return UINT64_MAX >> (bits < 64 ? 64 - bits : 0); }

/* A word of a query: a stored one, one near it, or any. `part` is which of a wide code's. */
static uint64_t draw_word(cursor *c, const uint8_t *codes, uint64_t n, uint32_t width,
                          uint32_t part, uint32_t bits) {
    const uint32_t n_bytes = width < 8 ? width : 8, flips = draw8(c) % 5;
    uint64_t word;
    if (!codes || n == 0 || flips == 4) return draw(c, 8) & mask_of(bits);
    word = word_at(codes + draw_below(c, n) * width + part * 8, n_bytes);
    for (uint32_t i = 0; i < flips; i++) word ^= (uint64_t)1 << draw8(c) % 64;
    return word & mask_of(bits);
}

enum { SCORES_ANY, SCORES_SMALL, SCORES_NEAR, SCORES_ZERO, N_SCORES };

/* Scores of one query: `bits` floats; any at all, or quarters, which are prone to ties. */
static uint32_t draw_scores(cursor *c, uint64_t near_word, uint32_t bits, float *scores) {
    const uint32_t kind = draw8(c) % N_SCORES;
    for (uint32_t bit = 0; bit < bits; bit++) {
        const float sign = near_word >> (bit % 64) & 1 ? 1.0f : -1.0f;
        if (kind == SCORES_ANY) {
            scores[bit] = draw_any(c);
        } else if (kind == SCORES_SMALL) {
            scores[bit] = (float)((int)draw8(c) - 128) / 4;
        } else if (kind == SCORES_NEAR) {
            scores[bit] = sign * ((float)(draw8(c) % 64) / 16 - 0.25f);
        } else {
            scores[bit] = draw8(c) % 8 ? 0.0f : sign;
        }
    }
    return kind;
}

/* ---- whatever opens ------------------------------------------------------------------ */

enum { MAX_QUERIES = 80 };

static void check_ids(const edge_llc *file, const uint32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++) REQUIRE(ids[i] < file->n || ids[i] == EDGE_NONE);
}

static void check_answer(const edge_llc *file, const edge_ordered *answer, uint32_t max_lookups) {
    check_ids(file, &answer->id, 1);
    REQUIRE((answer->id == EDGE_NONE) == (answer->met == EDGE_MET_NONE));
    REQUIRE(answer->met <= EDGE_MET_SOFT);
    REQUIRE(answer->lookups <= max_lookups);
    REQUIRE(answer->penalty >= 0);
}

static void decode_words(const edge_llc *file, cursor *c) {
    const size_t n_words = 1 + draw8(c) % MAX_QUERIES;
    const edge_status other = file->kind == EDGE_KIND_CLASSES ? EDGE_ERR_ABSENT : EDGE_ERR_ARGUMENT;
    uint64_t *words = (uint64_t *)room(n_words * sizeof *words);
    uint32_t *ids = (uint32_t *)room(n_words * sizeof *ids);
    edge_nearest *nearest = (edge_nearest *)room(n_words * sizeof *nearest);
    edge_status status;
    for (size_t i = 0; i < n_words; i++)
        words[i] = draw_word(c, file->codes, file->n, file->code_width, 0, file->bits);
    status = edge_ed_decode(file, words, n_words, ids);
    REQUIRE(status == EDGE_OK || status == other);
    if (status == EDGE_OK) check_ids(file, ids, n_words);
    for (int plan = EDGE_MHD_AUTO; plan <= EDGE_MHD_MULTI; plan++) {
        status = edge_mhd_decode(file, words, n_words, (edge_mhd_plan)plan, ids);
        REQUIRE(status == EDGE_OK || status == other);
        if (status == EDGE_OK) check_ids(file, ids, n_words);
    }
    status = edge_mhd_decode_margin(file, words, n_words, nearest);
    REQUIRE(status == EDGE_OK || status == other);
    for (size_t i = 0; status == EDGE_OK && i < n_words; i++) {
        check_ids(file, &nearest[i].id, 1);
        REQUIRE(nearest[i].distance <= nearest[i].runner_up);
        REQUIRE(nearest[i].runner_up <= file->bits + 1);
        REQUIRE((nearest[i].id == EDGE_NONE) == (nearest[i].distance == file->bits + 1));
    }
    free(nearest);
    free(ids);
    free(words);
}

/*
 * Nonzero if look-ups by levels, or with `by_parts` the parts, are certain of the
 * answer. edge_ord_decode goes there on large files only.
 */
static int by_levels(const edge_llc *file, const float *scores, uint32_t max_lookups, int by_parts,
                     edge_ordered *answer) {
    edge_query query;
    int certain;
    REQUIRE(edge_query_read(file, scores, &query));
    answer->id = EDGE_NONE;
    answer->lookups = 0;
    if (by_parts)
        certain = edge_levels_decode_parts(file, &query, answer);
    else
        certain = edge_levels_decode(file, &query, max_lookups, answer);
    check_ids(file, &answer->id, 1);
    REQUIRE(answer->lookups <= max_lookups);
    return certain;
}

static void decode_scores(const edge_llc *file, cursor *c) {
    const size_t n = 1 + draw8(c) % 3;
    const uint32_t bounded = 1 + (uint32_t)draw(c, 2) % (draw8(c) % 64 ? 300 : EDGE_LOOKUPS_MAX);
    float *scores = (float *)room(n * file->bits * sizeof *scores);
    edge_ordered *answers = (edge_ordered *)room(n * sizeof *answers);
    edge_status status;
    for (size_t i = 0; i < n; i++)
        draw_scores(c, draw_word(c, file->codes, file->n, file->code_width, 0, file->bits),
                    file->bits, scores + i * file->bits);
    for (int way = 0; way <= 4; way++) {
        /* Ways 0 to 2 are the fallbacks of bounded look-ups. */
        const uint32_t asked = way < 3 ? bounded : EDGE_LOOKUPS_AUTO;
        const uint32_t most = way < 3 ? bounded : way == 3 ? edge_ord_choose(file) : 0;
        const size_t size = edge_ord_workspace_size(asked);
        void *workspace = room(size);
        if (way < 4)
            status = edge_ord_decode(file, scores, n, asked, (edge_fallback)(way % 3), workspace,
                                     size, answers);
        else
            status = edge_soft_decode(file, scores, n, answers);
        free(workspace);
        if (file->kind == EDGE_KIND_INSTANCES) REQUIRE(status == EDGE_ERR_ARGUMENT);
        if (status != EDGE_OK) {
            REQUIRE(status == EDGE_ERR_ARGUMENT || status == EDGE_ERR_ABSENT ||
                    status == EDGE_ERR_NOT_FINITE);
            continue;
        }
        for (size_t i = 0; i < n; i++) check_answer(file, &answers[i], most);
        for (size_t i = 0; i < n && file->exact; i++) {
            by_levels(file, scores + i * file->bits, bounded, 0, &answers[i]);
            if (file->multi && file->codes)
                by_levels(file, scores + i * file->bits, bounded, 1, &answers[i]);
        }
    }
    free(answers);
    free(scores);
}

static void check_sorted(const edge_hit *hits, size_t n, uint64_t begin, uint64_t end) {
    for (size_t i = 0; i < n; i++) {
        REQUIRE(hits[i].id >= begin && hits[i].id < end);
        if (i == 0) continue;
        REQUIRE(hits[i - 1].distance < hits[i].distance ||
                (hits[i - 1].distance == hits[i].distance && hits[i - 1].id < hits[i].id));
    }
}

static void search(const edge_llc *file, cursor *c) {
    const uint32_t n_parts = words_per_code(file->bits);
    const size_t n_queries = 1 + draw8(c) % 20, k = (size_t)draw(c, 2) % (draw8(c) % 8 ? 9 : 300);
    const uint64_t begin = draw_below(c, file->n + 1);
    const uint64_t end = begin + draw_below(c, file->n - begin + 1);
    const size_t size = edge_search_workspace_size(n_queries, k);
    uint64_t *queries = (uint64_t *)room(n_queries * n_parts * sizeof *queries);
    edge_hit *hits = (edge_hit *)room(n_queries * k * sizeof *hits);
    void *workspace = room(size);
    edge_status status;
    for (size_t i = 0; i < n_queries * n_parts; i++)
        queries[i] = draw_word(c, file->codes, file->n, file->code_width, (uint32_t)(i % n_parts),
                               file->bits);
    status = edge_search(file, queries, n_queries, k, begin, end, hits, workspace, size);
    REQUIRE(status == EDGE_OK || status == EDGE_ERR_ABSENT);
    if (status == EDGE_OK) {
        const size_t filled = end - begin < k ? (size_t)(end - begin) : k;
        for (size_t i = 0; i < n_queries; i++) check_sorted(hits + i * k, filled, begin, end);
    }
    free(workspace);
    free(hits);
    free(queries);
}

static void decode_all(const edge_llc *file, cursor *c) {
    use_isa(draw8(c) % isa_count());
    if (file->bits <= 64) {
        decode_words(file, c);
        decode_scores(file, c);
    }
    search(file, c);
}

static void try_file(const uint8_t *bytes, size_t size) {
    uint8_t *copy = (uint8_t *)room(size);
    edge_llc file;
    edge_status status;
    cursor c = cursor_on(bytes, size);
    memcpy(copy, bytes, size);
    status = edge_llc_open(copy, size, 0, &file);
    REQUIRE(status == EDGE_OK || status == EDGE_ERR_FORMAT || status == EDGE_ERR_VERSION);
    if (status == EDGE_OK)
        REQUIRE(edge_llc_open(copy, size, EDGE_UNVERIFIED, &file) == EDGE_OK);
    if (size >= HEAD) {
        /* The head's own digest field is free to steer: it is written anew. */
        c.at = (size_t)draw_below(&c, size) + AT_DIGEST;
        mend(copy, size, bytes[AT_DIGEST] & 1);
        const uint32_t flags = bytes[AT_DIGEST] & 2 ? EDGE_UNVERIFIED : 0;
        if (edge_llc_open(copy, size, flags, &file) == EDGE_OK) decode_all(&file, &c);
    }
    free(copy);
}

/* ---- recipes: the obvious answers ------------------------------------------------------ */

static uint32_t popcount(uint64_t x) {
    uint32_t count = 0;
    for (; x; x &= x - 1) count++;
    return count;
}

static edge_nearest obvious_nearest(const sample *s, uint64_t word) {
    edge_nearest best;
    best.id = EDGE_NONE;
    best.distance = best.runner_up = s->bits + 1;
    for (uint32_t id = 0; id < s->n; id++) {
        const uint32_t distance = popcount(s->words[id] ^ word);
        if (distance < best.distance) {
            best.runner_up = best.distance;
            best.distance = distance;
            best.id = id;
        } else if (distance < best.runner_up) {
            best.runner_up = distance;
        }
    }
    return best;
}

/* Exact for scores that are quarters: their sums are exact in double. */
static uint32_t obvious_soft(const sample *s, const float *scores, double *penalty) {
    uint32_t best = EDGE_NONE;
    for (uint32_t id = 0; id < s->n; id++) {
        double sum = 0;
        for (uint32_t bit = 0; bit < s->bits; bit++)
            if ((scores[bit] >= 0) != (s->words[id] >> bit & 1))
                sum += scores[bit] < 0 ? -scores[bit] : scores[bit];
        if (best == EDGE_NONE || sum < *penalty) {
            best = id;
            *penalty = sum;
        }
    }
    return best;
}

/* Codes in order, to find those that are equal. */
typedef struct entry {
    uint64_t word;
    uint32_t id;
} entry;

static int by_word_and_id(const void *a, const void *b) {
    const entry *x = (const entry *)a, *y = (const entry *)b;
    if (x->word != y->word) return x->word < y->word ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* lowest[i] = the lowest id whose code is that of i. Returns the number of equals. */
static uint32_t find_lowest(const sample *s, uint32_t *lowest) {
    entry *entries = (entry *)room(s->n * sizeof *entries);
    uint32_t n_equal = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        entries[i].word = s->words[i];
        entries[i].id = i;
    }
    qsort(entries, s->n, sizeof *entries, by_word_and_id);
    for (uint32_t i = 0; i < s->n; i++) {
        const int equal = i > 0 && entries[i].word == entries[i - 1].word;
        lowest[entries[i].id] = equal ? lowest[entries[i - 1].id] : entries[i].id;
        n_equal += (uint32_t)equal;
    }
    free(entries);
    return n_equal;
}

/* ---- recipes: comparing ---------------------------------------------------------------- */

/* Equal codes are refused unless the lowest id shall answer. */
static void compare_strict_build(const sample *s, uint32_t n_equal) {
    const size_t size = edge_exact_size(s->n, s->bits);
    const size_t workspace_size = edge_exact_workspace_size(s->n);
    uint8_t *section = (uint8_t *)room(size);
    void *workspace = room(workspace_size);
    uint32_t twins[2] = {0, 0};
    size_t written = 0;
    const edge_status status = edge_exact_build(s->words, s->n, s->bits, 0, section, size,
                                                &written, workspace, workspace_size, twins);
    REQUIRE(status == (n_equal ? EDGE_ERR_DUPLICATE : EDGE_OK));
    if (n_equal) {
        REQUIRE(twins[0] < s->n && twins[1] < s->n && twins[0] != twins[1]);
        REQUIRE(s->words[twins[0]] == s->words[twins[1]]);
    }
    free(workspace);
    free(section);
}

static void compare_words(const sample *s, const edge_llc *file, const uint32_t *lowest,
                          const uint64_t *words, const edge_nearest *obvious, uint32_t n_words) {
    const uint32_t room_for = s->n > n_words ? s->n : n_words;
    uint32_t *ids = (uint32_t *)room(room_for * sizeof *ids);
    edge_nearest *nearest = (edge_nearest *)room(n_words * sizeof *nearest);
    REQUIRE(edge_ed_decode(file, s->words, s->n, ids) == EDGE_OK);
    for (uint32_t i = 0; i < s->n; i++) REQUIRE(ids[i] == lowest[i]);
    REQUIRE(edge_ed_decode(file, words, n_words, ids) == EDGE_OK);
    REQUIRE(edge_mhd_decode_margin(file, words, n_words, nearest) == EDGE_OK);
    for (uint32_t i = 0; i < n_words; i++) {
        REQUIRE(ids[i] == (obvious[i].distance == 0 ? obvious[i].id : EDGE_NONE));
        REQUIRE(nearest[i].id == obvious[i].id && nearest[i].distance == obvious[i].distance &&
                nearest[i].runner_up == obvious[i].runner_up);
    }
    for (int plan = EDGE_MHD_AUTO; plan <= EDGE_MHD_MULTI; plan++) {
        if (edge_mhd_decode(file, words, n_words, (edge_mhd_plan)plan, ids) == EDGE_ERR_ABSENT) {
            REQUIRE((plan == EDGE_MHD_TABLE && !file->nearest) ||
                    (plan == EDGE_MHD_MULTI && !file->multi));
            continue;
        }
        for (uint32_t i = 0; i < n_words; i++) REQUIRE(ids[i] == nearest[i].id);
    }
    free(nearest);
    free(ids);
}

static edge_ordered ordered(const edge_llc *file, const float *scores, uint32_t max_lookups,
                            edge_fallback fallback) {
    const size_t size = edge_ord_workspace_size(max_lookups);
    void *workspace = room(size);
    edge_ordered answer;
    REQUIRE(edge_ord_decode(file, scores, 1, max_lookups, fallback, workspace, size, &answer) ==
            EDGE_OK);
    free(workspace);
    return answer;
}

static void compare_scores(const sample *s, const edge_llc *file, cursor *c) {
    float scores[64];
    const uint64_t near_word = draw_word(c, file->codes, file->n, file->code_width, 0, s->bits);
    const uint32_t kind = draw_scores(c, near_word, s->bits, scores);
    const uint32_t bounded = 1 + (uint32_t)draw(c, 2) % 200;
    edge_ordered soft, answer;
    const edge_status status = edge_soft_decode(file, scores, 1, &soft);
    if (status == EDGE_ERR_NOT_FINITE) return;
    REQUIRE(status == EDGE_OK);
    if (s->n && kind != SCORES_ANY && !s->calibration) {
        double penalty = 0;
        REQUIRE(soft.id == obvious_soft(s, scores, &penalty));
        REQUIRE(soft.penalty == penalty);
    }
    answer = ordered(file, scores, EDGE_LOOKUPS_AUTO, EDGE_FALLBACK_NONE);
    REQUIRE(answer.id == soft.id && answer.penalty == soft.penalty);
    answer = ordered(file, scores, bounded, EDGE_FALLBACK_SOFT);
    REQUIRE(answer.id == soft.id && answer.penalty == soft.penalty);
    answer = ordered(file, scores, bounded, EDGE_FALLBACK_NONE);
    if (answer.lookups < bounded) /* they did not run out: the answer is certain */
        REQUIRE(answer.id == soft.id && answer.penalty == soft.penalty);
    if (s->n && by_levels(file, scores, bounded, 0, &answer))
        REQUIRE(answer.id == soft.id && answer.penalty == soft.penalty);
    if (file->multi && by_levels(file, scores, bounded, 1, &answer))
        REQUIRE(answer.id == soft.id && answer.penalty == soft.penalty);
}

/* Sorted, of true distances, and as many rows as come up to the last hit: so they are the best. */
static void compare_search(const sample *s, const edge_llc *file, cursor *c, const uint64_t *words,
                           size_t n_words) {
    const size_t k = 1 + draw8(c) % (draw8(c) % 4 ? 8 : 250);
    const uint64_t begin = draw_below(c, s->n / 2 + 1), end = s->n - draw_below(c, s->n / 4 + 1);
    const size_t filled = end - begin < k ? (size_t)(end - begin) : k;
    const size_t size = edge_search_workspace_size(n_words, k);
    edge_hit *hits = (edge_hit *)room(n_words * k * sizeof *hits);
    void *workspace = room(size);
    REQUIRE(edge_search(file, words, n_words, k, begin, end, hits, workspace, size) == EDGE_OK);
    for (size_t q = 0; q < n_words && filled; q++) {
        const edge_hit *row = hits + q * k, *last = row + filled - 1;
        size_t rank = 0;
        check_sorted(row, filled, begin, end);
        for (size_t i = 0; i < filled; i++)
            REQUIRE(row[i].distance == popcount(s->words[row[i].id] ^ words[q]));
        for (uint64_t id = begin; id < end; id++) {
            const uint32_t distance = popcount(s->words[id] ^ words[q]);
            rank += distance < last->distance || (distance == last->distance && id <= last->id);
        }
        REQUIRE(rank == filled);
    }
    free(workspace);
    free(hits);
}

/* Codes at random, near each other, in a row, or as the bytes say. */
static void draw_codes(cursor *c, uint32_t n, uint32_t bits, uint64_t *words) {
    const uint32_t style = draw8(c) % 4;
    uint64_t state = draw(c, 8);
    for (uint32_t i = 0; i < n; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        words[i] = state ^ state >> 29;
        if (style == 1 && i > 0) words[i] = words[(state >> 40) % i] ^ (uint64_t)1 << (state >> 58);
        if (style == 2) words[i] = state % 7 ? i : words[i];
        if (style == 3) words[i] = draw(c, 1 + bits / 9);
        words[i] &= mask_of(bits);
    }
}

static void try_recipe(const uint8_t *bytes, size_t size) {
    enum { N_WORDS = 20, MOST = 600 };
    cursor c = cursor_on(bytes, size);
    uint64_t words[N_WORDS];
    edge_nearest obvious[N_WORDS];
    float calibration[128];
    sample s;
    edge_llc file;
    size_t file_size;
    s.kind = EDGE_KIND_CLASSES;
    s.bits = 1 + draw8(&c) % 64;
    s.n = (uint32_t)draw(&c, 2) % (draw8(&c) % 4 ? 40 : MOST);
    s.with = WITH_CODES | WITH_EXACT | draw8(&c) % 32;
    if (s.bits > 12) s.with &= ~(uint32_t)WITH_NEAREST;
    if (s.bits > 12 && s.bits <= 20) s.with &= ~(uint32_t)WITH_FILTER; /* of 2^bits bits */
    s.ids = NULL;
    s.calibration = draw8(&c) % 4 ? NULL : calibration;
    for (uint32_t i = 0; i < 128; i++) calibration[i] = (float)((int)draw8(&c) - 100) / 32;
    uint64_t *codes = (uint64_t *)room(s.n * sizeof *codes);
    uint32_t *lowest = (uint32_t *)room(s.n * sizeof *lowest);
    draw_codes(&c, s.n, s.bits, codes);
    s.words = codes;
    const uint32_t n_equal = find_lowest(&s, lowest);
    if (s.n && draw8(&c) % 4 == 0) compare_strict_build(&s, n_equal);
    uint8_t *built = sample_build(&s, &file_size);
    REQUIRE(edge_llc_open(built, file_size, 0, &file) == EDGE_OK);
    for (uint32_t i = 0; i < N_WORDS; i++) {
        words[i] = draw_word(&c, file.codes, file.n, file.code_width, 0, s.bits);
        obvious[i] = obvious_nearest(&s, words[i]);
    }
    for (size_t isa = 0; isa < isa_count(); isa++) {
        cursor same = c;
        use_isa(isa);
        compare_words(&s, &file, lowest, words, obvious, N_WORDS);
        for (int i = 0; i < 4; i++) compare_scores(&s, &file, &same);
        compare_search(&s, &file, &same, words, N_WORDS);
    }
    free(built);
    free(lowest);
    free(codes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == 0x89)
        try_file(data, size);
    else
        try_recipe(data, size);
    return 0;
}
