/* FastGRNN cells: what fastgrnn.c wants of each instruction set. */
#ifndef EDGE_FASTGRNN_H
#define EDGE_FASTGRNN_H

#include "bytes.h"
#include "edge_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The rows of a matrix are filled up to so many outputs with zeros, ... */
static inline size_t edge_fastgrnn_width(size_t n) { return edge_align(n, 8); }
/* ... and vectors of them to so many numbers. */
static inline size_t edge_fastgrnn_lanes(size_t n) { return edge_align(n, 16); }

/* The output that the j-th value of a sparse factor belongs to. */
static inline uint32_t edge_fastgrnn_index(const edge_factor *f, uint32_t j) {
    return f->n_out > 256 ? f->indices[2 * (size_t)j] | (uint32_t)f->indices[2 * (size_t)j + 1] << 8
                          : f->indices[j];
}

/* y[j] = the sum over d of x[d] w[d * n_out + j]; n_in a multiple of 2, n_out of 8. */
typedef void edge_fastgrnn_product_fn(const float *w, const float *x, size_t n_in, size_t n_out,
                                      float *y);
/* h = the next state, of wx + uh and the state h. */
typedef void edge_fastgrnn_update_fn(const edge_fastgrnn *cell, const float *wx, const float *uh,
                                     float *h);

/* Whether no number is NaN or infinite. */
typedef int edge_fastgrnn_finite_fn(const float *x, size_t n);
/* Features less their means, times their scales; the cell has them. */
typedef void edge_fastgrnn_normalize_fn(const edge_fastgrnn *cell, const float *x, float *to);

typedef struct edge_fastgrnn_kernels {
    edge_fastgrnn_product_fn *product;
    edge_fastgrnn_update_fn *update;
    edge_fastgrnn_finite_fn *finite;
    edge_fastgrnn_normalize_fn *normalize;
} edge_fastgrnn_kernels;

#define EDGE_KERNEL(isa) extern const edge_fastgrnn_kernels edge_fastgrnn__##isa;
#include "kernels.def"
#undef EDGE_KERNEL

#ifdef __cplusplus
}
#endif

#endif /* EDGE_FASTGRNN_H */
