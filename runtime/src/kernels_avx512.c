/*
 * AVX-512 with VPOPCNTDQ and VNNI: 64 codes a step.
 *
 * Hits are rare, so a step of any kernel ends in four vectors of 32-bit
 * distances, one comparison of their minimum and one branch; only behind that
 * branch is it asked which codes they were.
 */
#include "kernels.h"

#if defined(__GNUC__) && defined(__x86_64__)

#include "kernels_append.h"
#include "kernels_f32_avx512.h"
#include "kernels_x86.h"

#define EDGE_STEP__AVX512 64

/* Distances or costs of 64 codes, in order. */
typedef struct edge_step__avx512 {
    __m512i d0, d1, d2, d3;
} edge_step__avx512;

static int edge_available__avx512(void)
{
    return edge_x86_has(EDGE_X86_7B_BMI1 | EDGE_X86_7B_AVX2 | EDGE_X86_7B_AVX512F |
                            EDGE_X86_7B_AVX512VL, /* fastgrnn_avx512.c */
                        EDGE_X86_7C_VPOPCNTDQ | EDGE_X86_7C_VNNI, EDGE_X86_ZMM);
}

/* ---- codes ---------------------------------------------------------------------------------- */

EDGE_AVX512_INLINE __m512i edge_load_u32__avx512(const uint32_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

EDGE_AVX512_INLINE __m512i edge_load_u64__avx512(const uint64_t *p)
{
    return _mm512_loadu_si512((const void *)p);
}

/* p[0..left) and then zeros, `size` in all, a multiple of 16: in `room`. */
static EDGE_AVX512 __attribute__((noinline)) void edge_rest__avx512(const uint32_t *p, size_t left,
                                                                    size_t size, uint32_t *room)
{
    size_t k;
    for (k = 0; k < size; k += 16) {
        __m512i x = _mm512_setzero_si512();
        if (left >= k + 16) {
            x = edge_load_u32__avx512(p + k);
        } else if (left > k) {
            const __mmask16 which = (__mmask16)((1u << (left - k)) - 1);
            x = _mm512_maskz_loadu_epi32(which, (const void *)(p + k));
        }
        _mm512_storeu_si512((void *)(room + k), x);
    }
}

/* The last codes, fewer than a step, of `n_words` words each, as a step that ends in zeros. */
EDGE_AVX512_INLINE const uint64_t *edge_rest_u64__avx512(const uint64_t *p, size_t n_words,
                                                         size_t left, uint64_t *room)
{
    edge_rest__avx512((const uint32_t *)(const void *)p, 2 * n_words * left,
                      2 * n_words * EDGE_STEP__AVX512, (uint32_t *)(void *)room);
    return room;
}

/* The low (0) or high (1) halves of the 64-bit lanes of `a`, then of `b`. */
EDGE_AVX512_INLINE __m512i edge_halves__avx512(__m512i a, __m512i b, int half)
{
    const __m512i low =
        _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i high =
        _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_permutex2var_epi32(a, half ? high : low, b);
}

/* ---- hits ----------------------------------------------------------------------------------- */

static EDGE_AVX512 __attribute__((noinline)) size_t edge_append_step__avx512(
    edge_hit *hits, size_t n, size_t id, size_t left, __m512i d0, __m512i d1, __m512i d2,
    __m512i d3, __m512i most)
{
    uint32_t distances[EDGE_STEP__AVX512];
    uint32_t first = (uint32_t)_mm512_cmple_epu32_mask(d0, most) |
                     (uint32_t)_mm512_cmple_epu32_mask(d1, most) << 16;
    uint32_t second = (uint32_t)_mm512_cmple_epu32_mask(d2, most) |
                      (uint32_t)_mm512_cmple_epu32_mask(d3, most) << 16;
    if (left < 32) {
        first &= ((uint32_t)1 << left) - 1;
        second = 0;
    } else if (left < EDGE_STEP__AVX512) {
        second &= ((uint32_t)1 << (left - 32)) - 1;
    }
    _mm512_storeu_si512((void *)distances, d0);
    _mm512_storeu_si512((void *)(distances + 16), d1);
    _mm512_storeu_si512((void *)(distances + 32), d2);
    _mm512_storeu_si512((void *)(distances + 48), d3);
    n = edge_append(hits, n, id, distances, first);
    return edge_append(hits, n, id + 32, distances + 32, second);
}

/* Append those of the step's `left` codes from `id` on whose distance is not above `most`. */
EDGE_AVX512_INLINE size_t edge_take__avx512(edge_hit *hits, size_t n, size_t id, size_t left,
                                            edge_step__avx512 s, __m512i most)
{
    const __m512i least =
        _mm512_min_epu32(_mm512_min_epu32(s.d0, s.d1), _mm512_min_epu32(s.d2, s.d3));
    if (__builtin_expect(_mm512_cmple_epu32_mask(least, most) == 0, 1)) {
        return n;
    }
    return edge_append_step__avx512(hits, n, id, left, s.d0, s.d1, s.d2, s.d3, most);
}

/* ---- Hamming scans -------------------------------------------------------------------------- */

/* Distances of 16 codes. */
EDGE_AVX512_INLINE __m512i edge_hamming16_u32__avx512(const uint32_t *p, __m512i q)
{
    return _mm512_popcnt_epi32(_mm512_xor_si512(edge_load_u32__avx512(p), q));
}

static EDGE_AVX512 size_t edge_hamming_u32__avx512(const uint32_t *codes, size_t begin,
                                                   size_t end, uint32_t query, uint32_t limit,
                                                   edge_hit *hits, size_t *n_hits, size_t want)
{
    const __m512i q = _mm512_set1_epi32((int)query);
    const __m512i most = _mm512_set1_epi32((int)(limit - 1));
    uint32_t room[EDGE_STEP__AVX512];
    size_t n = *n_hits;
    size_t i;

    if (limit == 0) {
        return n < want ? end : begin;
    }
    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX512) {
        const size_t left = end - i;
        const uint32_t *p = codes + i;
        edge_step__avx512 s;
        if (left < EDGE_STEP__AVX512) {
            edge_rest__avx512(p, left, EDGE_STEP__AVX512, room);
            p = room;
        }
        s.d0 = edge_hamming16_u32__avx512(p, q);
        s.d1 = edge_hamming16_u32__avx512(p + 16, q);
        s.d2 = edge_hamming16_u32__avx512(p + 32, q);
        s.d3 = edge_hamming16_u32__avx512(p + 48, q);
        n = edge_take__avx512(hits, n, i, left, s, most);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* Set bits of the 64-bit lanes of codes ^ query. */
EDGE_AVX512_INLINE __m512i edge_differing__avx512(const uint64_t *p, __m512i q)
{
    return _mm512_popcnt_epi64(_mm512_xor_si512(edge_load_u64__avx512(p), q));
}

/* The sums of neighbouring 64-bit lanes of `a`, then of `b`. */
EDGE_AVX512_INLINE __m512i edge_pairs__avx512(__m512i a, __m512i b)
{
    const __m512i even = _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0);
    const __m512i odd = _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1);
    return _mm512_add_epi64(_mm512_permutex2var_epi64(a, even, b),
                            _mm512_permutex2var_epi64(a, odd, b));
}

