/* The .llc container: head, section table, digests. The format is in FORMAT.md. */
#include "llc.h"

static const uint8_t MAGIC[8] = {0x89, 'L', 'L', 'C', '\r', '\n', 0x1a, '\n'};

/* Byte offsets in the head. */
enum {
    AT_VERSION = 8,
    AT_KIND = 12,
    AT_BITS = 16,
    AT_SECTIONS = 20,
    AT_N = 24,
    AT_SIZE = 32,
    AT_RESERVED = 40,
    AT_DIGEST = 56
};

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

size_t edge_llc_head_size(uint32_t n_sections) {
    return EDGE_LLC_HEAD + (size_t)n_sections * EDGE_LLC_ENTRY;
}

/* The digest of head and table, which passes over the head's own digest field. */
static uint64_t head_digest(const uint8_t *head, uint32_t n_sections) {
    edge_digest digest;
    edge_digest_start(&digest);
    edge_digest_add(&digest, head, AT_DIGEST);
    edge_digest_add(&digest, head + EDGE_LLC_HEAD, (size_t)n_sections * EDGE_LLC_ENTRY);
    return edge_digest_value(&digest);
}

static int all_zero(const uint8_t *at, const uint8_t *end) {
    for (; at < end; at++)
        if (*at) return 0;
    return 1;
}

/* An uppercase first letter means: who does not know this section can not use the file. */
static int essential(uint32_t tag) { return (tag & 0xff) >= 'A' && (tag & 0xff) <= 'Z'; }

