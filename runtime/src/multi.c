/*
 * Multi-index hashing (Norouzi, Punjani & Fleet, CVPR 2012): near codes agree
 * closely in at least one of m parts, so only codes that share a part, or nearly,
 * are compared. Exact up to the distance it proves; worth it for near words only.
 *
 * Section: n_parts u32, part_bits u32, then for each part (2^part_bits + 1)
 * offsets u32 and n ids u32, grouped by the part's value, ascending within it.
 * The last part holds what is left of the bits.
 */
#include "multi.h"

enum { HEAD = 8, MAX_PARTS = 8, MIN_PART_BITS = 8, MAX_PART_BITS = 20 };

static uint64_t section_size(const edge_parts *p) {
    return HEAD + (uint64_t)p->n_parts * edge_parts_group_words(p) * sizeof(uint32_t);
}

/* Parts of about log2(n) bits: a group then holds about one code. */
static edge_parts parts_for(uint32_t n, uint32_t bits) {
    edge_parts p;
    uint32_t length = edge_bit_length(n) > 2 ? edge_bit_length(n) - 2 : 1;
    if (length < MIN_PART_BITS) length = MIN_PART_BITS;
    if (length > MAX_PART_BITS) length = MAX_PART_BITS;
    if (length > bits) length = bits;
    p.n_parts = (bits + length - 1) / length;
    p.part_bits = (bits + p.n_parts - 1) / p.n_parts;
    p.bits = bits;
    p.n = n;
    return p;
}

static int in_range(uint32_t n, uint32_t bits) {
    return n >= 1 && n <= EDGE_MAX_CLASSES && bits >= 1 && bits <= 64;
}

EDGE_SMALL size_t edge_multi_size(uint32_t n, uint32_t bits) {
    if (!in_range(n, bits)) return 0;
    const edge_parts p = parts_for(n, bits);
    return (size_t)section_size(&p);
}

EDGE_SMALL
edge_status edge_multi_build(const uint64_t *codes, uint32_t n, uint32_t bits, uint8_t *section,
                             size_t capacity) {
    if (!codes || !section || !in_range(n, bits) || !edge_aligned(section, 4))
        return EDGE_ERR_ARGUMENT;
    if (!edge_words_fit(codes, n, bits)) return EDGE_ERR_WIDTH;
    const edge_parts p = parts_for(n, bits);
    const size_t n_values = (size_t)1 << p.part_bits;
    if (capacity < section_size(&p)) return EDGE_ERR_CAPACITY;
    memset(section, 0, (size_t)section_size(&p));
    edge_store32(section, p.n_parts);
    edge_store32(section + 4, p.part_bits);
    for (uint32_t part = 0; part < p.n_parts; part++) {
        uint32_t *offsets =
            (uint32_t *)(void *)(section + HEAD) + part * (size_t)edge_parts_group_words(&p);
        uint32_t *ids = offsets + n_values + 1;
        /* Counting sort: counts, their running sum as ends, filled from the back. */
        for (uint32_t id = 0; id < n; id++) offsets[edge_part_of(&p, codes[id], part)]++;
        for (size_t value = 1; value <= n_values; value++) offsets[value] += offsets[value - 1];
        for (uint32_t id = n; id-- > 0;) ids[--offsets[edge_part_of(&p, codes[id], part)]] = id;
    }
    return EDGE_OK;
}

EDGE_SMALL int edge_multi_parse(const uint8_t *section, uint64_t size, const edge_llc *file) {
    edge_parts p;
    if (size < HEAD || file->n == 0) return 0;
    p.n_parts = edge_load32(section);
    p.part_bits = edge_load32(section + 4);
    p.bits = file->bits;
    p.n = (uint32_t)file->n;
    if (p.n_parts == 0 || p.n_parts > MAX_PARTS || p.part_bits == 0 ||
        p.part_bits > MAX_PART_BITS || p.n_parts != (p.bits + p.part_bits - 1) / p.part_bits ||
        size != section_size(&p))
        return 0;
    /* Offsets that rise from 0 to n keep every group inside; ids are checked where used. */
    for (uint32_t part = 0; part < p.n_parts; part++) {
        const uint8_t *offsets =
            section + HEAD + part * edge_parts_group_words(&p) * sizeof(uint32_t);
        const uint64_t n_values = (uint64_t)1 << p.part_bits;
        uint32_t last = 0;
        for (uint64_t value = 0; value <= n_values; value++) {
            const uint32_t offset = edge_load32(offsets + value * 4);
            if (offset < last || offset > p.n || (value == 0 && offset != 0)) return 0;
            last = offset;
        }
        if (last != p.n) return 0;
    }
    return 1;
}

void edge_parts_of(const edge_llc *file, edge_parts *p) {
    p->n_parts = edge_load32(file->multi);
    p->part_bits = edge_load32(file->multi + 4);
    p->bits = file->bits;
    p->n = (uint32_t)file->n;
    p->groups = file->multi + HEAD;
}

/* Compare the codes whose part has this value. */
static void visit(const edge_llc *file, const edge_parts *p, uint32_t part, uint32_t value,
                  uint64_t word, edge_nearest *nearest) {
    uint32_t count;
    const uint8_t *ids = edge_parts_group(p, part, value, &count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t id = edge_load32(ids + (size_t)i * 4);
        if (id >= p->n) continue;
        const uint32_t distance = edge_popcount64(edge_code_at(file, id) ^ word);
        if (distance < nearest->distance ||
            (distance == nearest->distance && id < nearest->id)) {
            nearest->distance = distance;
            nearest->id = id;
        }
    }
}

uint32_t edge_multi_nearest(const edge_llc *file, uint64_t word, edge_nearest *nearest) {
    edge_parts p;
    edge_parts_of(file, &p);
    for (uint32_t part = 0; part < p.n_parts; part++)
        visit(file, &p, part, edge_part_of(&p, word, part), word, nearest);
    /* Who differs in fewer bits than there are parts agrees in one of them. */
    if (nearest->distance < p.n_parts) return p.n_parts;
    for (uint32_t part = 0; part < p.n_parts; part++) {
        for (uint32_t bit = 0; bit < edge_part_length(&p, part); bit++)
            visit(file, &p, part, edge_part_of(&p, word, part) ^ (uint32_t)1 << bit, word, nearest);
    }
    return 2 * p.n_parts;
}
