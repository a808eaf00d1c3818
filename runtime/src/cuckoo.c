/*
 * ED for crowded words: a table that finds a code in at most two places.
 *
 * A bucketed cuckoo table (Pagh & Rodler 2004; buckets of four after Dietzfelbinger &
 * Weidling 2007) that stores quotients (Cleary 1984): a word is mixed by a
 * bijection, the upper part of the result names the bucket and is not stored
 * again, the rest is. What is saved pays for the id: some 4.7 bytes a class for a
 * million classes of 32 bits (benchmarks/codes.py, memory).
 *
 * After the section's head: seed u64, n_buckets u32, remainder_bits u32, id_bits
 * u32, reserved u32, then the buckets, each of whole bytes: four fields of
 * remainder and place (which of the two bijections put it there), then four ids;
 * nine zero bytes at the end, so that reads of eight and nine bytes stay inside.
 */
#include "exact.h"

enum { HEAD = 24, TAIL = 9, SLOTS = 4, MAX_TRIES = 64 };

typedef struct geometry {
    uint64_t seed, mask, remainder_mask, field_mask, id_mask;
    uint32_t bits, half, n_buckets, field_bits, id_bits, bucket_bytes;
} geometry;

/* The first bijection of words; its upper bits depend on every bit. */
static uint64_t mix_first(const geometry *g, uint64_t word) {
    uint64_t x = word ^ (g->seed & g->mask);
    x ^= x >> g->half;
    x = x * 0x9FB21C651E98DF25u & g->mask;
    x ^= x >> g->half;
    return x * 0xD6E8FEB86659FD93u & g->mask;
}

/* The second, as a bijection of the first. */
static uint64_t mix_second(const geometry *g, uint64_t first) {
    const uint64_t x = first ^ first >> g->half;
    return x * 0xC2B2AE3D27D4EB4Fu & g->mask;
}

/* The bucket is named by the upper 32 of 64 bits, so words of one bucket are consecutive. */
static uint32_t bucket_of(const geometry *g, uint64_t mixed) {
    const uint64_t left = mixed << (64 - g->bits);
    return (uint32_t)((left >> 32) * g->n_buckets >> 32);
}

/* So many low bits of a mixed word tell it from all others of its bucket. */
static uint32_t remainder_bits_for(uint32_t bits, uint32_t n_buckets) {
    uint64_t consecutive = ((uint64_t)1 << 32) / n_buckets + 1; /* in the upper 32 bits */
    if (bits < 32) consecutive = (consecutive >> (32 - bits)) + 1;
    const uint32_t length = edge_bit_length(consecutive - 1) + (bits > 32 ? bits - 32 : 0);
    return length < bits ? length : bits;
}

static void geometry_set(geometry *g, uint64_t seed, uint32_t bits, uint32_t n_buckets,
                         uint32_t remainder_bits, uint32_t id_bits) {
    g->seed = seed;
    g->bits = bits;
    g->half = (bits + 1) / 2;
    g->mask = edge_mask(bits);
    g->n_buckets = n_buckets;
    g->remainder_mask = remainder_bits ? edge_mask(remainder_bits) : 0;
    g->field_bits = remainder_bits + 1;
    g->field_mask = g->field_bits >= 64 ? UINT64_MAX : edge_mask(g->field_bits);
    g->id_bits = id_bits;
    g->id_mask = edge_mask(id_bits);
    g->bucket_bytes = (SLOTS * (g->field_bits + id_bits) + 7) / 8;
}

static uint64_t packed_size(uint32_t n_buckets, uint32_t remainder_bits, uint32_t id_bits) {
    return (uint64_t)n_buckets * ((SLOTS * (remainder_bits + 1 + id_bits) + 7) / 8);
}

/* 95 % full with some room for the smallest tables. */
static uint32_t buckets_for(uint32_t n, uint32_t try_number) {
    const uint64_t slots = (uint64_t)n * 20 / 19 + 1;
    const uint64_t least = (slots + SLOTS - 1) / SLOTS;
    /* A stubborn set of codes gets more room with every few seeds. */
    return (uint32_t)(least + least * (try_number / 8) / 16 + try_number / 8);
}

/* A remainder of 64 bits would leave its field no bit for the place. */
static EDGE_SMALL int geometry_for(geometry *g, uint32_t n, uint32_t bits, uint32_t try_number) {
    uint32_t n_buckets = buckets_for(n, try_number);
    uint32_t remainder_bits = remainder_bits_for(bits, n_buckets);
    if (remainder_bits > 63) {
        n_buckets = n_buckets < 4 ? 4 : n_buckets;
        remainder_bits = remainder_bits_for(bits, n_buckets);
    }
    geometry_set(g, (uint64_t)try_number * 0x9E3779B97F4A7C15u, bits, n_buckets, remainder_bits,
                 edge_bit_length(n));
    return remainder_bits <= 63;
}

