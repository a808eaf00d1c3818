/*
 * ED for words far apart: a perfect hash with the code as its proof, in one place
 * of one table.
 *
 * Hash and displace (Pagh 1999; Belazzougui, Botelho & Dietzfelbinger, "Hash,
 * displace, and compress", ESA 2009), by quotients: a word, mixed by a bijection,
 * is x = base + a with a = x mod m, for m slots. The bucket is a hash of base
 * alone, and the bucket's displacement d sends x to slot (a + d) mod m, so that
 * base and slot together give back x. The slot stores base + id, which takes no
 * more bits than the code: the id is free. A stored value is this word's if and
 * only if it lies in base .. base + m - 1.
 *
 * One slot in a hundred stays empty: then one of 65,536 displacements fits, which
 * takes two bytes and not log2(m) bits, and these stay in the cache. Some 8.5
 * bytes a class for a million of 64 bits: 8.08, and two for every five
 * (benchmarks/codes.py, memory).
 *
 * After the section's head: seed u64, bucket seed u64, n_buckets u32, n_slots u32,
 * field_bits u32, reserved u32, the displacements u16 each, filled up to eight
 * bytes, the slots of field_bits each; nine zero bytes at the end, so that reads
 * of eight and nine bytes stay inside.
 */
#include "exact.h"

enum { HEAD = 32, TAIL = 9, SEEDS = 8, BUCKET_SEEDS = 256, MAX_PILOT = 0xffff };

typedef struct geometry {
    uint64_t seed, bucket_seed, mask, field_mask, n_slots, inverse, last_base;
    uint32_t bits, half, n_buckets, field_bits;
} geometry;

/* Where a word belongs. */
typedef struct place {
    uint64_t base;
    uint32_t a, bucket;
} place;

static uint64_t high_product(uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)((wide)a * b >> 64);
#else
    const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    const uint64_t low = a0 * b0, cross = a1 * b0 + (low >> 32);
    const uint64_t middle = a0 * b1 + (uint32_t)cross;
    return a1 * b1 + (cross >> 32) + (middle >> 32);
#endif
}

static uint64_t mix(const geometry *g, uint64_t word) {
    uint64_t x = word ^ (g->seed & g->mask);
    x ^= x >> g->half;
    x = x * 0x9FB21C651E98DF25u & g->mask;
    x ^= x >> g->half;
    x = x * 0xD6E8FEB86659FD93u & g->mask;
    return x ^ x >> g->half;
}

static uint32_t bucket_of(const geometry *g, uint64_t base) {
    uint64_t y = (base ^ g->bucket_seed) * 0x9E3779B97F4A7C15u;
    y = (y ^ y >> 32) * 0xC2B2AE3D27D4EB4Fu;
    return (uint32_t)((y >> 32) * g->n_buckets >> 32);
}

/* x = base + a by Barrett's reduction; the estimate is at most 2 too small. */
static place place_of(const geometry *g, uint64_t word) {
    const uint64_t x = mix(g, word);
    uint64_t a = x - high_product(x, g->inverse) * g->n_slots;
    place p;
    if (a >= g->n_slots) a -= g->n_slots;
    if (a >= g->n_slots) a -= g->n_slots;
    p.a = (uint32_t)a;
    p.base = x - a;
    p.bucket = bucket_of(g, p.base);
    return p;
}

/* Below 64 bits a field has room for base + id, which may go beyond the codes. */
static uint32_t field_bits_for(uint64_t n_slots, uint32_t bits) {
    return bits == 64 ? 64 : edge_bit_length(edge_mask(bits) + n_slots);
}

static void geometry_set(geometry *g, uint64_t n_slots, uint32_t bits, uint32_t n_buckets) {
    g->n_slots = n_slots;
    g->inverse = UINT64_MAX / n_slots;
    g->last_base = edge_mask(bits) / n_slots * n_slots;
    g->bits = bits;
    g->half = (bits + 1) / 2;
    g->mask = edge_mask(bits);
    g->n_buckets = n_buckets;
    g->field_bits = field_bits_for(n_slots, bits);
    g->field_mask = edge_mask(g->field_bits);
}

/* The last buckets of two want a free pair at their distance: few classes offer few. */
static uint32_t buckets_for(uint32_t n) { return n / (n < 2048 ? 2 : n < 65536 ? 3 : 5) + 1; }

static uint32_t slots_for(uint32_t n) { return n + n / 100 + 1; }

static uint64_t pilots_size(uint64_t n_buckets) { return (n_buckets * 2 + 7) / 8 * 8; }