/* Distances of 8 codes of two words each, in 64-bit lanes. */
EDGE_AVX512_INLINE __m512i edge_words2__avx512(const uint64_t *p, __m512i q)
{
    return edge_pairs__avx512(edge_differing__avx512(p, q), edge_differing__avx512(p + 8, q));
}

/* Distances of 8 codes of 1, 2 or 4 words, in 64-bit lanes. */
EDGE_AVX512_INLINE __m512i edge_hamming8__avx512(const uint64_t *p, size_t n_words, __m512i q)
{
    if (n_words == 1) {
        return edge_differing__avx512(p, q);
    }
    if (n_words == 2) {
        return edge_words2__avx512(p, q);
    }
    return edge_pairs__avx512(edge_words2__avx512(p, q), edge_words2__avx512(p + 16, q));
}

/* Distances of 16 codes. */
EDGE_AVX512_INLINE __m512i edge_hamming16__avx512(const uint64_t *p, size_t n_words, __m512i q)
{
    return edge_halves__avx512(edge_hamming8__avx512(p, n_words, q),
                               edge_hamming8__avx512(p + 8 * n_words, n_words, q), 0);
}

/* The scan for codes of `n_words` words, a constant; `q` holds the query over and over. */
EDGE_AVX512_INLINE size_t edge_hamming_scan__avx512(const uint64_t *codes, size_t n_words,
                                                    size_t begin, size_t end, __m512i q,
                                                    uint32_t limit, edge_hit *hits,
                                                    size_t *n_hits, size_t want)
{
    const __m512i most = _mm512_set1_epi32((int)(limit - 1));
    uint64_t room[EDGE_STEP__AVX512 * 4];
    size_t n = *n_hits;
    size_t i;

    if (limit == 0) {
        return n < want ? end : begin;
    }
    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX512) {
        const size_t left = end - i;
        const uint64_t *p = codes + i * n_words;
        edge_step__avx512 s;
        if (left < EDGE_STEP__AVX512) {
            p = edge_rest_u64__avx512(p, n_words, left, room);
        }
        s.d0 = edge_hamming16__avx512(p, n_words, q);
        s.d1 = edge_hamming16__avx512(p + 16 * n_words, n_words, q);
        s.d2 = edge_hamming16__avx512(p + 32 * n_words, n_words, q);
        s.d3 = edge_hamming16__avx512(p + 48 * n_words, n_words, q);
        n = edge_take__avx512(hits, n, i, left, s, most);
    }
    *n_hits = n;
    return i < end ? i : end;
}

