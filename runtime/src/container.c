/* The container of all our files: head, section table, digests. The format is in FORMAT.md. */
#include "container.h"

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

size_t edge_file_head_size(uint32_t n_sections) {
    return EDGE_FILE_HEAD + (size_t)n_sections * EDGE_FILE_ENTRY;
}

/* The digest of head and table, which passes over the head's own digest field. */
static EDGE_SMALL uint64_t head_digest(const uint8_t *head, uint32_t n_sections) {
    edge_digest digest;
    edge_digest_start(&digest);
    edge_digest_add(&digest, head, AT_DIGEST);
    edge_digest_add(&digest, head + EDGE_FILE_HEAD, (size_t)n_sections * EDGE_FILE_ENTRY);
    return edge_digest_value(&digest);
}

static EDGE_SMALL int all_zero(const uint8_t *at, const uint8_t *end) {
    for (; at < end; at++)
        if (*at) return 0;
    return 1;
}

/* Whether a kind can have this width and so many rows. */
static EDGE_SMALL int plausible(uint32_t kind, uint32_t bits, uint64_t n) {
    switch (kind) {
    case EDGE_KIND_CLASSES:
        return edge_code_width(kind, bits) != 0 && n <= EDGE_MAX_CLASSES;
    case EDGE_KIND_INSTANCES:
        return edge_code_width(kind, bits) != 0;
    case EDGE_KIND_HEAD:
        return bits >= 1 && bits <= EDGE_MAX_DIM && n >= 1 && n <= EDGE_MAX_CLASSES;
    case EDGE_KIND_VECTORS:
        return bits >= 1 && bits <= EDGE_MAX_DIM && n <= EDGE_MAX_VECTORS;
    case EDGE_KIND_FASTGRNN:
        return bits >= 1 && bits <= EDGE_FASTGRNN_MAX && n >= 1 && n <= EDGE_FASTGRNN_MAX;
    default:
        return 0;
    }
}

static EDGE_SMALL edge_status read_table(edge_file *file, uint32_t flags) {
    uint64_t end = edge_file_head_size(file->n_sections);
    for (uint32_t i = 0; i < file->n_sections; i++) {
        const uint8_t *entry = file->bytes + EDGE_FILE_HEAD + (size_t)i * EDGE_FILE_ENTRY;
        edge_section *section = &file->sections[i];
        section->tag = edge_load32(entry);
        section->width = edge_load32(entry + 4);
        section->offset = edge_load64(entry + 8);
        section->size = edge_load64(entry + 16);
        section->digest = edge_load64(entry + 24);
        /* In order, without gaps or overlaps; the rounding up can not wrap, for end <= size. */
        if (section->offset != edge_align((size_t)end, EDGE_ALIGNMENT) ||
            section->offset > file->size || section->size > file->size - section->offset ||
            !all_zero(file->bytes + end, file->bytes + section->offset))
            return EDGE_ERR_FORMAT;
        for (uint32_t j = 0; j < i; j++)
            if (file->sections[j].tag == section->tag) return EDGE_ERR_FORMAT;
        end = section->offset + section->size;
        if (!(flags & EDGE_UNVERIFIED)) {
            edge_digest digest;
            edge_digest_start(&digest);
            edge_digest_add(&digest, file->bytes + section->offset, (size_t)section->size);
            if (edge_digest_value(&digest) != section->digest) return EDGE_ERR_FORMAT;
        }
    }
    return end == file->size ? EDGE_OK : EDGE_ERR_FORMAT;
}

EDGE_SMALL
edge_status edge_file_open(const uint8_t *bytes, size_t size, uint32_t flags, edge_file *file) {
    edge_status status;
    if (!file) return EDGE_ERR_ARGUMENT;
    memset(file, 0, sizeof *file);
    if (!bytes || !edge_aligned(bytes, 8)) return EDGE_ERR_ARGUMENT;
    if (size < EDGE_FILE_HEAD) return EDGE_ERR_FORMAT;
    for (int i = 0; i < 8; i++)
        if (bytes[i] != MAGIC[i]) return EDGE_ERR_FORMAT;
    file->bytes = bytes;
    file->size = size;
    file->kind = edge_load32(bytes + AT_KIND);
    file->bits = edge_load32(bytes + AT_BITS);
    file->n_sections = edge_load32(bytes + AT_SECTIONS);
    file->n = edge_load64(bytes + AT_N);
    status = EDGE_ERR_FORMAT;
    if (file->n_sections <= EDGE_MAX_SECTIONS && edge_file_head_size(file->n_sections) <= size &&
        edge_load64(bytes + AT_DIGEST) == head_digest(bytes, file->n_sections)) {
        /* Only now are the fields what a writer wrote, be it a newer one. */
        if (edge_load32(bytes + AT_VERSION) > EDGE_FILE_VERSION)
            status = EDGE_ERR_VERSION;
        else if (edge_load32(bytes + AT_VERSION) == EDGE_FILE_VERSION &&
                 edge_load64(bytes + AT_SIZE) == size &&
                 plausible(file->kind, file->bits, file->n) &&
                 all_zero(bytes + AT_RESERVED, bytes + AT_DIGEST))
            status = read_table(file, flags);
    }
    if (status != EDGE_OK) memset(file, 0, sizeof *file);
    return status;
}

EDGE_SMALL
edge_status edge_file_write_head(edge_kind kind, uint32_t bits, uint64_t n, edge_section *sections,
                                 uint32_t n_sections, uint8_t *out, size_t capacity,
                                 uint64_t *file_size) {
    uint64_t end = edge_file_head_size(n_sections);
    if (!out || !file_size || (!sections && n_sections) || n_sections > EDGE_MAX_SECTIONS ||
        !plausible((uint32_t)kind, bits, n))
        return EDGE_ERR_ARGUMENT;
    if (capacity < end) return EDGE_ERR_CAPACITY;
    memset(out, 0, (size_t)end);
    for (uint32_t i = 0; i < n_sections; i++) {
        edge_section *section = &sections[i];
        for (uint32_t j = 0; j < i; j++)
            if (sections[j].tag == section->tag) return EDGE_ERR_ARGUMENT;
        uint8_t *entry = out + EDGE_FILE_HEAD + (size_t)i * EDGE_FILE_ENTRY;
        section->offset = (end + EDGE_ALIGNMENT - 1) / EDGE_ALIGNMENT * EDGE_ALIGNMENT;
        if (section->size > UINT64_MAX / 2 - section->offset) return EDGE_ERR_ARGUMENT;
        end = section->offset + section->size;
        edge_store32(entry, section->tag);
        edge_store32(entry + 4, section->width);
        edge_store64(entry + 8, section->offset);
        edge_store64(entry + 16, section->size);
        edge_store64(entry + 24, section->digest);
    }
    for (int i = 0; i < 8; i++) out[i] = MAGIC[i];
    edge_store32(out + AT_VERSION, EDGE_FILE_VERSION);
    edge_store32(out + AT_KIND, (uint32_t)kind);
    edge_store32(out + AT_BITS, bits);
    edge_store32(out + AT_SECTIONS, n_sections);
    edge_store64(out + AT_N, n);
    edge_store64(out + AT_SIZE, end);
    edge_store64(out + AT_DIGEST, head_digest(out, n_sections));
    *file_size = end;
    return EDGE_OK;
}
