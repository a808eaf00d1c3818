/*
 * AVX2: 32 codes a step.
 *
 * Hits are rare, so a step of any kernel ends in four vectors of 32-bit
 * distances, one comparison of their minimum and one branch; only behind that
 * branch is it asked which codes they were.
 */
#include "kernels.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include "kernels_append.h"
#include "kernels_f32_avx2.h"
#include "kernels_x86.h"

#define EDGE_STEP__AVX2 32

/*
 * Distances or costs of 32 codes. What was narrowed from 64-bit lanes is
 * crossed: codes 0 1 4 5 2 3 6 7 of each vector, put in order only for a hit.
 */
typedef struct edge_step__avx2 {
    __m256i d0, d1, d2, d3;
} edge_step__avx2;

static int edge_available__avx2(void)
{
    return edge_x86_has(EDGE_X86_7B_BMI1 | EDGE_X86_7B_AVX2, 0, EDGE_X86_YMM);
}

/* ---- codes ---------------------------------------------------------------------------------- */

EDGE_AVX2_INLINE __m256i edge_load_u32__avx2(const uint32_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

EDGE_AVX2_INLINE __m256i edge_load_u64__avx2(const uint64_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

EDGE_AVX2_INLINE void edge_store__avx2(uint32_t *p, __m256i x)
{
    _mm256_storeu_si256((__m256i *)(void *)p, x);
}

/* p[0..left) and then zeros, `size` in all, a multiple of 8: in `room`. */
static EDGE_AVX2 __attribute__((noinline)) void edge_rest__avx2(const uint32_t *p, size_t left,
                                                                size_t size, uint32_t *room)
{
    const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    size_t k;
    for (k = 0; k < size; k += 8) {
        __m256i x = _mm256_setzero_si256();
        if (left >= k + 8) {
            x = edge_load_u32__avx2(p + k);
        } else if (left > k) {
            const __m256i n = _mm256_set1_epi32((int)(left - k));
            x = _mm256_maskload_epi32((const int *)(const void *)(p + k),
                                      _mm256_cmpgt_epi32(n, lanes));
        }
        edge_store__avx2(room + k, x);
    }
}

/* The last codes, fewer than a step, of `n_words` words each, as a step that ends in zeros. */
EDGE_AVX2_INLINE const uint64_t *edge_rest_u64__avx2(const uint64_t *p, size_t n_words,
                                                     size_t left, uint64_t *room)
{
    edge_rest__avx2((const uint32_t *)(const void *)p, 2 * n_words * left,
                    2 * n_words * EDGE_STEP__AVX2, (uint32_t *)(void *)room);
    return room;
}

/* The low (0) or high (1) halves of the 64-bit lanes of `a` and `b`, crossed. */
EDGE_AVX2_INLINE __m256i edge_halves__avx2(__m256i a, __m256i b, int half)
{
    const __m256 x = _mm256_castsi256_ps(a);
    const __m256 y = _mm256_castsi256_ps(b);
    return _mm256_castps_si256(half ? _mm256_shuffle_ps(x, y, 0xdd)
                                    : _mm256_shuffle_ps(x, y, 0x88));
}

/* ---- hits ----------------------------------------------------------------------------------- */

/* Bits of the lanes of `d` that are not above `most`, without sign. */
EDGE_AVX2_INLINE uint32_t edge_not_above__avx2(__m256i d, __m256i most)
{
    const __m256i not_above = _mm256_cmpeq_epi32(_mm256_min_epu32(d, most), d);
    return (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(not_above));
}

static EDGE_AVX2 __attribute__((noinline)) size_t edge_append_step__avx2(
    edge_hit *hits, size_t n, size_t id, size_t left, __m256i d0, __m256i d1, __m256i d2,
    __m256i d3, __m256i most)
{
    uint32_t distances[EDGE_STEP__AVX2];
    uint32_t which =
        edge_not_above__avx2(d0, most) | edge_not_above__avx2(d1, most) << 8 |
        edge_not_above__avx2(d2, most) << 16 | edge_not_above__avx2(d3, most) << 24;
    if (left < EDGE_STEP__AVX2) {
        which &= ((uint32_t)1 << left) - 1;
    }
    edge_store__avx2(distances, d0);
    edge_store__avx2(distances + 8, d1);
    edge_store__avx2(distances + 16, d2);
    edge_store__avx2(distances + 24, d3);
    return edge_append(hits, n, id, distances, which);
}

/* Append those of the step's `left` codes from `id` on whose distance is not above `most`. */
EDGE_AVX2_INLINE size_t edge_take__avx2(edge_hit *hits, size_t n, size_t id, size_t left,
                                        edge_step__avx2 s, __m256i most, int crossed)
{
    const __m256i least =
        _mm256_min_epu32(_mm256_min_epu32(s.d0, s.d1), _mm256_min_epu32(s.d2, s.d3));
    if (__builtin_expect(edge_not_above__avx2(least, most) == 0, 1)) {
        return n;
    }
    if (crossed) {
        s.d0 = _mm256_permute4x64_epi64(s.d0, 0xd8);
        s.d1 = _mm256_permute4x64_epi64(s.d1, 0xd8);
        s.d2 = _mm256_permute4x64_epi64(s.d2, 0xd8);
        s.d3 = _mm256_permute4x64_epi64(s.d3, 0xd8);
    }
    return edge_append_step__avx2(hits, n, id, left, s.d0, s.d1, s.d2, s.d3, most);
}

/* ---- Hamming scans -------------------------------------------------------------------------- */

/* Set bits of every byte: those of its nibbles, from a table of 16. */
EDGE_AVX2_INLINE __m256i edge_count_bytes__avx2(__m256i x)
{
    const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1,
                                            1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i low = _mm256_and_si256(x, nibble);
    const __m256i high = _mm256_and_si256(_mm256_srli_epi32(x, 4), nibble);
    return _mm256_add_epi8(_mm256_shuffle_epi8(counts, low), _mm256_shuffle_epi8(counts, high));
}

/* Distances of 8 codes. */
EDGE_AVX2_INLINE __m256i edge_hamming8_u32__avx2(const uint32_t *p, __m256i q)
{
    const __m256i bytes = edge_count_bytes__avx2(_mm256_xor_si256(edge_load_u32__avx2(p), q));
    const __m256i pairs = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

static EDGE_AVX2 size_t edge_hamming_u32__avx2(const uint32_t *codes, size_t begin, size_t end,
                                               uint32_t query, uint32_t limit, edge_hit *hits,
                                               size_t *n_hits, size_t want)
{
    const __m256i q = _mm256_set1_epi32((int)query);
    const __m256i most = _mm256_set1_epi32((int)(limit - 1));
    uint32_t room[EDGE_STEP__AVX2];
    size_t n = *n_hits;
    size_t i;

    if (limit == 0) {
        return n < want ? end : begin;
    }
    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX2) {
        const size_t left = end - i;
        const uint32_t *p = codes + i;
        edge_step__avx2 s;
        if (left < EDGE_STEP__AVX2) {
            edge_rest__avx2(p, left, EDGE_STEP__AVX2, room);
            p = room;
        }
        s.d0 = edge_hamming8_u32__avx2(p, q);
        s.d1 = edge_hamming8_u32__avx2(p + 8, q);
        s.d2 = edge_hamming8_u32__avx2(p + 16, q);
        s.d3 = edge_hamming8_u32__avx2(p + 24, q);
        n = edge_take__avx2(hits, n, i, left, s, most, 0);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* Set bits of the 64-bit lanes of codes ^ query. */
EDGE_AVX2_INLINE __m256i edge_differing__avx2(const uint64_t *p, __m256i q)
{
    const __m256i bytes = edge_count_bytes__avx2(_mm256_xor_si256(edge_load_u64__avx2(p), q));
    return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

/* The sums of neighbouring 64-bit lanes: a01 b01 a23 b23. */
EDGE_AVX2_INLINE __m256i edge_pairs__avx2(__m256i a, __m256i b)
{
    return _mm256_add_epi64(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}

/* Distances of 4 codes of 1, 2 or 4 words, in 64-bit lanes. */
EDGE_AVX2_INLINE __m256i edge_hamming4__avx2(const uint64_t *p, size_t n_words, __m256i q)
{
    __m256i a, b;
    if (n_words == 1) {
        return edge_differing__avx2(p, q);
    }
    a = edge_pairs__avx2(edge_differing__avx2(p, q), edge_differing__avx2(p + 4, q));
    if (n_words == 2) {
        return _mm256_permute4x64_epi64(a, 0xd8);
    }
    b = edge_pairs__avx2(edge_differing__avx2(p + 8, q), edge_differing__avx2(p + 12, q));
    return _mm256_add_epi64(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* Distances of 8 codes, crossed. */
EDGE_AVX2_INLINE __m256i edge_hamming8__avx2(const uint64_t *p, size_t n_words, __m256i q)
{
    return edge_halves__avx2(edge_hamming4__avx2(p, n_words, q),
                             edge_hamming4__avx2(p + 4 * n_words, n_words, q), 0);
}

/* The scan for codes of `n_words` words, a constant; `q` holds the query over and over. */
EDGE_AVX2_INLINE size_t edge_hamming_scan__avx2(const uint64_t *codes, size_t n_words,
                                                size_t begin, size_t end, __m256i q,
                                                uint32_t limit, edge_hit *hits, size_t *n_hits,
                                                size_t want)
{
    const __m256i most = _mm256_set1_epi32((int)(limit - 1));
    uint64_t room[EDGE_STEP__AVX2 * 4];
    size_t n = *n_hits;
    size_t i;

    if (limit == 0) {
        return n < want ? end : begin;
    }
    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX2) {
        const size_t left = end - i;
        const uint64_t *p = codes + i * n_words;
        edge_step__avx2 s;
        if (left < EDGE_STEP__AVX2) {
            p = edge_rest_u64__avx2(p, n_words, left, room);
        }
        s.d0 = edge_hamming8__avx2(p, n_words, q);
        s.d1 = edge_hamming8__avx2(p + 8 * n_words, n_words, q);
        s.d2 = edge_hamming8__avx2(p + 16 * n_words, n_words, q);
        s.d3 = edge_hamming8__avx2(p + 24 * n_words, n_words, q);
        n = edge_take__avx2(hits, n, i, left, s, most, 1);
    }
    *n_hits = n;
    return i < end ? i : end;
}

static EDGE_AVX2 size_t edge_hamming_u64__avx2(const uint64_t *codes, size_t begin, size_t end,
                                               uint64_t query, uint32_t limit, edge_hit *hits,
                                               size_t *n_hits, size_t want)
{
    const __m256i q = _mm256_set1_epi64x((long long)query);
    return edge_hamming_scan__avx2(codes, 1, begin, end, q, limit, hits, n_hits, want);
}

static EDGE_AVX2 size_t edge_hamming_words__avx2(const uint64_t *codes, size_t n_words,
                                                 size_t begin, size_t end, const uint64_t *query,
                                                 uint32_t limit, edge_hit *hits, size_t *n_hits,
                                                 size_t want)
{
    if (n_words == 2) {
        const __m128i q = _mm_loadu_si128((const __m128i *)(const void *)query);
        return edge_hamming_scan__avx2(codes, 2, begin, end, _mm256_broadcastsi128_si256(q),
                                       limit, hits, n_hits, want);
    }
    return edge_hamming_scan__avx2(codes, 4, begin, end, edge_load_u64__avx2(query), limit, hits,
                                   n_hits, want);
}

/* ---- soft scans ----------------------------------------------------------------------------- */

/* The sums of w[0..3), selected by the bits of the lane's number. */
EDGE_AVX2_INLINE __m256i edge_tabulate__avx2(const uint32_t *w)
{
    const __m256i bit0 = _mm256_set_epi32(-1, 0, -1, 0, -1, 0, -1, 0);
    const __m256i bit1 = _mm256_set_epi32(-1, -1, 0, 0, -1, -1, 0, 0);
    const __m256i bit2 = _mm256_set_epi32(-1, -1, -1, -1, 0, 0, 0, 0);
    const __m256i a = _mm256_and_si256(_mm256_set1_epi32((int)w[0]), bit0);
    const __m256i b = _mm256_and_si256(_mm256_set1_epi32((int)w[1]), bit1);
    const __m256i c = _mm256_and_si256(_mm256_set1_epi32((int)w[2]), bit2);
    return _mm256_add_epi32(_mm256_add_epi32(a, b), c);
}

static EDGE_AVX2 void edge_soft_prepare__avx2(const uint32_t *weights, uint32_t n_bits,
                                              edge_soft_tables *tables)
{
    uint32_t padded[72]; /* whole groups, zeros after the weights */
    uint32_t g;

    edge_rest__avx2(weights, n_bits, 72, padded);
    for (g = 0; g < 16; g++) {
        __m256i low = _mm256_setzero_si256();
        __m256i high = low;
        if (4 * g < n_bits) {
            low = edge_tabulate__avx2(padded + 4 * g);
            high = _mm256_add_epi32(low, _mm256_set1_epi32((int)padded[4 * g + 3]));
        }
        edge_store__avx2(tables->nibble[g], low);
        edge_store__avx2(tables->nibble[g] + 8, high);
    }
    for (g = 0; g < 22; g++) {
        edge_store__avx2(tables->triple[g], 3 * g < n_bits ? edge_tabulate__avx2(padded + 3 * g)
                                                           : _mm256_setzero_si256());
    }
    tables->n_bits = n_bits;
}

/* `s`, and what the low three bits of the lanes of `x` cost: permuting 8 lanes is a lookup. */
EDGE_AVX2_INLINE edge_step__avx2 edge_cost__avx2(edge_step__avx2 s, edge_step__avx2 x,
                                                 const uint32_t *triple)
{
    const __m256i table = edge_load_u32__avx2(triple);
    s.d0 = _mm256_add_epi32(s.d0, _mm256_permutevar8x32_epi32(table, x.d0));
    s.d1 = _mm256_add_epi32(s.d1, _mm256_permutevar8x32_epi32(table, x.d1));
    s.d2 = _mm256_add_epi32(s.d2, _mm256_permutevar8x32_epi32(table, x.d2));
    s.d3 = _mm256_add_epi32(s.d3, _mm256_permutevar8x32_epi32(table, x.d3));
    return s;
}

/* `x`, every lane shifted right. */
EDGE_AVX2_INLINE edge_step__avx2 edge_shift__avx2(edge_step__avx2 x, int by)
{
    x.d0 = _mm256_srli_epi32(x.d0, by);
    x.d1 = _mm256_srli_epi32(x.d1, by);
    x.d2 = _mm256_srli_epi32(x.d2, by);
    x.d3 = _mm256_srli_epi32(x.d3, by);
    return x;
}

/*
 * `s`, and what the low 3 * n_groups bits of the lanes of `x` cost. A lookup ignores the
 * higher bits of its index, so that a shift is all that picks a group.
 */
EDGE_AVX2_INLINE edge_step__avx2 edge_costs__avx2(edge_step__avx2 s, edge_step__avx2 x,
                                                  const uint32_t (*triple)[8], uint32_t n_groups)
{
    uint32_t g;
    for (g = 0; g < n_groups; g++) {
        s = edge_cost__avx2(s, x, triple[g]);
        x = edge_shift__avx2(x, 3);
    }
    return s;
}

EDGE_AVX2_INLINE edge_step__avx2 edge_free__avx2(void)
{
    edge_step__avx2 s;
    s.d0 = _mm256_setzero_si256();
    s.d1 = _mm256_setzero_si256();
    s.d2 = _mm256_setzero_si256();
    s.d3 = _mm256_setzero_si256();
    return s;
}

static EDGE_AVX2 size_t edge_soft_u32__avx2(const uint32_t *codes, size_t begin, size_t end,
                                            uint32_t query, const edge_soft_tables *tables,
                                            uint32_t limit, edge_hit *hits, size_t *n_hits,
                                            size_t want)
{
    const __m256i q = _mm256_set1_epi32((int)query);
    const __m256i most = _mm256_set1_epi32((int)limit);
    const uint32_t n_groups = (tables->n_bits + 2) / 3;
    uint32_t room[EDGE_STEP__AVX2];
    size_t n = *n_hits;
    size_t i;

    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX2) {
        const size_t left = end - i;
        const uint32_t *p = codes + i;
        edge_step__avx2 x;
        if (left < EDGE_STEP__AVX2) {
            edge_rest__avx2(p, left, EDGE_STEP__AVX2, room);
            p = room;
        }
        x.d0 = _mm256_xor_si256(edge_load_u32__avx2(p), q);
        x.d1 = _mm256_xor_si256(edge_load_u32__avx2(p + 8), q);
        x.d2 = _mm256_xor_si256(edge_load_u32__avx2(p + 16), q);
        x.d3 = _mm256_xor_si256(edge_load_u32__avx2(p + 24), q);
        x = edge_costs__avx2(edge_free__avx2(), x, tables->triple, n_groups);
        n = edge_take__avx2(hits, n, i, left, x, most, 0);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* The low (0) or high (1) halves of codes ^ query of a step, crossed. */
EDGE_AVX2_INLINE edge_step__avx2 edge_half_step__avx2(const uint64_t *p, __m256i q, int half)
{
    edge_step__avx2 x;
    x.d0 = edge_halves__avx2(edge_load_u64__avx2(p), edge_load_u64__avx2(p + 4), half);
    x.d1 = edge_halves__avx2(edge_load_u64__avx2(p + 8), edge_load_u64__avx2(p + 12), half);
    x.d2 = edge_halves__avx2(edge_load_u64__avx2(p + 16), edge_load_u64__avx2(p + 20), half);
    x.d3 = edge_halves__avx2(edge_load_u64__avx2(p + 24), edge_load_u64__avx2(p + 28), half);
    x.d0 = _mm256_xor_si256(x.d0, q);
    x.d1 = _mm256_xor_si256(x.d1, q);
    x.d2 = _mm256_xor_si256(x.d2, q);
    x.d3 = _mm256_xor_si256(x.d3, q);
    return x;
}

/* Bits 30 and 31 of `low`, then those of `high`: the group that spans both halves. */
EDGE_AVX2_INLINE edge_step__avx2 edge_middle__avx2(edge_step__avx2 low, edge_step__avx2 high)
{
    edge_step__avx2 x = edge_shift__avx2(low, 30);
    x.d0 = _mm256_or_si256(x.d0, _mm256_slli_epi32(high.d0, 2));
    x.d1 = _mm256_or_si256(x.d1, _mm256_slli_epi32(high.d1, 2));
    x.d2 = _mm256_or_si256(x.d2, _mm256_slli_epi32(high.d2, 2));
    x.d3 = _mm256_or_si256(x.d3, _mm256_slli_epi32(high.d3, 2));
    return x;
}

static EDGE_AVX2 size_t edge_soft_u64__avx2(const uint64_t *codes, size_t begin, size_t end,
                                            uint64_t query, const edge_soft_tables *tables,
                                            uint32_t limit, edge_hit *hits, size_t *n_hits,
                                            size_t want)
{
    const __m256i q_low = _mm256_set1_epi32((int)(uint32_t)query);
    const __m256i q_high = _mm256_set1_epi32((int)(uint32_t)(query >> 32));
    const __m256i most = _mm256_set1_epi32((int)limit);
    const uint32_t n_groups = (tables->n_bits + 2) / 3;
    const uint32_t n_low = n_groups < 10 ? n_groups : 10;
    uint64_t room[EDGE_STEP__AVX2];
    size_t n = *n_hits;
    size_t i;

    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX2) {
        const size_t left = end - i;
        const uint64_t *p = codes + i;
        edge_step__avx2 s, low;
        if (left < EDGE_STEP__AVX2) {
            p = edge_rest_u64__avx2(p, 1, left, room);
        }
        low = edge_half_step__avx2(p, q_low, 0);
        s = edge_costs__avx2(edge_free__avx2(), low, tables->triple, n_low);
        if (n_groups > 10) {
            const edge_step__avx2 high = edge_half_step__avx2(p, q_high, 1);
            s = edge_cost__avx2(s, edge_middle__avx2(low, high), tables->triple[10]);
            s = edge_costs__avx2(s, edge_shift__avx2(high, 1), tables->triple + 11,
                                 n_groups - 11);
        }
        n = edge_take__avx2(hits, n, i, left, s, most, 1);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* ---- Matryoshka heads ----------------------------------------------------------------------- */

#include "kernels_mrl.h"
/* ---- dot products --------------------------------------------------------------------------- */

/*
 * `sum` and four products each of 8 rows. |row| times the query with the row's
 * sign: pairs of them, at most 2 * 128 * 127, fit 16 bits.
 */
EDGE_AVX2_INLINE __m256i edge_dot8__avx2(__m256i sum, const int8_t *rows, __m256i q)
{
    const __m256i row = _mm256_loadu_si256((const __m256i *)(const void *)rows);
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(row), _mm256_sign_epi8(q, row));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

/* Distances of 32 rows; the groups of a block are 256 bytes apart. */
EDGE_AVX2_INLINE edge_step__avx2 edge_dot32__avx2(const int8_t *p, size_t n_groups,
                                                  const int8_t *query, uint32_t start)
{
    edge_step__avx2 s;
    size_t g;
    s.d0 = s.d1 = s.d2 = s.d3 = _mm256_set1_epi32((int)start);
    for (g = 0; g < n_groups; g++, p += 256) {
        int32_t four;
        __m256i q;
        __builtin_memcpy(&four, query + 4 * g, sizeof four);
        q = _mm256_set1_epi32(four);
        s.d0 = edge_dot8__avx2(s.d0, p, q);
        s.d1 = edge_dot8__avx2(s.d1, p + 32, q);
        s.d2 = edge_dot8__avx2(s.d2, p + 64, q);
        s.d3 = edge_dot8__avx2(s.d3, p + 96, q);
    }
    return s;
}

static EDGE_AVX2 size_t edge_dot_i8__avx2(const int8_t *blocks, size_t n_groups, size_t begin,
                                          size_t end, const int8_t *query, uint32_t start,
                                          uint32_t limit, edge_hit *hits, size_t *n_hits,
                                          size_t want)
{
    const __m256i most = _mm256_set1_epi32((int)(limit - 1));
    size_t n = *n_hits;
    size_t i;

    if (limit == 0) {
        return n < want ? end : begin;
    }
    for (i = begin; i < end && n < want; i += EDGE_BLOCK_ROWS) {
        const int8_t *p = blocks + i * 4 * n_groups;
        const size_t left = end - i;
        n = edge_take__avx2(hits, n, i, left, edge_dot32__avx2(p, n_groups, query, start), most,
                            0);
        n = edge_take__avx2(hits, n, i + 32, left < 32 ? 0 : left - 32,
                            edge_dot32__avx2(p + 128, n_groups, query, start), most, 0);
    }
    *n_hits = n;
    return i < end ? i : end;
}

const edge_kernels edge_kernels__avx2 = {
    "avx2",
    edge_available__avx2,
    edge_hamming_u32__avx2,
    edge_hamming_u64__avx2,
    edge_hamming_words__avx2,
    edge_soft_prepare__avx2,
    edge_soft_u32__avx2,
    edge_soft_u64__avx2,
    edge_mrl_accumulate__avx2,
    edge_mrl_affine__avx2,
    edge_mrl_max__avx2,
    edge_mrl_find__avx2,
    edge_mrl_sums__avx2,
    edge_dot_i8__avx2,
};

#endif
