/* Plain C, for every processor: what the other kernels must agree with. */
#include "kernels.h"

#include <string.h>

#include "kernels_f32_scalar.h"

static int edge_available__scalar(void) { return 1; }

/*
 * Set bits of a word, without a compiler's popcount, which may call a library
 * that is not there; and without a 64-bit multiply on 32-bit processors.
 */
static uint32_t edge_popcount__scalar(uint64_t x)
{
#if UINTPTR_MAX > 0xffffffffu
    x -= (x >> 1) & UINT64_C(0x5555555555555555);
    x = (x & UINT64_C(0x3333333333333333)) + ((x >> 2) & UINT64_C(0x3333333333333333));
    x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (uint32_t)((x * UINT64_C(0x0101010101010101)) >> 56);
#else
    uint32_t low = (uint32_t)x;
    uint32_t high = (uint32_t)(x >> 32);
    low -= (low >> 1) & 0x55555555u;
    high -= (high >> 1) & 0x55555555u;
    low = (low & 0x33333333u) + ((low >> 2) & 0x33333333u);
    high = (high & 0x33333333u) + ((high >> 2) & 0x33333333u);
    low = (low + (low >> 4)) & 0x0f0f0f0fu;
    high = (high + (high >> 4)) & 0x0f0f0f0fu;
    return ((low + high) * 0x01010101u) >> 24;
#endif
}

static void edge_put__scalar(edge_hit *hits, size_t n, size_t id, uint32_t distance)
{
    hits[n].id = (uint64_t)id;
    hits[n].distance = distance;
}

static size_t edge_hamming_u32__scalar(const uint32_t *codes, size_t begin, size_t end,
                                       uint32_t query, uint32_t limit, edge_hit *hits,
                                       size_t *n_hits, size_t want)
{
    size_t i;
    for (i = begin; i < end && *n_hits < want; i++) {
        const uint32_t distance = edge_popcount__scalar(codes[i] ^ query);
        if (distance < limit) {
            edge_put__scalar(hits, (*n_hits)++, i, distance);
        }
    }
    return i;
}

static size_t edge_hamming_u64__scalar(const uint64_t *codes, size_t begin, size_t end,
                                       uint64_t query, uint32_t limit, edge_hit *hits,
                                       size_t *n_hits, size_t want)
{
    size_t i;
    for (i = begin; i < end && *n_hits < want; i++) {
        const uint32_t distance = edge_popcount__scalar(codes[i] ^ query);
        if (distance < limit) {
            edge_put__scalar(hits, (*n_hits)++, i, distance);
        }
    }
    return i;
}

static size_t edge_hamming_words__scalar(const uint64_t *codes, size_t n_words, size_t begin,
                                         size_t end, const uint64_t *query, uint32_t limit,
                                         edge_hit *hits, size_t *n_hits, size_t want)
{
    size_t i, j;
    for (i = begin; i < end && *n_hits < want; i++) {
        uint32_t distance = 0;
        for (j = 0; j < n_words; j++) {
            distance += edge_popcount__scalar(codes[i * n_words + j] ^ query[j]);
        }
        if (distance < limit) {
            edge_put__scalar(hits, (*n_hits)++, i, distance);
        }
    }
    return i;
}

/* table[m] = the sum of the weights w[0..3) that the bits of m select. */
static void edge_tabulate__scalar(const uint32_t *w, uint32_t *table)
{
    table[0] = 0;
    table[1] = w[0];
    table[2] = w[1];
    table[3] = w[1] + w[0];
    table[4] = w[2];
    table[5] = w[2] + w[0];
    table[6] = w[2] + w[1];
    table[7] = w[2] + w[1] + w[0];
}