static EDGE_AVX512 size_t edge_hamming_u64__avx512(const uint64_t *codes, size_t begin,
                                                   size_t end, uint64_t query, uint32_t limit,
                                                   edge_hit *hits, size_t *n_hits, size_t want)
{
    const __m512i q = _mm512_set1_epi64((long long)query);
    return edge_hamming_scan__avx512(codes, 1, begin, end, q, limit, hits, n_hits, want);
}

static EDGE_AVX512 size_t edge_hamming_words__avx512(const uint64_t *codes, size_t n_words,
                                                     size_t begin, size_t end,
                                                     const uint64_t *query, uint32_t limit,
                                                     edge_hit *hits, size_t *n_hits, size_t want)
{
    if (n_words == 2) {
        const __m128i q = _mm_loadu_si128((const __m128i *)(const void *)query);
        return edge_hamming_scan__avx512(codes, 2, begin, end, _mm512_broadcast_i32x4(q), limit,
                                         hits, n_hits, want);
    } else {
        const __m256i q = _mm256_loadu_si256((const __m256i *)(const void *)query);
        return edge_hamming_scan__avx512(codes, 4, begin, end, _mm512_broadcast_i64x4(q), limit,
                                         hits, n_hits, want);
    }
}

/* ---- soft scans ----------------------------------------------------------------------------- */

/* `sum` with `weight` more in the lanes of `which`. */
EDGE_AVX512_INLINE __m512i edge_weigh__avx512(__m512i sum, uint32_t which, uint32_t weight)
{
    return _mm512_mask_add_epi32(sum, (__mmask16)which, sum, _mm512_set1_epi32((int)weight));
}

static EDGE_AVX512 void edge_soft_prepare__avx512(const uint32_t *weights, uint32_t n_bits,
                                                  edge_soft_tables *tables)
{
    uint32_t padded[80]; /* whole groups, zeros after the weights */
    uint32_t g;

    edge_rest__avx512(weights, n_bits, (n_bits + 20) / 16 * 16, padded);
    /* Lane m of a group of four bits: bit j of m says whether weight j counts. */
    for (g = 0; g < 16; g++) {
        __m512i sum = _mm512_setzero_si512();
        if (4 * g < n_bits) {
            const uint32_t *w = padded + 4 * g;
            sum = _mm512_maskz_set1_epi32(0xaaaa, (int)w[0]);
            sum = edge_weigh__avx512(sum, 0xcccc, w[1]);
            sum = edge_weigh__avx512(sum, 0xf0f0, w[2]);
            sum = edge_weigh__avx512(sum, 0xff00, w[3]);
        }
        _mm512_storeu_si512((void *)tables->nibble[g], sum);
    }
    /* Two groups of three bits to a vector. */
    for (g = 0; g < 22; g += 2) {
        __m512i sum = _mm512_setzero_si512();
        if (3 * g < n_bits) {
            const uint32_t *w = padded + 3 * g;
            sum = _mm512_maskz_set1_epi32(0x00aa, (int)w[0]);
            sum = edge_weigh__avx512(sum, 0x00cc, w[1]);
            sum = edge_weigh__avx512(sum, 0x00f0, w[2]);
            sum = edge_weigh__avx512(sum, 0xaa00, w[3]);
            sum = edge_weigh__avx512(sum, 0xcc00, w[4]);
            sum = edge_weigh__avx512(sum, 0xf000, w[5]);
        }
        _mm512_storeu_si512((void *)tables->triple[g], sum);
    }
    tables->n_bits = n_bits;
}