static uint64_t slots_size(uint64_t n_slots, uint32_t field_bits) {
    return (n_slots * field_bits + 7) / 8;
}

EDGE_SMALL size_t edge_perfect_size(uint32_t n, uint32_t bits) {
    return HEAD + TAIL + (size_t)pilots_size(buckets_for(n)) +
           (size_t)slots_size(slots_for(n), field_bits_for(slots_for(n), bits));
}

/* Two counting sorts of the classes, the slots taken, and the buckets' places. */
EDGE_SMALL size_t edge_perfect_workspace_size(uint32_t n) {
    return ((size_t)n * 2 + (size_t)slots_for(n) + 1 + buckets_for(n) + 1) * sizeof(uint32_t) +
           edge_align(slots_for(n), 4);
}

typedef struct builder {
    geometry g;
    const uint64_t *codes;
    uint32_t n, n_slots;
    uint32_t n_kept;      /* classes that are not a lower one's twin */
    uint32_t *by_a;       /* (n) ids, grouped by a, ascending within a group */
    uint32_t *a_starts;   /* (n_slots + 1) */
    uint32_t *by_bucket;  /* (n) ids, grouped by bucket */
    uint32_t *starts;     /* (n_buckets + 1) */
    uint8_t *taken;       /* (n_slots) */
} builder;

/*
 * Group by a, whose equals can never share a bucket; find equal codes on the way.
 * At 64 bits a field has no room to spare: codes in the first and last quotient,
 * whose sums could be taken for each other's, want another seed.
 */
static EDGE_SMALL edge_status group_by_a(builder *b, int keep_lowest, uint32_t twins[2]) {
    memset(b->a_starts, 0, ((size_t)b->n_slots + 1) * sizeof(uint32_t));
    for (uint32_t id = 0; id < b->n; id++) {
        const place p = place_of(&b->g, b->codes[id]);
        if (b->g.bits == 64 && (p.base == 0 || p.base == b->g.last_base)) return EDGE_ERR_BUILD;
        b->a_starts[p.a]++;
    }
    for (uint32_t a = 1; a <= b->n_slots; a++) b->a_starts[a] += b->a_starts[a - 1];
    for (uint32_t id = b->n; id-- > 0;)
        b->by_a[--b->a_starts[place_of(&b->g, b->codes[id]).a]] = id;
    b->n_kept = b->n;
    for (uint32_t a = 0; a < b->n_slots; a++)
        for (uint32_t i = b->a_starts[a] + 1; i < b->a_starts[a + 1]; i++)
            for (uint32_t j = b->a_starts[a]; j < i; j++) {
                if (b->by_a[j] == EDGE_NONE || b->codes[b->by_a[i]] != b->codes[b->by_a[j]])
                    continue;
                twins[0] = b->by_a[j];
                twins[1] = b->by_a[i];
                if (!keep_lowest) return EDGE_ERR_DUPLICATE;
                b->by_a[i] = EDGE_NONE;
                b->n_kept--;
                break;
            }
    return EDGE_OK;
}

/* Nonzero if no two classes of equal a share a bucket under this bucket seed. */
static EDGE_SMALL int separates(const builder *b) {
    for (uint32_t a = 0; a < b->n_slots; a++)
        for (uint32_t i = b->a_starts[a] + 1; i < b->a_starts[a + 1]; i++) {
            if (b->by_a[i] == EDGE_NONE) continue;
            const uint32_t bucket = place_of(&b->g, b->codes[b->by_a[i]]).bucket;
            for (uint32_t j = b->a_starts[a]; j < i; j++)
                if (b->by_a[j] != EDGE_NONE &&
                    place_of(&b->g, b->codes[b->by_a[j]]).bucket == bucket)
                    return 0;
        }
    return 1;
}

static EDGE_SMALL void group_by_bucket(builder *b) {
    memset(b->starts, 0, ((size_t)b->g.n_buckets + 1) * sizeof(uint32_t));
    for (uint32_t i = 0; i < b->n; i++)
        if (b->by_a[i] != EDGE_NONE) b->starts[place_of(&b->g, b->codes[b->by_a[i]]).bucket]++;
    for (uint32_t k = 1; k <= b->g.n_buckets; k++) b->starts[k] += b->starts[k - 1];
    for (uint32_t i = b->n; i-- > 0;)
        if (b->by_a[i] != EDGE_NONE)
            b->by_bucket[--b->starts[place_of(&b->g, b->codes[b->by_a[i]]).bucket]] = b->by_a[i];
}

/* The displacements that pilots stand for are spread evenly over the slots. */
static uint32_t slot_of(const geometry *g, uint32_t a, uint32_t pilot) {
    const uint64_t slot = a + (pilot * g->n_slots >> 16);
    return (uint32_t)(slot >= g->n_slots ? slot - g->n_slots : slot);
}