EDGE_SMALL size_t edge_cuckoo_size(uint32_t n, uint32_t bits) {
    geometry g;
    size_t largest = 0;
    for (uint32_t i = 0; i < MAX_TRIES; i++) {
        geometry_for(&g, n, bits, i);
        const size_t size = (size_t)packed_size(g.n_buckets, g.field_bits - 1, g.id_bits);
        if (size > largest) largest = size;
    }
    return HEAD + TAIL + largest;
}

EDGE_SMALL size_t edge_cuckoo_workspace_size(uint32_t n) {
    const uint32_t most = buckets_for(n, MAX_TRIES - 1);
    return (size_t)(most < 4 ? 4 : most) * SLOTS * sizeof(uint32_t);
}

typedef struct builder {
    geometry g;
    const uint64_t *codes;
    uint32_t *slots; /* (n_buckets, SLOTS) ids, EDGE_NONE where empty; full slots come first */
    uint64_t random;
} builder;

static uint32_t *bucket_at(const builder *b, uint32_t id, int place) {
    const uint64_t first = mix_first(&b->g, b->codes[id]);
    const uint64_t mixed = place ? mix_second(&b->g, first) : first;
    return b->slots + (size_t)bucket_of(&b->g, mixed) * SLOTS;
}

static uint32_t used(const uint32_t *bucket) {
    uint32_t count = 0;
    while (count < SLOTS && bucket[count] != EDGE_NONE) count++;
    return count;
}

/* The id that has the same code, or EDGE_NONE: it can only be in one of two buckets. */
static uint32_t twin_of(const builder *b, uint32_t id) {
    for (int place = 0; place < 2; place++) {
        const uint32_t *bucket = bucket_at(b, id, place);
        for (uint32_t i = 0; i < SLOTS; i++)
            if (bucket[i] != EDGE_NONE && b->codes[bucket[i]] == b->codes[id]) return bucket[i];
    }
    return EDGE_NONE;
}

/* Random walk: who finds no room takes a place, and who had it moves on. 0 if nobody rests. */
static EDGE_SMALL int insert(builder *b, uint32_t id) {
    for (int kicks = 0; kicks < 2000; kicks++) {
        uint32_t *bucket = NULL;
        for (int place = 0; place < 2; place++) {
            bucket = bucket_at(b, id, place);
            const uint32_t count = used(bucket);
            if (count < SLOTS) {
                bucket[count] = id;
                return 1;
            }
        }
        b->random = b->random * 6364136223846793005u + 1442695040888963407u;
        bucket = bucket_at(b, id, (int)(b->random >> 63));
        uint32_t *slot = bucket + (b->random >> 61 & 3);
        const uint32_t evicted = *slot;
        *slot = id;
        id = evicted;
    }
    return 0;
}

static EDGE_SMALL edge_status fill(builder *b, uint32_t n, int keep_lowest, uint32_t twins[2]) {
    memset(b->slots, 0xff, (size_t)b->g.n_buckets * SLOTS * sizeof(uint32_t));
    b->random = b->g.seed;
    for (uint32_t id = 0; id < n; id++) {
        const uint32_t twin = twin_of(b, id);
        if (twin != EDGE_NONE) {
            if (keep_lowest) continue;
            twins[0] = twin;
            twins[1] = id;
            return EDGE_ERR_DUPLICATE;
        }
        if (!insert(b, id)) return EDGE_ERR_BUILD;
    }
    return EDGE_OK;
}

static EDGE_SMALL void pack(const builder *b, uint32_t n, uint8_t *out) {
    const geometry *g = &b->g;
    for (uint32_t bucket = 0; bucket < g->n_buckets; bucket++) {
        uint8_t *from = out + (size_t)bucket * g->bucket_bytes;
        const uint32_t ids = SLOTS * g->field_bits;
        for (uint32_t i = 0; i < SLOTS; i++) {
            const uint32_t id = b->slots[(size_t)bucket * SLOTS + i];
            if (id == EDGE_NONE) { /* no id: n */
                edge_write_bits(from, ids + i * g->id_bits, g->id_bits, n);
                continue;
            }
            uint64_t mixed = mix_first(g, b->codes[id]), place = 0;
            if (bucket_of(g, mixed) != bucket) {
                mixed = mix_second(g, mixed);
                place = 1;
            }
            const uint64_t field = (mixed & g->remainder_mask) << 1 | place;
            edge_write_bits(from, i * g->field_bits, g->field_bits, field);
            edge_write_bits(from, ids + i * g->id_bits, g->id_bits, id);
        }
    }
}

