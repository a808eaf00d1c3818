/*
 * MHD: the class at the least Hamming distance, ties to the lowest id.
 *
 * Up to 20 bits a table of all words answers in one load. Above, three ways give
 * the same answer, and a cost model chooses: the scan of all codes, exact decode
 * of the word's neighbours before it, or multi-index hashing before it.
 */
#include "kernels.h"
#include "llc.h"

EDGE_SMALL size_t edge_nearest_size(uint32_t n, uint32_t bits) {
    if (n == 0 || n > EDGE_MAX_CLASSES || bits == 0 || bits > EDGE_NEAREST_MAX_BITS) return 0;
    return ((size_t)1 << bits) * (n <= 0x10000u ? 2 : 4);
}

size_t edge_nearest_workspace_size(uint32_t bits) {
    return bits == 0 || bits > EDGE_NEAREST_MAX_BITS ? 0 : (size_t)1 << bits;
}

typedef struct table {
    uint8_t *ids, *distances;
    size_t wide; /* nonzero if an id takes four bytes, else two */
} table;

static uint32_t id_at(const table *t, size_t word) {
    uint16_t narrow;
    if (t->wide) return edge_load32(t->ids + word * 4);
    memcpy(&narrow, t->ids + word * 2, 2);
    return narrow;
}

static void set_id(const table *t, size_t word, uint32_t id) {
    const uint16_t narrow = (uint16_t)id;
    if (t->wide)
        edge_store32(t->ids + word * 4, id);
    else
        memcpy(t->ids + word * 2, &narrow, 2);
}

/* Take over a neighbour's class if, one bit further away, it is nearer, or as near and lower. */
static void improve(const table *t, size_t word, uint32_t distance, uint32_t id) {
    const uint32_t through = distance + 1;
    if (through < t->distances[word] || (through == t->distances[word] && id < id_at(t, word))) {
        t->distances[word] = (uint8_t)through;
        set_id(t, word, id);
    }
}

EDGE_SMALL
edge_status edge_nearest_build(const uint64_t *codes, uint32_t n, uint32_t bits, uint8_t *section,
                               size_t capacity, uint8_t *workspace, size_t workspace_size) {
    const size_t size = edge_nearest_size(n, bits), n_words = (size_t)1 << (bits & 31);
    table t;
    if (!codes || !section || !workspace || size == 0) return EDGE_ERR_ARGUMENT;
    if (!edge_words_fit(codes, n, bits)) return EDGE_ERR_WIDTH;
    if (capacity < size || workspace_size < n_words) return EDGE_ERR_CAPACITY;
    t.ids = section;
    t.distances = workspace;
    t.wide = n > 0x10000u;
    memset(section, 0, size);
    memset(workspace, 0x80, n_words); /* farther than any class */
    for (uint32_t id = n; id-- > 0;) { /* the lowest id of equal codes is written last */
        set_id(&t, (size_t)codes[id], id);
        t.distances[codes[id]] = 0;
    }
    /* Bit by bit: after bit j each word knows the best class that agrees on the bits above j. */
    for (uint32_t bit = 0; bit < bits; bit++) {
        const size_t flip = (size_t)1 << bit;
        for (size_t low = 0; low < n_words; low++) {
            if (low & flip) continue;
            const size_t high = low | flip;
            const uint32_t low_distance = t.distances[low], low_id = id_at(&t, low);
            improve(&t, low, t.distances[high], id_at(&t, high));
            improve(&t, high, low_distance, low_id);
        }
    }
    return EDGE_OK;
}

/* ---- choosing a way ---------------------------------------------------------- */

/* Picoseconds on one x86-64 (benchmarks/codes.py); only their ratio matters, for speed alone. */
enum { LOOKUP_PS = 12000, CODE_PS = 80 };

static uint64_t scan_ps(const edge_llc *file) { return file->n * CODE_PS; }