static edge_status take_section(edge_llc *file, const edge_section *section) {
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
        return essential(section->tag) ? EDGE_ERR_VERSION : EDGE_OK;
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
static int codes_fit(const edge_llc *file) {
    if (file->code_width > 8) return 1;
    if (file->code_width == 8) return edge_words_fit((const uint64_t *)(const void *)file->codes,
                                                     (size_t)file->n, file->bits);
    const uint32_t *codes = (const uint32_t *)(const void *)file->codes;
    uint32_t seen = 0;
    for (uint64_t i = 0; i < file->n; i++) seen |= codes[i];
    return (seen & ~edge_mask(file->bits)) == 0;
}

static edge_status read_sections(edge_llc *file, uint32_t flags) {
    uint64_t end = edge_llc_head_size(file->n_sections);
    for (uint32_t i = 0; i < file->n_sections; i++) {
        const uint8_t *entry = file->bytes + EDGE_LLC_HEAD + (size_t)i * EDGE_LLC_ENTRY;
        edge_section *section = &file->sections[i];
        section->tag = edge_load32(entry);
        section->width = edge_load32(entry + 4);
        section->offset = edge_load64(entry + 8);
        section->size = edge_load64(entry + 16);
        section->digest = edge_load64(entry + 24);
        /* In order, without gaps or overlaps; the rounding up can not wrap, for end <= size. */
        if (section->offset != edge_align((size_t)end, EDGE_LLC_ALIGNMENT) ||
            section->offset > file->size || section->size > file->size - section->offset ||
            !all_zero(file->bytes + end, file->bytes + section->offset) ||
            !belongs(file->kind, section->tag))
            return EDGE_ERR_FORMAT;
        for (uint32_t j = 0; j < i; j++)
            if (file->sections[j].tag == section->tag) return EDGE_ERR_FORMAT;
        end = section->offset + section->size;
        if (!(flags & EDGE_LLC_UNVERIFIED)) {
            edge_digest digest;
            edge_digest_start(&digest);
            edge_digest_add(&digest, file->bytes + section->offset, (size_t)section->size);
            if (edge_digest_value(&digest) != section->digest) return EDGE_ERR_FORMAT;
        }
        const edge_status status = take_section(file, section);
        if (status != EDGE_OK) return status;
    }
    if (file->codes && !(flags & EDGE_LLC_UNVERIFIED) && !codes_fit(file)) return EDGE_ERR_FORMAT;
    return end == file->size ? EDGE_OK : EDGE_ERR_FORMAT;
}

edge_status edge_llc_open(const uint8_t *bytes, size_t size, uint32_t flags, edge_llc *file) {
    edge_status status;
    if (!file) return EDGE_ERR_ARGUMENT;
    memset(file, 0, sizeof *file);
    if (!bytes || !edge_aligned(bytes, 8)) return EDGE_ERR_ARGUMENT;
    if (size < EDGE_LLC_HEAD) return EDGE_ERR_FORMAT;
    for (int i = 0; i < 8; i++)
        if (bytes[i] != MAGIC[i]) return EDGE_ERR_FORMAT;
    file->bytes = bytes;
    file->size = size;
    file->kind = edge_load32(bytes + AT_KIND);
    file->bits = edge_load32(bytes + AT_BITS);
    file->n_sections = edge_load32(bytes + AT_SECTIONS);
    file->n = edge_load64(bytes + AT_N);
    status = EDGE_ERR_FORMAT;
    if (file->n_sections <= EDGE_LLC_MAX_SECTIONS && edge_llc_head_size(file->n_sections) <= size &&
        edge_load64(bytes + AT_DIGEST) == head_digest(bytes, file->n_sections)) {
        /* Only now are the fields what a writer wrote, be it a newer one. */
        if (edge_load32(bytes + AT_VERSION) > EDGE_LLC_VERSION)
            status = EDGE_ERR_VERSION;
        else if (edge_load32(bytes + AT_VERSION) == EDGE_LLC_VERSION &&
                 edge_load64(bytes + AT_SIZE) == size &&
                 edge_code_width(file->kind, file->bits) != 0 &&
                 (file->kind == EDGE_KIND_INSTANCES || file->n <= EDGE_MAX_CLASSES) &&
                 all_zero(bytes + AT_RESERVED, bytes + AT_DIGEST))
            status = read_sections(file, flags);
    }
    if (status != EDGE_OK) memset(file, 0, sizeof *file);
    return status;
}

edge_status edge_llc_write_head(edge_kind kind, uint32_t bits, uint64_t n, edge_section *sections,
                                uint32_t n_sections, uint8_t *out, size_t capacity,
                                uint64_t *file_size) {
    uint64_t end = edge_llc_head_size(n_sections);
    if (!out || !file_size || (!sections && n_sections) || n_sections > EDGE_LLC_MAX_SECTIONS ||
        edge_code_width(kind, bits) == 0 || (kind == EDGE_KIND_CLASSES && n > EDGE_MAX_CLASSES))
        return EDGE_ERR_ARGUMENT;
    if (capacity < end) return EDGE_ERR_CAPACITY;
    memset(out, 0, (size_t)end);
    for (uint32_t i = 0; i < n_sections; i++) {
        edge_section *section = &sections[i];
        for (uint32_t j = 0; j < i; j++)
            if (sections[j].tag == section->tag) return EDGE_ERR_ARGUMENT;
        uint8_t *entry = out + EDGE_LLC_HEAD + (size_t)i * EDGE_LLC_ENTRY;
        section->offset = (end + EDGE_LLC_ALIGNMENT - 1) / EDGE_LLC_ALIGNMENT * EDGE_LLC_ALIGNMENT;
        if (section->size > UINT64_MAX / 2 - section->offset) return EDGE_ERR_ARGUMENT;
        end = section->offset + section->size;
        edge_store32(entry, section->tag);
        edge_store32(entry + 4, section->width);
        edge_store64(entry + 8, section->offset);
        edge_store64(entry + 16, section->size);
        edge_store64(entry + 24, section->digest);
    }
    for (int i = 0; i < 8; i++) out[i] = MAGIC[i];
    edge_store32(out + AT_VERSION, EDGE_LLC_VERSION);
    edge_store32(out + AT_KIND, (uint32_t)kind);
    edge_store32(out + AT_BITS, bits);
    edge_store32(out + AT_SECTIONS, n_sections);
    edge_store64(out + AT_N, n);
    edge_store64(out + AT_SIZE, end);
    edge_store64(out + AT_DIGEST, head_digest(out, n_sections));
    *file_size = end;
    return EDGE_OK;
}