EDGE_SMALL
edge_status edge_cuckoo_build(const uint64_t *codes, uint32_t n, uint32_t bits, int keep_lowest,
                              uint8_t *out, size_t *written, void *workspace, uint32_t twins[2]) {
    builder b;
    b.codes = codes;
    b.slots = (uint32_t *)workspace;
    for (uint32_t i = 0; i < MAX_TRIES; i++) {
        if (!geometry_for(&b.g, n, bits, i)) continue;
        const edge_status status = fill(&b, n, keep_lowest, twins);
        if (status == EDGE_ERR_BUILD) continue;
        if (status != EDGE_OK) return status;
        *written = HEAD + TAIL +
                   (size_t)packed_size(b.g.n_buckets, b.g.field_bits - 1, b.g.id_bits);
        memset(out, 0, *written);
        edge_store64(out, b.g.seed);
        edge_store32(out + 8, b.g.n_buckets);
        edge_store32(out + 12, b.g.field_bits - 1);
        edge_store32(out + 16, b.g.id_bits);
        pack(&b, n, out + HEAD);
        return EDGE_OK;
    }
    return EDGE_ERR_BUILD;
}

EDGE_SMALL int edge_cuckoo_parse(const uint8_t *at, uint64_t size, edge_llc *file) {
    if (size < HEAD + TAIL) return 0;
    file->exact_seed = edge_load64(at);
    file->exact_buckets = edge_load32(at + 8);
    file->exact_field_bits = edge_load32(at + 12) + 1;
    file->exact_id_bits = edge_load32(at + 16);
    file->exact_table = at + HEAD;
    return edge_load32(at + 20) == 0 && file->exact_buckets != 0 &&
           file->exact_field_bits - 1 == remainder_bits_for(file->bits, file->exact_buckets) &&
           file->exact_field_bits <= 64 && file->exact_id_bits == edge_bit_length(file->n) &&
           size == HEAD + TAIL + packed_size(file->exact_buckets, file->exact_field_bits - 1,
                                             file->exact_id_bits);
}

static void geometry_of(geometry *g, const edge_llc *file) {
    geometry_set(g, file->exact_seed, file->bits, file->exact_buckets, file->exact_field_bits - 1,
                 file->exact_id_bits);
}

/*
 * The id of a mixed word in one of its two buckets, without a branch that the
 * answer decides; `n` or more if it is not there. Empty slots are all zero but
 * for an id of n, and come last, so that a real field is met before them.
 */
static uint64_t find_in(const geometry *g, const uint8_t *table, uint64_t mixed, uint64_t place) {
    const uint8_t *bucket = table + (size_t)bucket_of(g, mixed) * g->bucket_bytes;
    const uint64_t wanted = (mixed & g->remainder_mask) << 1 | place;
    uint32_t slot = SLOTS;
    for (uint32_t i = SLOTS; i-- > 0;)
        if (edge_read_bits(bucket, (uint64_t)i * g->field_bits, g->field_bits, g->field_mask) ==
            wanted)
            slot = i;
    const uint32_t at = SLOTS * g->field_bits + slot % SLOTS * g->id_bits;
    const uint64_t id = edge_read_bits(bucket, at, g->id_bits, g->id_mask);
    return slot == SLOTS ? UINT64_MAX : id;
}

uint32_t edge_cuckoo_find(const edge_llc *file, uint64_t word) {
    geometry g;
    geometry_of(&g, file);
    const uint64_t first = mix_first(&g, word);
    uint64_t id = find_in(&g, file->exact_table, first, 0);
    if (id >= file->n) id = find_in(&g, file->exact_table, mix_second(&g, first), 1);
    return id < file->n ? (uint32_t)id : EDGE_NONE;
}

static void prefetch_mixed(const geometry *g, const edge_llc *file, uint64_t mixed) {
    const uint8_t *bucket = file->exact_table + (size_t)bucket_of(g, mixed) * g->bucket_bytes;
    EDGE_PREFETCH(bucket);
    EDGE_PREFETCH(bucket + g->bucket_bytes - 1);
}

void edge_cuckoo_prefetch(const edge_llc *file, uint64_t word) {
    geometry g;
    geometry_of(&g, file);
    prefetch_mixed(&g, file, mix_first(&g, word));
}

void edge_cuckoo_decode(const edge_llc *file, const uint64_t *words, size_t count, uint32_t *ids) {
    geometry g; /* which no write through `ids` can change */
    const uint64_t n = file->n;
    const uint8_t *table = file->exact_table;
    uint64_t mixed[EDGE_EXACT_AHEAD];
    uint8_t missing[EDGE_EXACT_AHEAD];
    size_t n_missing = 0;
    geometry_of(&g, file);
    for (size_t i = 0; i < count; i++) {
        mixed[i] = mix_first(&g, words[i]);
        prefetch_mixed(&g, file, mixed[i]);
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t id = find_in(&g, table, mixed[i], 0);
        ids[i] = id < n ? (uint32_t)id : EDGE_NONE;
        missing[n_missing] = (uint8_t)i;
        n_missing += id >= n;
    }
    for (size_t i = 0; i < n_missing; i++) {
        mixed[missing[i]] = mix_second(&g, mixed[missing[i]]);
        prefetch_mixed(&g, file, mixed[missing[i]]);
    }
    for (size_t i = 0; i < n_missing; i++) {
        const uint64_t id = find_in(&g, table, mixed[missing[i]], 1);
        ids[missing[i]] = id < n ? (uint32_t)id : EDGE_NONE;
    }
}
