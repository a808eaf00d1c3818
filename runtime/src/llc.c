/* Codes of classes and items: what the sections of an .llc file hold. */
#include "llc.h"

uint32_t edge_code_width(uint32_t kind, uint32_t bits) {
    if (kind != EDGE_KIND_CLASSES && kind != EDGE_KIND_INSTANCES) return 0;
    if (bits >= 1 && bits <= 32) return 4;
    if (bits >= 33 && bits <= 64) return 8;
    if (kind == EDGE_KIND_INSTANCES && (bits == 128 || bits == 256)) return bits / 8;
    return 0;
}

int edge_words_fit(const uint64_t *words, size_t n_words, uint32_t bits) {
    uint64_t seen = 0;
    for (size_t i = 0; i < n_words; i++) seen |= words[i];
    return bits >= 64 || (seen & ~edge_mask(bits)) == 0;
}

static EDGE_SMALL edge_status take_section(edge_llc *file, const edge_section *section) {
    const uint8_t *data = file->bytes + section->offset;
    const uint64_t n = file->n, size = section->size;
    switch (section->tag) {
    case EDGE_TAG_CODES:
        file->code_width = edge_code_width(file->kind, file->bits);
        if (size / file->code_width != n || size % file->code_width) return EDGE_ERR_FORMAT;
        file->codes = data;
        return EDGE_OK;
    case EDGE_TAG_EXACT:
        if (!edge_exact_parse(data, size, file)) return EDGE_ERR_FORMAT;
        file->exact = data;
        return EDGE_OK;
    case EDGE_TAG_FILTER:
        file->filter_bits = edge_bit_length(size * 8) - 1;
        if (size == 0 || size * 8 != (uint64_t)1 << file->filter_bits || file->filter_bits < 3 ||
            (file->filter_bits > file->bits && file->filter_bits > 3))
            return EDGE_ERR_FORMAT;
        file->filter = data;
        return EDGE_OK;
    case EDGE_TAG_NEAREST:
        file->nearest_width = section->width;
        if (size == 0 || size != edge_nearest_size((uint32_t)n, file->bits) ||
            section->width != size >> file->bits)
            return EDGE_ERR_FORMAT;
        file->nearest = data;
        return EDGE_OK;
    case EDGE_TAG_MULTI:
        if (!edge_multi_parse(data, size, file)) return EDGE_ERR_FORMAT;
        file->multi = data;
        return EDGE_OK;
    case EDGE_TAG_CALIBRATION:
        if (size != (uint64_t)file->bits * 8) return EDGE_ERR_FORMAT;
        file->calibration = data;
        return EDGE_OK;
    case EDGE_TAG_IDS:
        if (size / 8 != n || size % 8) return EDGE_ERR_FORMAT;
        file->ids = data;
        return EDGE_OK;
    default:
        return edge_essential(section->tag) ? EDGE_ERR_VERSION : EDGE_OK;
    }
}

/* Which sections a kind may have; the rest would be read by wrong assumptions. */
static int belongs(uint32_t kind, uint32_t tag) {
    switch (tag) {
    case EDGE_TAG_EXACT:
    case EDGE_TAG_FILTER:
    case EDGE_TAG_NEAREST:
    case EDGE_TAG_MULTI:
    case EDGE_TAG_CALIBRATION:
        return kind == EDGE_KIND_CLASSES;
    case EDGE_TAG_IDS:
        return kind == EDGE_KIND_INSTANCES;
    default:
        return 1;
    }
}

/* Whether no code has bits beyond the file's. */
static EDGE_SMALL int codes_fit(const edge_llc *file) {
    if (file->code_width > 8) return 1;
    if (file->code_width == 8) return edge_words_fit((const uint64_t *)(const void *)file->codes,
                                                     (size_t)file->n, file->bits);
    const uint32_t *codes = (const uint32_t *)(const void *)file->codes;
    uint32_t seen = 0;
    for (uint64_t i = 0; i < file->n; i++) seen |= codes[i];
    return (seen & ~edge_mask(file->bits)) == 0;
}

static EDGE_SMALL edge_status read_sections(edge_llc *file, uint32_t flags) {
    for (uint32_t i = 0; i < file->n_sections; i++) {
        const edge_section *section = &file->sections[i];
        if (!belongs(file->kind, section->tag)) return EDGE_ERR_FORMAT;
        const edge_status status = take_section(file, section);
        if (status != EDGE_OK) return status;
    }
    if (file->codes && !(flags & EDGE_UNVERIFIED) && !codes_fit(file)) return EDGE_ERR_FORMAT;
    return EDGE_OK;
}

EDGE_SMALL
edge_status edge_llc_open(const uint8_t *bytes, size_t size, uint32_t flags, edge_llc *file) {
    edge_file opened;
    edge_status status;
    if (!file) return EDGE_ERR_ARGUMENT;
    memset(file, 0, sizeof *file);
    status = edge_file_open(bytes, size, flags, &opened);
    if (status != EDGE_OK) return status;
    if (edge_code_width(opened.kind, opened.bits) == 0) return EDGE_ERR_FORMAT;
    file->bytes = opened.bytes;
    file->size = opened.size;
    file->n = opened.n;
    file->kind = opened.kind;
    file->bits = opened.bits;
    file->n_sections = opened.n_sections;
    memcpy(file->sections, opened.sections, sizeof file->sections);
    status = read_sections(file, flags);
    if (status != EDGE_OK) memset(file, 0, sizeof *file);
    return status;
}
