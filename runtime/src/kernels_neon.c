/*
 * NEON, of 64-bit and of 32-bit ARM: 32 codes a step of a Hamming scan, 16 of a
 * soft scan.
 *
 * Hits are rare, so a step ends in four vectors of distances, one comparison of
 * their minimum and one branch; only behind that branch is it asked which codes
 * they were.
 */
#include "kernels.h"

#if defined(__GNUC__) && (defined(__aarch64__) || defined(__ARM_NEON))

#include <string.h>

#include "kernels_append.h"
#include "kernels_f32_neon.h"

#define EDGE_STEP__NEON 32
#define EDGE_SOFT_STEP__NEON 16

static int edge_available__neon(void) { return 1; }

/* ---- what 32-bit ARM lacks ------------------------------------------------------------------ */

/* The sums of neighbouring bytes of `a`, then of `b`. */
EDGE_NEON_INLINE uint8x16_t edge_pairs__neon(uint8x16_t a, uint8x16_t b)
{
#if defined(__aarch64__)
    return vpaddq_u8(a, b);
#else
    return vcombine_u8(vpadd_u8(vget_low_u8(a), vget_high_u8(a)),
                       vpadd_u8(vget_low_u8(b), vget_high_u8(b)));
#endif
}

/* table[index] for indices below 16. */
EDGE_NEON_INLINE uint8x16_t edge_lookup__neon(uint8x16_t table, uint8x16_t index)
{
#if defined(__aarch64__)
    return vqtbl1q_u8(table, index);
#else
    uint8x8x2_t halves;
    halves.val[0] = vget_low_u8(table);
    halves.val[1] = vget_high_u8(table);
    return vcombine_u8(vtbl2_u8(halves, vget_low_u8(index)),
                       vtbl2_u8(halves, vget_high_u8(index)));
#endif
}

