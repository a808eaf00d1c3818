/*
 * What each instruction set does in its own way, behind one table.
 *
 * A kernel finds candidates and nothing else: who wins, and how ties fall, is
 * decided by its caller in plain integers, so that every processor gives the
 * same answers. The kernels are listed once, in kernels.def.
 */
#ifndef EDGE_KERNELS_H
#define EDGE_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "edge_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Most codes that a kernel looks at in one step: the room beyond `want` in `hits`. */
#define EDGE_KERNEL_STEP 64

/* Weights of 64 bits, tabulated for a soft scan: what it costs to differ there. */
typedef struct edge_soft_tables {
    uint32_t nibble[16][16]; /* [g][m]: sum of the weights of the set bits of m, bits 4g..4g+3 */
    uint32_t triple[22][8];  /* the same for bits 3g..3g+2 */
    uint32_t n_bits;
} edge_soft_tables;

/*
 * The scans. Look at codes[begin..end), in order, and append to `hits`, at
 * *n_hits and in ascending order of id, every code below `limit` (Hamming:
 * distance < limit) or not above it (soft: cost <= limit). Stop after the step
 * in which *n_hits reaches `want`; `hits` has room for want + EDGE_KERNEL_STEP.
 * Return the index up to which codes were looked at.
 *
 * Hamming: hits[].distance is the distance. Soft: the cost, a sum of at most
 * 64 table entries that the caller keeps below 2^32; `query` is the word whose
 * differing bits cost.
 */
typedef size_t edge_hamming_u32_fn(const uint32_t *codes, size_t begin, size_t end, uint32_t query,
                                   uint32_t limit, edge_hit *hits, size_t *n_hits, size_t want);
typedef size_t edge_hamming_u64_fn(const uint64_t *codes, size_t begin, size_t end, uint64_t query,
                                   uint32_t limit, edge_hit *hits, size_t *n_hits, size_t want);
/* Codes of `n_words` (2 or 4) 64-bit words each. */
typedef size_t edge_hamming_words_fn(const uint64_t *codes, size_t n_words, size_t begin,
                                     size_t end, const uint64_t *query, uint32_t limit,
                                     edge_hit *hits, size_t *n_hits, size_t want);
typedef size_t edge_soft_u32_fn(const uint32_t *codes, size_t begin, size_t end, uint32_t query,
                                const edge_soft_tables *tables, uint32_t limit, edge_hit *hits,
                                size_t *n_hits, size_t want);
typedef size_t edge_soft_u64_fn(const uint64_t *codes, size_t begin, size_t end, uint64_t query,
                                const edge_soft_tables *tables, uint32_t limit, edge_hit *hits,
                                size_t *n_hits, size_t want);
/*
 * Rows of int8, 64 to a block, four dims of all of them at a time: dim d of row
 * i is byte ((i / 64 * n_groups + d / 4) * 64 + i % 64) * 4 + d % 4. The
 * distance is `start` plus the dot product with `query`, modulo 2^32, a hit
 * where below `limit`. `begin` is a multiple of 64; the last block is whole,
 * whatever `end` is. `query` holds 4 * n_groups values from -127 to 127.
 */
#define EDGE_BLOCK_ROWS 64
typedef size_t edge_dot_i8_fn(const int8_t *blocks, size_t n_groups, size_t begin, size_t end,
                              const int8_t *query, uint32_t start, uint32_t limit, edge_hit *hits,
                              size_t *n_hits, size_t want);
/* Fill `tables` from weights[0..n_bits); bits from n_bits on cost nothing. */
typedef void edge_soft_prepare_fn(const uint32_t *weights, uint32_t n_bits,
                                  edge_soft_tables *tables);

/*
 * Matryoshka heads. Classes come in panels of up to EDGE_MRL_PANEL, a multiple of
 * 16 of them; `n` is a multiple of 16 too, and all floats are finite. Every
 * instruction set gives the same bits (kernels_mrl.h).
 */
#define EDGE_MRL_PANEL 64
#define EDGE_MRL_LEAST (-87.0f) /* exponents below it count as this: e^-87 is no denormal */

/* acc[j] += sum over d < n_dims of x[d] * w[d * width + j], for j < width. */
typedef void edge_mrl_accumulate_fn(const float *w, const float *x, size_t n_dims, size_t width,
                                    float *acc);
/* logits[j] = acc[j] * factor + bias[j]; return the largest. */
typedef float edge_mrl_affine_fn(const float *acc, const float *bias, float factor, size_t n,
                                 float *logits);
typedef float edge_mrl_max_fn(const float *logits, size_t n);
/* The first j whose logit is `value`; n if there is none. */
typedef size_t edge_mrl_find_fn(const float *logits, size_t n, float value);
/* With x = logit - max: the sums of e^x and of x e^x. */
typedef void edge_mrl_sums_fn(const float *logits, size_t n, float max, float sums[2]);

typedef struct edge_kernels {
    const char *isa;
    int (*available)(void); /* whether this processor, and its system, can run them */
    edge_hamming_u32_fn *hamming_u32;
    edge_hamming_u64_fn *hamming_u64;
    edge_hamming_words_fn *hamming_words;
    edge_soft_prepare_fn *soft_prepare;
    edge_soft_u32_fn *soft_u32;
    edge_soft_u64_fn *soft_u64;
    edge_mrl_accumulate_fn *mrl_accumulate;
    edge_mrl_affine_fn *mrl_affine;
    edge_mrl_max_fn *mrl_max;
    edge_mrl_find_fn *mrl_find;
    edge_mrl_sums_fn *mrl_sums;
    edge_dot_i8_fn *dot_i8;
} edge_kernels;

#define EDGE_KERNEL(isa) extern const edge_kernels edge_kernels__##isa;
#include "kernels.def"
#undef EDGE_KERNEL

/* The kernels in use: the best available ones, chosen once at start. Never NULL. */
const edge_kernels *edge_kernels_active(void);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_KERNELS_H */