static uint32_t pilot_at(const uint8_t *pilots, uint32_t bucket) {
    uint16_t pilot;
    memcpy(&pilot, pilots + (size_t)bucket * 2, sizeof pilot);
    return pilot;
}

enum { MAX_BUCKET = 64 };

/* Find a pilot that sends all of a bucket to free slots. 0 if there is none. */
static int place_bucket(builder *b, uint32_t bucket, uint8_t *pilots) {
    const uint32_t begin = b->starts[bucket], size = b->starts[bucket + 1] - begin;
    uint32_t a[MAX_BUCKET], i;
    for (i = 0; i < size; i++) a[i] = place_of(&b->g, b->codes[b->by_bucket[begin + i]]).a;
    for (uint32_t pilot = 0; pilot <= MAX_PILOT; pilot++) {
        for (i = 0; i < size && !b->taken[slot_of(&b->g, a[i], pilot)]; i++) {}
        if (i < size) continue;
        for (i = 0; i < size; i++) b->taken[slot_of(&b->g, a[i], pilot)] = 1;
        const uint16_t found = (uint16_t)pilot;
        memcpy(pilots + (size_t)bucket * 2, &found, sizeof found);
        return 1;
    }
    return 0;
}

/* Buckets find their places largest first: the last ones are single and fit anywhere. */
static EDGE_SMALL int place_all(builder *b, uint8_t *pilots) {
    uint32_t largest = 0;
    for (uint32_t k = 0; k < b->g.n_buckets; k++) {
        const uint32_t size = b->starts[k + 1] - b->starts[k];
        if (size > largest) largest = size;
    }
    if (largest > MAX_BUCKET) return 0;
    memset(b->taken, 0, b->n_slots);
    for (uint32_t size = largest; size > 0; size--)
        for (uint32_t k = 0; k < b->g.n_buckets; k++)
            if (b->starts[k + 1] - b->starts[k] == size && !place_bucket(b, k, pilots)) return 0;
    return 1;
}

/* Empty slots hold all ones, which lie beyond every base + m. */
static EDGE_SMALL void write_slots(const builder *b, const uint8_t *pilots, uint8_t *slots) {
    memset(slots, 0, (size_t)slots_size(b->n_slots, b->g.field_bits) + TAIL);
    for (uint32_t slot = 0; slot < b->n_slots; slot++)
        if (!b->taken[slot])
            edge_write_bits(slots, (uint64_t)slot * b->g.field_bits, b->g.field_bits,
                            b->g.field_mask);
    for (uint32_t i = 0; i < b->n_kept; i++) {
        const uint32_t id = b->by_bucket[i];
        const place p = place_of(&b->g, b->codes[id]);
        const uint32_t slot = slot_of(&b->g, p.a, pilot_at(pilots, p.bucket));
        edge_write_bits(slots, (uint64_t)slot * b->g.field_bits, b->g.field_bits, p.base + id);
    }
}

static EDGE_SMALL int build_with_seed(builder *b, uint8_t *out) {
    uint8_t *pilots = out + HEAD;
    const size_t size = (size_t)pilots_size(b->g.n_buckets);
    for (uint32_t i = 0; i < BUCKET_SEEDS; i++) {
        b->g.bucket_seed = (uint64_t)i * 0xA0761D6478BD642Fu;
        if (!separates(b)) continue;
        group_by_bucket(b);
        memset(pilots, 0, size);
        if (!place_all(b, pilots)) continue;
        memset(out, 0, HEAD);
        edge_store64(out, b->g.seed);
        edge_store64(out + 8, b->g.bucket_seed);
        edge_store32(out + 16, b->g.n_buckets);
        edge_store32(out + 20, b->n_slots);
        edge_store32(out + 24, b->g.field_bits);
        write_slots(b, pilots, pilots + size);
        return 1;
    }
    return 0;
}