static void edge_soft_prepare__scalar(const uint32_t *weights, uint32_t n_bits,
                                      edge_soft_tables *tables)
{
    uint32_t padded[66]; /* whole groups, zeros after the weights */
    uint32_t g, m;

    for (m = 0; m < 66; m++) {
        padded[m] = m < n_bits ? weights[m] : 0;
    }
    for (g = 0; g < 16; g++) {
        uint32_t *table = tables->nibble[g];
        edge_tabulate__scalar(padded + 4 * g, table);
        for (m = 0; m < 8; m++) {
            table[8 + m] = table[m] + padded[4 * g + 3];
        }
    }
    for (g = 0; g < 22; g++) {
        edge_tabulate__scalar(padded + 3 * g, tables->triple[g]);
    }
    tables->n_bits = n_bits;
}

static size_t edge_soft_u32__scalar(const uint32_t *codes, size_t begin, size_t end,
                                    uint32_t query, const edge_soft_tables *tables,
                                    uint32_t limit, edge_hit *hits, size_t *n_hits, size_t want)
{
    const uint32_t n_groups = (tables->n_bits + 3) / 4;
    size_t i;
    for (i = begin; i < end && *n_hits < want; i++) {
        uint32_t differing = codes[i] ^ query;
        uint32_t cost = 0;
        uint32_t g;
        for (g = 0; g < n_groups; g++) {
            cost += tables->nibble[g][differing & 15];
            differing >>= 4;
        }
        if (cost <= limit) {
            edge_put__scalar(hits, (*n_hits)++, i, cost);
        }
    }
    return i;
}

static size_t edge_soft_u64__scalar(const uint64_t *codes, size_t begin, size_t end,
                                    uint64_t query, const edge_soft_tables *tables,
                                    uint32_t limit, edge_hit *hits, size_t *n_hits, size_t want)
{
    const uint32_t n_groups = (tables->n_bits + 3) / 4;
    size_t i;
    for (i = begin; i < end && *n_hits < want; i++) {
        uint64_t differing = codes[i] ^ query;
        uint32_t cost = 0;
        uint32_t g;
        for (g = 0; g < n_groups; g++) {
            cost += tables->nibble[g][differing & 15];
            differing >>= 4;
        }
        if (cost <= limit) {
            edge_put__scalar(hits, (*n_hits)++, i, cost);
        }
    }
    return i;
}

/* ---- Matryoshka heads ----------------------------------------------------------------------- */

#include "kernels_mrl.h"

static size_t edge_dot_i8__scalar(const int8_t *blocks, size_t n_groups, size_t begin, size_t end,
                                  const int8_t *query, uint32_t start, uint32_t limit,
                                  edge_hit *hits, size_t *n_hits, size_t want)
{
    uint32_t distances[EDGE_BLOCK_ROWS];
    size_t i, g, r;
    for (i = begin; i < end && *n_hits < want; i += EDGE_BLOCK_ROWS) {
        const int8_t *row = blocks + i * 4 * n_groups;
        const size_t left = end - i < EDGE_BLOCK_ROWS ? end - i : EDGE_BLOCK_ROWS;
        for (r = 0; r < EDGE_BLOCK_ROWS; r++) {
            distances[r] = start;
        }
        for (g = 0; g < n_groups; g++) {
            const int8_t *q = query + 4 * g;
            for (r = 0; r < EDGE_BLOCK_ROWS; r++, row += 4) {
                distances[r] += (uint32_t)(row[0] * q[0] + row[1] * q[1] + row[2] * q[2] +
                                           row[3] * q[3]);
            }
        }
        for (r = 0; r < left; r++) {
            if (distances[r] < limit) {
                edge_put__scalar(hits, (*n_hits)++, i + r, distances[r]);
            }
        }
    }
    return i < end ? i : end;
}

const edge_kernels edge_kernels__scalar = {
    "scalar",
    edge_available__scalar,
    edge_hamming_u32__scalar,
    edge_hamming_u64__scalar,
    edge_hamming_words__scalar,
    edge_soft_prepare__scalar,
    edge_soft_u32__scalar,
    edge_soft_u64__scalar,
    edge_mrl_accumulate__scalar,
    edge_mrl_affine__scalar,
    edge_mrl_max__scalar,
    edge_mrl_find__scalar,
    edge_mrl_sums__scalar,
    edge_dot_i8__scalar,
};