/*
 * What the low 4 * n_groups bits of the lanes of `x` cost, added to `s`. A
 * permutation of 32-bit lanes is a lookup in 16 entries, and ignores the higher
 * bits of its index, so that a shift is all that picks a group.
 */
EDGE_AVX512_INLINE edge_step__avx512 edge_cost__avx512(edge_step__avx512 s, edge_step__avx512 x,
                                                       const uint32_t (*nibble)[16],
                                                       uint32_t n_groups)
{
    uint32_t g;
    for (g = 0; g < n_groups; g++) {
        const __m512i table = _mm512_loadu_si512((const void *)nibble[g]);
        s.d0 = _mm512_add_epi32(s.d0, _mm512_permutexvar_epi32(x.d0, table));
        s.d1 = _mm512_add_epi32(s.d1, _mm512_permutexvar_epi32(x.d1, table));
        s.d2 = _mm512_add_epi32(s.d2, _mm512_permutexvar_epi32(x.d2, table));
        s.d3 = _mm512_add_epi32(s.d3, _mm512_permutexvar_epi32(x.d3, table));
        x.d0 = _mm512_srli_epi32(x.d0, 4);
        x.d1 = _mm512_srli_epi32(x.d1, 4);
        x.d2 = _mm512_srli_epi32(x.d2, 4);
        x.d3 = _mm512_srli_epi32(x.d3, 4);
    }
    return s;
}

EDGE_AVX512_INLINE edge_step__avx512 edge_free__avx512(void)
{
    edge_step__avx512 s;
    s.d0 = _mm512_setzero_si512();
    s.d1 = _mm512_setzero_si512();
    s.d2 = _mm512_setzero_si512();
    s.d3 = _mm512_setzero_si512();
    return s;
}

static EDGE_AVX512 size_t edge_soft_u32__avx512(const uint32_t *codes, size_t begin, size_t end,
                                                uint32_t query, const edge_soft_tables *tables,
                                                uint32_t limit, edge_hit *hits, size_t *n_hits,
                                                size_t want)
{
    const __m512i q = _mm512_set1_epi32((int)query);
    const __m512i most = _mm512_set1_epi32((int)limit);
    const uint32_t n_groups = (tables->n_bits + 3) / 4;
    uint32_t room[EDGE_STEP__AVX512];
    size_t n = *n_hits;
    size_t i;

    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX512) {
        const size_t left = end - i;
        const uint32_t *p = codes + i;
        edge_step__avx512 x;
        if (left < EDGE_STEP__AVX512) {
            edge_rest__avx512(p, left, EDGE_STEP__AVX512, room);
            p = room;
        }
        x.d0 = _mm512_xor_si512(edge_load_u32__avx512(p), q);
        x.d1 = _mm512_xor_si512(edge_load_u32__avx512(p + 16), q);
        x.d2 = _mm512_xor_si512(edge_load_u32__avx512(p + 32), q);
        x.d3 = _mm512_xor_si512(edge_load_u32__avx512(p + 48), q);
        x = edge_cost__avx512(edge_free__avx512(), x, tables->nibble, n_groups);
        n = edge_take__avx512(hits, n, i, left, x, most);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* The low (0) or high (1) halves of codes ^ query of a step. */
EDGE_AVX512_INLINE edge_step__avx512 edge_half_step__avx512(const uint64_t *p, __m512i q, int half)
{
    edge_step__avx512 x;
    x.d0 = edge_halves__avx512(edge_load_u64__avx512(p), edge_load_u64__avx512(p + 8), half);
    x.d1 = edge_halves__avx512(edge_load_u64__avx512(p + 16), edge_load_u64__avx512(p + 24), half);
    x.d2 = edge_halves__avx512(edge_load_u64__avx512(p + 32), edge_load_u64__avx512(p + 40), half);
    x.d3 = edge_halves__avx512(edge_load_u64__avx512(p + 48), edge_load_u64__avx512(p + 56), half);
    x.d0 = _mm512_xor_si512(x.d0, q);
    x.d1 = _mm512_xor_si512(x.d1, q);
    x.d2 = _mm512_xor_si512(x.d2, q);
    x.d3 = _mm512_xor_si512(x.d3, q);
    return x;
}

static EDGE_AVX512 size_t edge_soft_u64__avx512(const uint64_t *codes, size_t begin, size_t end,
                                                uint64_t query, const edge_soft_tables *tables,
                                                uint32_t limit, edge_hit *hits, size_t *n_hits,
                                                size_t want)
{
    const __m512i q_low = _mm512_set1_epi32((int)(uint32_t)query);
    const __m512i q_high = _mm512_set1_epi32((int)(uint32_t)(query >> 32));
    const __m512i most = _mm512_set1_epi32((int)limit);
    const uint32_t n_groups = (tables->n_bits + 3) / 4;
    const uint32_t n_low = n_groups < 8 ? n_groups : 8;
    uint64_t room[EDGE_STEP__AVX512];
    size_t n = *n_hits;
    size_t i;

    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX512) {
        const size_t left = end - i;
        const uint64_t *p = codes + i;
        edge_step__avx512 s;
        if (left < EDGE_STEP__AVX512) {
            p = edge_rest_u64__avx512(p, 1, left, room);
        }
        s = edge_cost__avx512(edge_free__avx512(), edge_half_step__avx512(p, q_low, 0),
                              tables->nibble, n_low);
        if (n_groups > n_low) {
            s = edge_cost__avx512(s, edge_half_step__avx512(p, q_high, 1), tables->nibble + 8,
                                  n_groups - n_low);
        }
        n = edge_take__avx512(hits, n, i, left, s, most);
    }
    *n_hits = n;
    return i < end ? i : end;
}