/* Bit b of the result: whether byte b of `mask`, all ones or zero, is set. */
EDGE_NEON_INLINE uint32_t edge_bits__neon(uint8x8_t mask)
{
    static const uint8_t bits[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    uint8x8_t sum = vand_u8(mask, vld1_u8(bits));
    sum = vpadd_u8(sum, sum);
    sum = vpadd_u8(sum, sum);
    sum = vpadd_u8(sum, sum);
    return vget_lane_u8(sum, 0);
}

/* ---- Hamming scans -------------------------------------------------------------------------- */

/* Distances of 32 codes, in order. */
typedef struct edge_step__neon {
    uint16x8_t d0, d1, d2, d3;
} edge_step__neon;

static __attribute__((noinline)) size_t edge_append_step__neon(edge_hit *hits, size_t n,
                                                               size_t id, size_t left,
                                                               const uint16_t *narrow,
                                                               uint16x8_t most)
{
    uint32_t distances[EDGE_STEP__NEON];
    uint32_t which = 0;
    uint32_t k;
    for (k = 0; k < EDGE_STEP__NEON; k += 8) {
        const uint16x8_t d = vld1q_u16(narrow + k);
        vst1q_u32(distances + k, vmovl_u16(vget_low_u16(d)));
        vst1q_u32(distances + k + 4, vmovl_u16(vget_high_u16(d)));
        which |= edge_bits__neon(vmovn_u16(vcleq_u16(d, most))) << k;
    }
    if (left < EDGE_STEP__NEON) {
        which &= ((uint32_t)1 << left) - 1;
    }
    return edge_append(hits, n, id, distances, which);
}

/* Append those of the step's `left` codes from `id` on whose distance is not above `most`. */
EDGE_NEON_INLINE size_t edge_take__neon(edge_hit *hits, size_t n, size_t id, size_t left,
                                        edge_step__neon s, uint16x8_t most)
{
    const uint16x8_t least = vminq_u16(vminq_u16(s.d0, s.d1), vminq_u16(s.d2, s.d3));
    const uint8x8_t any = vmovn_u16(vcleq_u16(least, most));
    uint16_t narrow[EDGE_STEP__NEON];
    if (__builtin_expect(vget_lane_u64(vreinterpret_u64_u8(any), 0) == 0, 1)) {
        return n;
    }
    vst1q_u16(narrow, s.d0);
    vst1q_u16(narrow + 8, s.d1);
    vst1q_u16(narrow + 16, s.d2);
    vst1q_u16(narrow + 24, s.d3);
    return edge_append_step__neon(hits, n, id, left, narrow, most);
}

/* The highest distance that is below `limit`, which is not 0, in every lane. */
EDGE_NEON_INLINE uint16x8_t edge_most__neon(uint32_t limit)
{
    return vdupq_n_u16((uint16_t)(limit > 0xffff ? 0xffff : limit - 1));
}

/* Set bits of each byte of codes ^ query. */
EDGE_NEON_INLINE uint8x16_t edge_differing_u32__neon(const uint32_t *p, uint8x16_t q)
{
    return vcntq_u8(veorq_u8(vreinterpretq_u8_u32(vld1q_u32(p)), q));
}

EDGE_NEON_INLINE uint8x16_t edge_differing_u64__neon(const uint64_t *p, uint8x16_t q)
{
    return vcntq_u8(veorq_u8(vreinterpretq_u8_u64(vld1q_u64(p)), q));
}

/* Distances of 8 codes. */
EDGE_NEON_INLINE uint16x8_t edge_hamming8_u32__neon(const uint32_t *p, uint8x16_t q)
{
    return vpaddlq_u8(
        edge_pairs__neon(edge_differing_u32__neon(p, q), edge_differing_u32__neon(p + 4, q)));
}

static size_t edge_hamming_u32__neon(const uint32_t *codes, size_t begin, size_t end,
                                     uint32_t query, uint32_t limit, edge_hit *hits,
                                     size_t *n_hits, size_t want)
{
    const uint8x16_t q = vreinterpretq_u8_u32(vdupq_n_u32(query));
    const uint16x8_t most = edge_most__neon(limit);
    uint32_t room[EDGE_STEP__NEON];
    size_t n = *n_hits;
    size_t i;

    if (limit == 0) {
        return n < want ? end : begin;
    }
    for (i = begin; i < end && n < want; i += EDGE_STEP__NEON) {
        const size_t left = end - i;
        const uint32_t *p = codes + i;
        edge_step__neon s;
        if (left < EDGE_STEP__NEON) {
            memset(room, 0, sizeof room);
            memcpy(room, p, left * sizeof *p);
            p = room;
        }
        s.d0 = edge_hamming8_u32__neon(p, q);
        s.d1 = edge_hamming8_u32__neon(p + 8, q);
        s.d2 = edge_hamming8_u32__neon(p + 16, q);
        s.d3 = edge_hamming8_u32__neon(p + 24, q);
        n = edge_take__neon(hits, n, i, left, s, most);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* Set bits of 4 codes of 1, 2 or 4 words, 4 of the bytes of the result to each code. */
EDGE_NEON_INLINE uint8x16_t edge_hamming4__neon(const uint64_t *p, size_t n_words, uint8x16_t q0,
                                                uint8x16_t q1)
{
    uint8x16_t c0, c1, c2, c3;
    if (n_words == 1) {
        return edge_pairs__neon(edge_differing_u64__neon(p, q0),
                                edge_differing_u64__neon(p + 2, q0));
    }
    c0 = edge_differing_u64__neon(p, q0);
    c1 = edge_differing_u64__neon(p + n_words, q0);
    c2 = edge_differing_u64__neon(p + 2 * n_words, q0);
    c3 = edge_differing_u64__neon(p + 3 * n_words, q0);
    if (n_words == 4) {
        c0 = vaddq_u8(c0, edge_differing_u64__neon(p + 2, q1));
        c1 = vaddq_u8(c1, edge_differing_u64__neon(p + n_words + 2, q1));
        c2 = vaddq_u8(c2, edge_differing_u64__neon(p + 2 * n_words + 2, q1));
        c3 = vaddq_u8(c3, edge_differing_u64__neon(p + 3 * n_words + 2, q1));
    }
    return edge_pairs__neon(edge_pairs__neon(c0, c1), edge_pairs__neon(c2, c3));
}

/* Distances of 8 codes: 256 set bits are too many for a byte, but not half of them. */
EDGE_NEON_INLINE uint16x8_t edge_hamming8__neon(const uint64_t *p, size_t n_words, uint8x16_t q0,
                                                uint8x16_t q1)
{
    return vpaddlq_u8(edge_pairs__neon(edge_hamming4__neon(p, n_words, q0, q1),
                                       edge_hamming4__neon(p + 4 * n_words, n_words, q0, q1)));
}

/* The scan for codes of `n_words` words, a constant; q0 and q1 hold the query's. */
EDGE_NEON_INLINE size_t edge_hamming_scan__neon(const uint64_t *codes, size_t n_words,
                                                size_t begin, size_t end, uint8x16_t q0,
                                                uint8x16_t q1, uint32_t limit, edge_hit *hits,
                                                size_t *n_hits, size_t want)
{
    const uint16x8_t most = edge_most__neon(limit);
    uint64_t room[EDGE_STEP__NEON * 4];
    size_t n = *n_hits;
    size_t i;

    if (limit == 0) {
        return n < want ? end : begin;
    }
    for (i = begin; i < end && n < want; i += EDGE_STEP__NEON) {
        const size_t left = end - i;
        const uint64_t *p = codes + i * n_words;
        edge_step__neon s;
        if (left < EDGE_STEP__NEON) {
            memset(room, 0, EDGE_STEP__NEON * n_words * sizeof *p);
            memcpy(room, p, left * n_words * sizeof *p);
            p = room;
        }
        s.d0 = edge_hamming8__neon(p, n_words, q0, q1);
        s.d1 = edge_hamming8__neon(p + 8 * n_words, n_words, q0, q1);
        s.d2 = edge_hamming8__neon(p + 16 * n_words, n_words, q0, q1);
        s.d3 = edge_hamming8__neon(p + 24 * n_words, n_words, q0, q1);
        n = edge_take__neon(hits, n, i, left, s, most);
    }
    *n_hits = n;
    return i < end ? i : end;
}

static size_t edge_hamming_u64__neon(const uint64_t *codes, size_t begin, size_t end,
                                     uint64_t query, uint32_t limit, edge_hit *hits,
                                     size_t *n_hits, size_t want)
{
    const uint8x16_t q = vreinterpretq_u8_u64(vdupq_n_u64(query));
    return edge_hamming_scan__neon(codes, 1, begin, end, q, q, limit, hits, n_hits, want);
}

static size_t edge_hamming_words__neon(const uint64_t *codes, size_t n_words, size_t begin,
                                       size_t end, const uint64_t *query, uint32_t limit,
                                       edge_hit *hits, size_t *n_hits, size_t want)
{
    const uint8x16_t q0 = vreinterpretq_u8_u64(vld1q_u64(query));
    if (n_words == 2) {
        return edge_hamming_scan__neon(codes, 2, begin, end, q0, q0, limit, hits, n_hits, want);
    } else {
        const uint8x16_t q1 = vreinterpretq_u8_u64(vld1q_u64(query + 2));
        return edge_hamming_scan__neon(codes, 4, begin, end, q0, q1, limit, hits, n_hits, want);
    }
}

/* ---- soft scans ----------------------------------------------------------------------------- */

/* The sums of w[0..2), selected by the bits of the lane's number. */
EDGE_NEON_INLINE uint32x4_t edge_tabulate__neon(const uint32_t *w)
{
    static const uint32_t bit0[4] = {0, 0xffffffffu, 0, 0xffffffffu};
    static const uint32_t bit1[4] = {0, 0, 0xffffffffu, 0xffffffffu};
    return vaddq_u32(vandq_u32(vdupq_n_u32(w[0]), vld1q_u32(bit0)),
                     vandq_u32(vdupq_n_u32(w[1]), vld1q_u32(bit1)));
}

static void edge_soft_prepare__neon(const uint32_t *weights, uint32_t n_bits,
                                    edge_soft_tables *tables)
{
    uint32_t padded[68]; /* whole groups, zeros after the weights */
    uint32_t g;

    memset(padded, 0, sizeof padded);
    memcpy(padded, weights, n_bits * sizeof *weights);
    for (g = 0; g < 16; g++) {
        const uint32_t *w = padded + 4 * g;
        const uint32x4_t sum = edge_tabulate__neon(w);
        const uint32x4_t sum2 = vaddq_u32(sum, vdupq_n_u32(w[2]));
        vst1q_u32(tables->nibble[g], sum);
        vst1q_u32(tables->nibble[g] + 4, sum2);
        vst1q_u32(tables->nibble[g] + 8, vaddq_u32(sum, vdupq_n_u32(w[3])));
        vst1q_u32(tables->nibble[g] + 12, vaddq_u32(sum2, vdupq_n_u32(w[3])));
    }
    for (g = 0; g < 22; g++) {
        const uint32_t *w = padded + 3 * g;
        const uint32x4_t sum = edge_tabulate__neon(w);
        vst1q_u32(tables->triple[g], sum);
        vst1q_u32(tables->triple[g] + 4, vaddq_u32(sum, vdupq_n_u32(w[2])));
    }
    tables->n_bits = n_bits;
}

/*
 * NEON looks up bytes, 16 at once, so a scan first splits each table of 16
 * weights into four tables of bytes, lowest first, and likewise the codes; the
 * bytes of the costs are summed apart, in 16 bits, and joined last.
 */
typedef struct edge_planes__neon {
    uint8_t table[16][4][16];
    uint32_t n_groups;
} edge_planes__neon;

/* The entries change places as the query's bits say, so that codes are looked up as they are. */
static void edge_split_tables__neon(const edge_soft_tables *tables, uint64_t query,
                                    edge_planes__neon *planes)
{
    static const uint8_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint32_t g;
    planes->n_groups = (tables->n_bits + 3) / 4;
    for (g = 0; g < planes->n_groups; g++) {
        const uint8x16x4_t t = vld4q_u8((const uint8_t *)tables->nibble[g]);
        const uint8_t bits = (uint8_t)(query >> 4 * g & 15);
        const uint8x16_t from = veorq_u8(vld1q_u8(lanes), vdupq_n_u8(bits));
        vst1q_u8(planes->table[g][0], edge_lookup__neon(t.val[0], from));
        vst1q_u8(planes->table[g][1], edge_lookup__neon(t.val[1], from));
        vst1q_u8(planes->table[g][2], edge_lookup__neon(t.val[2], from));
        vst1q_u8(planes->table[g][3], edge_lookup__neon(t.val[3], from));
    }
}

/* Sums of the four bytes of the costs of 16 codes: of codes 0 to 7, of codes 8 to 15. */
typedef struct edge_sums__neon {
    uint16x8_t low[4], high[4];
} edge_sums__neon;

/* Add what group `g` costs codes whose bits of that group are `index`. */
EDGE_NEON_INLINE void edge_cost__neon(edge_sums__neon *sums, const uint8_t (*table)[16],
                                      uint8x16_t index)
{
    const uint8x16_t c0 = edge_lookup__neon(vld1q_u8(table[0]), index);
    const uint8x16_t c1 = edge_lookup__neon(vld1q_u8(table[1]), index);
    const uint8x16_t c2 = edge_lookup__neon(vld1q_u8(table[2]), index);
    const uint8x16_t c3 = edge_lookup__neon(vld1q_u8(table[3]), index);
    sums->low[0] = vaddw_u8(sums->low[0], vget_low_u8(c0));
    sums->low[1] = vaddw_u8(sums->low[1], vget_low_u8(c1));
    sums->low[2] = vaddw_u8(sums->low[2], vget_low_u8(c2));
    sums->low[3] = vaddw_u8(sums->low[3], vget_low_u8(c3));
    sums->high[0] = vaddw_u8(sums->high[0], vget_high_u8(c0));
    sums->high[1] = vaddw_u8(sums->high[1], vget_high_u8(c1));
    sums->high[2] = vaddw_u8(sums->high[2], vget_high_u8(c2));
    sums->high[3] = vaddw_u8(sums->high[3], vget_high_u8(c3));
}

EDGE_NEON_INLINE uint32x4_t edge_join__neon(uint16x4_t c0, uint16x4_t c1, uint16x4_t c2,
                                            uint16x4_t c3)
{
    const uint32x4_t low = vaddq_u32(vmovl_u16(c0), vshll_n_u16(c1, 8));
    const uint32x4_t high = vaddq_u32(vmovl_u16(c2), vshll_n_u16(c3, 8));
    return vaddq_u32(low, vshlq_n_u32(high, 16));
}

EDGE_NEON_INLINE uint32x4_t edge_join_low__neon(const uint16x8_t *c)
{
    return edge_join__neon(vget_low_u16(c[0]), vget_low_u16(c[1]), vget_low_u16(c[2]),
                           vget_low_u16(c[3]));
}

EDGE_NEON_INLINE uint32x4_t edge_join_high__neon(const uint16x8_t *c)
{
    return edge_join__neon(vget_high_u16(c[0]), vget_high_u16(c[1]), vget_high_u16(c[2]),
                           vget_high_u16(c[3]));
}

/* Append those of 16 codes, `left` of them real, whose cost is not above `limit`. */
EDGE_NEON_INLINE size_t edge_take_costs__neon(edge_hit *hits, size_t n, size_t id, size_t left,
                                              const edge_sums__neon *sums, uint32_t limit)
{
    const uint32x4_t most = vdupq_n_u32(limit);
    const uint32x4_t d0 = edge_join_low__neon(sums->low);
    const uint32x4_t d1 = edge_join_high__neon(sums->low);
    const uint32x4_t d2 = edge_join_low__neon(sums->high);
    const uint32x4_t d3 = edge_join_high__neon(sums->high);
    const uint32x4_t least = vminq_u32(vminq_u32(d0, d1), vminq_u32(d2, d3));
    const uint16x4_t any = vmovn_u32(vcleq_u32(least, most));
    uint32_t costs[EDGE_SOFT_STEP__NEON];
    uint32_t which;

    if (__builtin_expect(vget_lane_u64(vreinterpret_u64_u16(any), 0) == 0, 1)) {
        return n;
    }
    which = edge_bits__neon(vmovn_u16(vcombine_u16(vmovn_u32(vcleq_u32(d0, most)),
                                                   vmovn_u32(vcleq_u32(d1, most))))) |
            edge_bits__neon(vmovn_u16(vcombine_u16(vmovn_u32(vcleq_u32(d2, most)),
                                                   vmovn_u32(vcleq_u32(d3, most)))))
                << 8;
    if (left < EDGE_SOFT_STEP__NEON) {
        which &= ((uint32_t)1 << left) - 1;
    }
    vst1q_u32(costs, d0);
    vst1q_u32(costs + 4, d1);
    vst1q_u32(costs + 8, d2);
    vst1q_u32(costs + 12, d3);
    return edge_append(hits, n, id, costs, which);
}

/* One step: bytes[16 * b + i] is byte b of code i. */
EDGE_NEON_INLINE size_t edge_soft_step__neon(const uint8_t *bytes,
                                             const edge_planes__neon *planes, edge_hit *hits,
                                             size_t n, size_t id, size_t left, uint32_t limit)
{
    const uint32_t n_groups = planes->n_groups;
    edge_sums__neon sums;
    uint32_t g;
    for (g = 0; g < 4; g++) {
        sums.low[g] = vdupq_n_u16(0);
        sums.high[g] = vdupq_n_u16(0);
    }
    for (g = 0; g < n_groups; g += 2) {
        const uint8x16_t x = vld1q_u8(bytes + 8 * g);
        edge_cost__neon(&sums, planes->table[g], vandq_u8(x, vdupq_n_u8(15)));
        if (g + 1 < n_groups) {
            edge_cost__neon(&sums, planes->table[g + 1], vshrq_n_u8(x, 4));
        }
    }
    return edge_take_costs__neon(hits, n, id, left, &sums, limit);
}

static size_t edge_soft_u32__neon(const uint32_t *codes, size_t begin, size_t end,
                                  uint32_t query, const edge_soft_tables *tables, uint32_t limit,
                                  edge_hit *hits, size_t *n_hits, size_t want)
{
    edge_planes__neon planes;
    uint8_t bytes[4 * 16];
    uint32_t room[EDGE_SOFT_STEP__NEON];
    size_t n = *n_hits;
    size_t i;

    edge_split_tables__neon(tables, query, &planes);
    for (i = begin; i < end && n < want; i += EDGE_SOFT_STEP__NEON) {
        const size_t left = end - i;
        const uint32_t *p = codes + i;
        uint8x16x4_t x;
        if (left < EDGE_SOFT_STEP__NEON) {
            memset(room, 0, sizeof room);
            memcpy(room, p, left * sizeof *p);
            p = room;
        }
        x = vld4q_u8((const uint8_t *)p);
        vst1q_u8(bytes, x.val[0]);
        vst1q_u8(bytes + 16, x.val[1]);
        vst1q_u8(bytes + 32, x.val[2]);
        vst1q_u8(bytes + 48, x.val[3]);
        n = edge_soft_step__neon(bytes, &planes, hits, n, i, left, limit);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* Every fourth byte of 16 codes, two of each code: those of the low half, and those of the high. */
EDGE_NEON_INLINE void edge_part_bytes__neon(uint8_t *bytes, uint8x16_t first, uint8x16_t second)
{
    const uint8x16x2_t x = vuzpq_u8(first, second);
    vst1q_u8(bytes, x.val[0]);
    vst1q_u8(bytes + 64, x.val[1]);
}

static size_t edge_soft_u64__neon(const uint64_t *codes, size_t begin, size_t end,
                                  uint64_t query, const edge_soft_tables *tables, uint32_t limit,
                                  edge_hit *hits, size_t *n_hits, size_t want)
{
    edge_planes__neon planes;
    uint8_t bytes[8 * 16];
    uint64_t room[EDGE_SOFT_STEP__NEON];
    size_t n = *n_hits;
    size_t i;

    edge_split_tables__neon(tables, query, &planes);
    for (i = begin; i < end && n < want; i += EDGE_SOFT_STEP__NEON) {
        const size_t left = end - i;
        const uint64_t *p = codes + i;
        uint8x16x4_t first, second;
        if (left < EDGE_SOFT_STEP__NEON) {
            memset(room, 0, sizeof room);
            memcpy(room, p, left * sizeof *p);
            p = room;
        }
        first = vld4q_u8((const uint8_t *)p);
        second = vld4q_u8((const uint8_t *)(p + 8));
        edge_part_bytes__neon(bytes, first.val[0], second.val[0]);
        edge_part_bytes__neon(bytes + 16, first.val[1], second.val[1]);
        edge_part_bytes__neon(bytes + 32, first.val[2], second.val[2]);
        edge_part_bytes__neon(bytes + 48, first.val[3], second.val[3]);
        n = edge_soft_step__neon(bytes, &planes, hits, n, i, left, limit);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* ---- Matryoshka heads ----------------------------------------------------------------------- */

#include "kernels_mrl.h"
/* ---- dot products --------------------------------------------------------------------------- */

/* Append those of `left` rows, at most 32, from `id` on whose distance is below `limit`. */
static __attribute__((noinline)) size_t edge_append_dots__neon(edge_hit *hits, size_t n, size_t id,
                                                               size_t left,
                                                               const uint32_t *distances,
                                                               uint32_t limit)
{
    uint32_t which = 0;
    uint32_t k;
    for (k = 0; k < 32 && k < left; k++) {
        which |= (uint32_t)(distances[k] < limit) << k;
    }
    return edge_append(hits, n, id, distances, which);
}

/* The sums of neighbouring lanes of `a`, then of `b`. */
EDGE_NEON_INLINE int32x4_t edge_pairs_i32__neon(int32x4_t a, int32x4_t b)
{
#if defined(__aarch64__)
    return vpaddq_s32(a, b);
#else
    return vcombine_s32(vpadd_s32(vget_low_s32(a), vget_high_s32(a)),
                        vpadd_s32(vget_low_s32(b), vget_high_s32(b)));
#endif
}

/* Distances of 16 rows of a block, whose groups are 256 bytes apart; returns their least. */
EDGE_NEON_INLINE uint32x4_t edge_dot16__neon(const int8_t *p, size_t n_groups, const int8_t *query,
                                             uint32_t start, uint32_t *distances)
{
    int32x4_t low[4], high[4]; /* dims 0 and 1, 2 and 3, of two rows each */
    uint32x4_t least = vdupq_n_u32(UINT32_MAX);
    size_t g, k;
    for (k = 0; k < 4; k++) {
        low[k] = high[k] = vdupq_n_s32(0);
    }
    for (g = 0; g < n_groups; g++, p += 256) {
        uint32_t four;
        int8x8_t q;
        memcpy(&four, query + 4 * g, sizeof four);
        q = vreinterpret_s8_u32(vdup_n_u32(four));
        for (k = 0; k < 4; k++) {
            const int8x16_t rows = vld1q_s8(p + 16 * k);
            low[k] = vpadalq_s16(low[k], vmull_s8(vget_low_s8(rows), q));
            high[k] = vpadalq_s16(high[k], vmull_s8(vget_high_s8(rows), q));
        }
    }
    for (k = 0; k < 4; k++) {
        const uint32x4_t d = vaddq_u32(
            vreinterpretq_u32_s32(edge_pairs_i32__neon(low[k], high[k])), vdupq_n_u32(start));
        vst1q_u32(distances + 4 * k, d);
        least = vminq_u32(least, d);
    }
    return least;
}

static size_t edge_dot_i8__neon(const int8_t *blocks, size_t n_groups, size_t begin, size_t end,
                                const int8_t *query, uint32_t start, uint32_t limit,
                                edge_hit *hits, size_t *n_hits, size_t want)
{
    uint32_t distances[EDGE_BLOCK_ROWS];
    size_t n = *n_hits;
    size_t i, k;

    for (i = begin; i < end && n < want; i += EDGE_BLOCK_ROWS) {
        const int8_t *p = blocks + i * 4 * n_groups;
        const size_t left = end - i;
        uint32x4_t least = vdupq_n_u32(UINT32_MAX);
        uint16x4_t any;
        for (k = 0; k < EDGE_BLOCK_ROWS; k += 16) {
            least = vminq_u32(
                least, edge_dot16__neon(p + 4 * k, n_groups, query, start, distances + k));
        }
        any = vmovn_u32(vcltq_u32(least, vdupq_n_u32(limit)));
        if (__builtin_expect(vget_lane_u64(vreinterpret_u64_u16(any), 0) == 0, 1)) {
            continue;
        }
        n = edge_append_dots__neon(hits, n, i, left, distances, limit);
        n = edge_append_dots__neon(hits, n, i + 32, left < 32 ? 0 : left - 32, distances + 32,
                                   limit);
    }
    *n_hits = n;
    return i < end ? i : end;
}

const edge_kernels edge_kernels__neon = {
    "neon",
    edge_available__neon,
    edge_hamming_u32__neon,
    edge_hamming_u64__neon,
    edge_hamming_words__neon,
    edge_soft_prepare__neon,
    edge_soft_u32__neon,
    edge_soft_u64__neon,
    edge_mrl_accumulate__neon,
    edge_mrl_affine__neon,
    edge_mrl_max__neon,
    edge_mrl_find__neon,
    edge_mrl_sums__neon,
    edge_dot_i8__neon,
};

#endif