EDGE_SMALL
edge_status edge_perfect_build(const uint64_t *codes, uint32_t n, uint32_t bits, int keep_lowest,
                               uint8_t *out, size_t *written, void *workspace, uint32_t twins[2]) {
    builder b;
    geometry_set(&b.g, slots_for(n), bits, buckets_for(n));
    b.g.bucket_seed = 0;
    b.codes = codes;
    b.n = n;
    b.n_slots = slots_for(n);
    b.by_a = (uint32_t *)workspace;
    b.by_bucket = b.by_a + n;
    b.a_starts = b.by_bucket + n;
    b.starts = b.a_starts + b.n_slots + 1;
    b.taken = (uint8_t *)(b.starts + b.g.n_buckets + 1);
    for (uint32_t i = 0; i < SEEDS; i++) {
        b.g.seed = (uint64_t)(i + 1) * 0x9E3779B97F4A7C15u;
        const edge_status status = group_by_a(&b, keep_lowest, twins);
        if (status == EDGE_ERR_BUILD) continue;
        if (status != EDGE_OK) return status;
        if (!build_with_seed(&b, out)) continue;
        *written = edge_perfect_size(n, bits);
        return EDGE_OK;
    }
    return EDGE_ERR_BUILD;
}

EDGE_SMALL int edge_perfect_parse(const uint8_t *at, uint64_t size, edge_llc *file) {
    if (size < HEAD + TAIL) return 0;
    file->exact_seed = edge_load64(at);
    file->exact_seed_buckets = edge_load64(at + 8);
    file->exact_buckets = edge_load32(at + 16);
    file->exact_slots = edge_load32(at + 20);
    file->exact_field_bits = edge_load32(at + 24);
    file->exact_table = at + HEAD;
    if (file->exact_buckets == 0 || file->exact_slots < file->n || edge_load32(at + 28) != 0 ||
        file->exact_field_bits != field_bits_for(file->exact_slots, file->bits) ||
        size != HEAD + TAIL + pilots_size(file->exact_buckets) +
                    slots_size(file->exact_slots, file->exact_field_bits))
        return 0;
    file->exact_inverse = UINT64_MAX / file->exact_slots;
    return 1;
}

static void geometry_of(geometry *g, const edge_llc *file) {
    g->seed = file->exact_seed;
    g->bucket_seed = file->exact_seed_buckets;
    g->n_slots = file->exact_slots;
    g->inverse = file->exact_inverse;
    g->bits = file->bits;
    g->half = (file->bits + 1) / 2;
    g->mask = edge_mask(file->bits);
    g->last_base = 0; /* only wanted at 64 bits: see id_in */
    g->n_buckets = file->exact_buckets;
    g->field_bits = file->exact_field_bits;
    g->field_mask = edge_mask(file->exact_field_bits);
}

/* The id in a slot if the slot is this base's, else EDGE_NONE. */
static uint32_t id_in(const geometry *g, const uint8_t *slots, uint32_t slot, uint64_t base,
                      uint64_t n) {
    uint64_t value, offset;
    if (g->field_bits == 64) {
        value = edge_load64(slots + (size_t)slot * 8);
        /* In the first and last quotient, where the difference could wrap, there is nobody. */
        if (g->bits == 64 && base - 1 >= UINT64_MAX - g->n_slots) return EDGE_NONE;
    } else {
        value = edge_read_bits(slots, (uint64_t)slot * g->field_bits, g->field_bits, g->field_mask);
    }
    offset = value - base;
    return offset < n ? (uint32_t)offset : EDGE_NONE;
}

uint32_t edge_perfect_find(const edge_llc *file, uint64_t word) {
    geometry g;
    geometry_of(&g, file);
    const uint8_t *pilots = file->exact_table;
    const place p = place_of(&g, word);
    const uint32_t slot = slot_of(&g, p.a, pilot_at(pilots, p.bucket));
    return id_in(&g, pilots + pilots_size(g.n_buckets), slot, p.base, file->n);
}

void edge_perfect_prefetch(const edge_llc *file, uint64_t word) {
    geometry g;
    geometry_of(&g, file);
    EDGE_PREFETCH(file->exact_table + (size_t)place_of(&g, word).bucket * 2);
}

void edge_perfect_decode(const edge_llc *file, const uint64_t *words, size_t count,
                         uint32_t *ids) {
    const uint8_t *pilots = file->exact_table;
    const uint8_t *slots = pilots + pilots_size(file->exact_buckets);
    const uint64_t n = file->n;
    geometry g; /* which no write through `ids` can change */
    place places[EDGE_EXACT_AHEAD];
    geometry_of(&g, file);
    for (size_t i = 0; i < count; i++) {
        places[i] = place_of(&g, words[i]);
        EDGE_PREFETCH(pilots + (size_t)places[i].bucket * 2);
    }
    for (size_t i = 0; i < count; i++) {
        places[i].a = slot_of(&g, places[i].a, pilot_at(pilots, places[i].bucket));
        EDGE_PREFETCH(slots + ((uint64_t)places[i].a * g.field_bits >> 3));
    }
    for (size_t i = 0; i < count; i++) ids[i] = id_in(&g, slots, places[i].a, places[i].base, n);
}