/* ---- Matryoshka heads ----------------------------------------------------------------------- */

#include "kernels_mrl.h"

/* ---- dot products --------------------------------------------------------------------------- */

/* `sum` and four products each of 16 rows, whose bytes are taken as 128 more than they are. */
EDGE_AVX512_INLINE __m512i edge_dot16__avx512(__m512i sum, const int8_t *rows, __m512i q)
{
    const __m512i row = _mm512_loadu_si512((const void *)rows);
    return _mm512_dpbusd_epi32(sum, _mm512_xor_si512(row, _mm512_set1_epi32((int)0x80808080u)), q);
}

static EDGE_AVX512 size_t edge_dot_i8__avx512(const int8_t *blocks, size_t n_groups, size_t begin,
                                              size_t end, const int8_t *query, uint32_t start,
                                              uint32_t limit, edge_hit *hits, size_t *n_hits,
                                              size_t want)
{
    const __m512i most = _mm512_set1_epi32((int)(limit - 1));
    size_t n = *n_hits;
    size_t i, g;

    if (limit == 0) {
        return n < want ? end : begin;
    }
    for (g = 0; g < 4 * n_groups; g++) {
        start -= 128 * (uint32_t)(int32_t)query[g];
    }
    for (i = begin; i < end && n < want; i += EDGE_STEP__AVX512) {
        const int8_t *p = blocks + i * 4 * n_groups;
        edge_step__avx512 s;
        s.d0 = s.d1 = s.d2 = s.d3 = _mm512_set1_epi32((int)start);
        for (g = 0; g < n_groups; g++, p += 256) {
            int32_t four;
            __m512i q;
            __builtin_memcpy(&four, query + 4 * g, sizeof four);
            q = _mm512_set1_epi32(four);
            s.d0 = edge_dot16__avx512(s.d0, p, q);
            s.d1 = edge_dot16__avx512(s.d1, p + 64, q);
            s.d2 = edge_dot16__avx512(s.d2, p + 128, q);
            s.d3 = edge_dot16__avx512(s.d3, p + 192, q);
        }
        n = edge_take__avx512(hits, n, i, end - i, s, most);
    }
    *n_hits = n;
    return i < end ? i : end;
}

const edge_kernels edge_kernels__avx512 = {
    "avx512",
    edge_available__avx512,
    edge_hamming_u32__avx512,
    edge_hamming_u64__avx512,
    edge_hamming_words__avx512,
    edge_soft_prepare__avx512,
    edge_soft_u32__avx512,
    edge_soft_u64__avx512,
    edge_mrl_accumulate__avx512,
    edge_mrl_affine__avx512,
    edge_mrl_max__avx512,
    edge_mrl_find__avx512,
    edge_mrl_sums__avx512,
    edge_dot_i8__avx512,
};

#endif