edge_mhd_plan edge_mhd_choose(const edge_llc *file) {
    const edge_mhd_plan no_way = (edge_mhd_plan)0;
    if (!file || file->bits > 64) return no_way;
    if (file->nearest) return EDGE_MHD_TABLE;
    if (!file->codes) return no_way;
    /* What may be in vain costs at most an eighth of the scan that then follows. */
    if (file->multi) return EDGE_MHD_MULTI;
    if (file->exact && (uint64_t)(file->bits + 1) * LOOKUP_PS * 8 <= scan_ps(file))
        return EDGE_MHD_BALL;
    return EDGE_MHD_SCAN;
}

enum {
    TILE_BYTES = 1 << 18, /* of codes, which stay in a second-level cache for all words at once */
    WORDS_AT_ONCE = 16
};

/* Codes begin..end against one word: the nearest, and its runner-up if that is wanted. */
static void scan(const edge_llc *file, uint64_t word, size_t begin, size_t end, uint32_t limit,
                 edge_nearest *best, int want_runner_up) {
    const edge_kernels *kernels = edge_kernels_active();
    edge_hit hits[1 + EDGE_KERNEL_STEP];
    while (begin < end) {
        size_t n_hits = 0;
        if (file->code_width == 4)
            begin = kernels->hamming_u32((const uint32_t *)(const void *)file->codes, begin, end,
                                         (uint32_t)word, limit, hits, &n_hits, 1);
        else
            begin = kernels->hamming_u64((const uint64_t *)(const void *)file->codes, begin, end,
                                         word, limit, hits, &n_hits, 1);
        for (size_t i = 0; i < n_hits; i++) {
            if (hits[i].distance < best->distance) {
                best->runner_up = best->distance;
                best->distance = hits[i].distance;
                best->id = (uint32_t)hits[i].id;
            } else if (hits[i].distance < best->runner_up) {
                best->runner_up = hits[i].distance;
            }
        }
        limit = want_runner_up ? best->runner_up : best->distance;
    }
}

static edge_nearest nobody(const edge_llc *file) {
    edge_nearest nearest;
    nearest.id = EDGE_NONE;
    nearest.distance = nearest.runner_up = file->bits + 1;
    return nearest;
}

/* Up to WORDS_AT_ONCE words, tile by tile: codes are read from memory once for all. */
static void scan_all(const edge_llc *file, const uint64_t *words, size_t n_words,
                     edge_nearest *best, int want_runner_up) {
    const size_t n = (size_t)file->n;
    const size_t tile = n_words == 1 ? n : (size_t)TILE_BYTES / file->code_width;
    for (size_t i = 0; i < n_words; i++) best[i] = nobody(file);
    for (size_t begin = 0; begin < n; begin += tile) {
        const size_t end = n - begin < tile ? n : begin + tile;
        for (size_t i = 0; i < n_words; i++)
            scan(file, words[i], begin, end,
                 want_runner_up ? best[i].runner_up : best[i].distance, &best[i], want_runner_up);
    }
}

/* Distance 0, then 1: complete shells, so whoever is met is nearest. */
static uint32_t ball(const edge_llc *file, uint64_t word) {
    uint32_t best = edge_exact_find(file, word);
    if (best != EDGE_NONE) return best;
    for (uint32_t bit = 0; bit < file->bits; bit++)
        edge_exact_prefetch(file, word ^ (uint64_t)1 << bit);
    for (uint32_t bit = 0; bit < file->bits; bit++) {
        const uint32_t id = edge_exact_find(file, word ^ (uint64_t)1 << bit);
        if (id < best) best = id;
    }
    return best;
}

