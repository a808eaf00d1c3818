/* ED: codes to ids in O(1), the stored code being the proof. Section: variant u32, 0 u32, table. */
#include "exact.h"

enum { HEAD = 8 };

static int in_range(uint32_t n, uint32_t bits) {
    return n >= 1 && n <= EDGE_MAX_CLASSES && bits >= 1 && bits <= 64;
}

/* Few codes share a quotient: then its buckets are as good as random ones. */
static int far_apart(uint32_t n, uint32_t bits) {
    return bits == 64 || (uint64_t)n * n <= (uint64_t)1 << bits >> 2;
}

EDGE_SMALL size_t edge_exact_size(uint32_t n, uint32_t bits) {
    if (!in_range(n, bits)) return 0;
    /* Either, for the perfect table may not be found. */
    const size_t any = edge_cuckoo_size(n, bits);
    const size_t perfect = far_apart(n, bits) ? edge_perfect_size(n, bits) : 0;
    return HEAD + (any > perfect ? any : perfect);
}

size_t edge_exact_workspace_size(uint32_t n) {
    const size_t any = edge_cuckoo_workspace_size(n), perfect = edge_perfect_workspace_size(n);
    return any > perfect ? any : perfect;
}

EDGE_SMALL
edge_status edge_exact_build(const uint64_t *codes, uint32_t n, uint32_t bits, int keep_lowest,
                             uint8_t *section, size_t capacity, size_t *written, void *workspace,
                             size_t workspace_size, uint32_t twins[2]) {
    edge_status status = EDGE_ERR_BUILD;
    if (!codes || !section || !written || !workspace || !twins || !in_range(n, bits) ||
        !edge_aligned(workspace, sizeof(uint32_t)))
        return EDGE_ERR_ARGUMENT;
    if (!edge_words_fit(codes, n, bits)) return EDGE_ERR_WIDTH;
    if (capacity < edge_exact_size(n, bits) || workspace_size < edge_exact_workspace_size(n))
        return EDGE_ERR_CAPACITY;
    edge_store32(section, EDGE_EXACT_PERFECT);
    edge_store32(section + 4, 0);
    if (far_apart(n, bits))
        status = edge_perfect_build(codes, n, bits, keep_lowest, section + HEAD, written,
                                    workspace, twins);
    if (status == EDGE_ERR_BUILD) {
        edge_store32(section, EDGE_EXACT_CUCKOO);
        status = edge_cuckoo_build(codes, n, bits, keep_lowest, section + HEAD, written, workspace,
                                   twins);
    }
    if (status == EDGE_OK) *written += HEAD;
    return status;
}

EDGE_SMALL int edge_exact_parse(const uint8_t *section, uint64_t size, edge_llc *file) {
    if (size < HEAD || file->n == 0 || edge_load32(section + 4) != 0) return 0;
    file->exact_variant = edge_load32(section);
    if (file->exact_variant == EDGE_EXACT_PERFECT)
        return edge_perfect_parse(section + HEAD, size - HEAD, file);
    if (file->exact_variant == EDGE_EXACT_CUCKOO)
        return edge_cuckoo_parse(section + HEAD, size - HEAD, file);
    return 0;
}

uint32_t edge_exact_find(const edge_llc *file, uint64_t word) {
    return file->exact_variant == EDGE_EXACT_PERFECT ? edge_perfect_find(file, word)
                                                     : edge_cuckoo_find(file, word);
}

void edge_exact_prefetch(const edge_llc *file, uint64_t word) {
    if (file->exact_variant == EDGE_EXACT_PERFECT)
        edge_perfect_prefetch(file, word);
    else
        edge_cuckoo_prefetch(file, word);
}

/* Up to 20 bits the nearest class is one load away, and is the word's own or nobody is. */
static void decode_by_nearest(const edge_llc *file, const uint64_t *words, size_t n_words,
                              uint32_t *ids) {
    const uint32_t last = (uint32_t)file->n - 1;
    for (size_t i = 0; i < n_words; i++) {
        const uint32_t found = edge_nearest_at(file, words[i]), id = found <= last ? found : last;
        ids[i] = edge_code_at(file, id) == words[i] ? id : EDGE_NONE;
    }
}

edge_status edge_ed_decode(const edge_llc *file, const uint64_t *words, size_t n_words,
                           uint32_t *ids) {
    if (!file || ((!words || !ids) && n_words)) return EDGE_ERR_ARGUMENT;
    if (file->bits > 64 || file->kind != EDGE_KIND_CLASSES) return EDGE_ERR_ARGUMENT;
    if (!edge_words_fit(words, n_words, file->bits)) return EDGE_ERR_WIDTH;
    if (n_words == 0) return EDGE_OK;
    if (file->n == 0) {
        memset(ids, 0xff, n_words * sizeof *ids);
        return EDGE_OK;
    }
    if (!file->exact) return EDGE_ERR_ABSENT;
    if (file->nearest && file->codes) {
        decode_by_nearest(file, words, n_words, ids);
        return EDGE_OK;
    }
    for (size_t at = 0; at < n_words; at += EDGE_EXACT_AHEAD) {
        const size_t left = n_words - at;
        const size_t count = left < EDGE_EXACT_AHEAD ? left : (size_t)EDGE_EXACT_AHEAD;
        if (file->exact_variant == EDGE_EXACT_PERFECT)
            edge_perfect_decode(file, words + at, count, ids + at);
        else
            edge_cuckoo_decode(file, words + at, count, ids + at);
    }
    return EDGE_OK;
}
