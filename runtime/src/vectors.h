/* Matryoshka vectors: their scores, and keeping the best of many. */
#ifndef EDGE_VECTORS_H
#define EDGE_VECTORS_H

#include "bytes.h"
#include "edge_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Here `distance` of a hit is any number of which less is better: of the int8
 * scan an offset minus the dot product, elsewhere that of a score, below.
 */

/* Keep the k best in the order they came, of equals the first; return the distance of the last. */
uint32_t edge_keep_best(edge_hit *hits, size_t *n, size_t k);

/* Sort by distance, or by id (below 2^32), keeping the order of equals. `spare` has room for n. */
void edge_sort_hits(edge_hit *hits, size_t n, int by_id, edge_hit *spare);

/* 1 / sqrt(x) within 2 units in the last place; 0 for what has no such root, or is not finite. */
double edge_inverse_root(double x);

/* The dot product of the first `dim` coordinates, and the square of the norm of those of `a`. */
double edge_dot(const float *a, const float *b, size_t dim, double *square);

/* The cosine, rounded to float, as a distance; and back. One that is no number is the farthest. */
uint32_t edge_distance_of(double cosine);
float edge_score_of(uint32_t distance);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_VECTORS_H */