static uint32_t decode(const edge_llc *file, uint64_t word, edge_mhd_plan plan) {
    edge_nearest nearest = nobody(file);
    if (plan == EDGE_MHD_BALL) {
        const uint32_t id = ball(file, word);
        if (id != EDGE_NONE) return id;
    } else if (plan == EDGE_MHD_MULTI) {
        const uint32_t proven = edge_multi_nearest(file, word, &nearest);
        if (nearest.distance < proven) return nearest.id;
        if (nearest.distance <= file->bits) {
            /* Not proven: somebody as near may have a lower id, or be nearer. */
            const uint32_t limit = nearest.distance + 1;
            nearest = nobody(file);
            scan(file, word, 0, (size_t)file->n, limit, &nearest, 0);
            return nearest.id;
        }
    }
    scan_all(file, &word, 1, &nearest, 0);
    return nearest.id;
}

static edge_status check(const edge_llc *file, const uint64_t *words, size_t n_words,
                         const void *out) {
    if (!file || ((!words || !out) && n_words)) return EDGE_ERR_ARGUMENT;
    if (file->bits > 64 || file->kind != EDGE_KIND_CLASSES) return EDGE_ERR_ARGUMENT;
    return edge_words_fit(words, n_words, file->bits) ? EDGE_OK : EDGE_ERR_WIDTH;
}

edge_status edge_mhd_decode(const edge_llc *file, const uint64_t *words, size_t n_words,
                            edge_mhd_plan plan, uint32_t *ids) {
    const edge_status status = check(file, words, n_words, ids);
    if (status != EDGE_OK) return status;
    if (n_words == 0) return EDGE_OK;
    if (file->n == 0) {
        memset(ids, 0xff, n_words * sizeof *ids);
        return EDGE_OK;
    }
    if ((unsigned)plan > EDGE_MHD_MULTI) return EDGE_ERR_ARGUMENT;
    if (plan == EDGE_MHD_AUTO) plan = edge_mhd_choose(file);
    if (plan == EDGE_MHD_AUTO || (plan == EDGE_MHD_TABLE && !file->nearest) ||
        (plan != EDGE_MHD_TABLE && !file->codes) || (plan == EDGE_MHD_BALL && !file->exact) ||
        (plan == EDGE_MHD_MULTI && !file->multi))
        return EDGE_ERR_ABSENT;
    if (plan == EDGE_MHD_TABLE) {
        /* An id out of range can only be read from a file that lies about itself. */
        const uint32_t last = (uint32_t)file->n - 1;
        for (size_t i = 0; i < n_words; i++) {
            const uint32_t id = edge_nearest_at(file, words[i]);
            ids[i] = id <= last ? id : EDGE_NONE;
        }
        return EDGE_OK;
    }
    if (plan != EDGE_MHD_SCAN) {
        for (size_t i = 0; i < n_words; i++) ids[i] = decode(file, words[i], plan);
        return EDGE_OK;
    }
    for (size_t at = 0; at < n_words; at += WORDS_AT_ONCE) {
        edge_nearest best[WORDS_AT_ONCE];
        const size_t left = n_words - at;
        const size_t count = left < WORDS_AT_ONCE ? left : (size_t)WORDS_AT_ONCE;
        scan_all(file, words + at, count, best, 0);
        for (size_t i = 0; i < count; i++) ids[at + i] = best[i].id;
    }
    return EDGE_OK;
}

edge_status edge_mhd_decode_margin(const edge_llc *file, const uint64_t *words, size_t n_words,
                                   edge_nearest *nearest) {
    const edge_status status = check(file, words, n_words, nearest);
    if (status != EDGE_OK) return status;
    if (file->n && n_words && !file->codes) return EDGE_ERR_ABSENT;
    if (file->n == 0) {
        for (size_t i = 0; i < n_words; i++) nearest[i] = nobody(file);
        return EDGE_OK;
    }
    for (size_t at = 0; at < n_words; at += WORDS_AT_ONCE) {
        const size_t left = n_words - at;
        scan_all(file, words + at, left < WORDS_AT_ONCE ? left : (size_t)WORDS_AT_ONCE,
                 nearest + at, 1);
    }
    return EDGE_OK;
}
