/* What the files of the core share about an opened .llc. */
#ifndef EDGE_LLC_H
#define EDGE_LLC_H

#include "bytes.h"
#include "container.h"
#include "edge_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The widths in which codes of `bits` bits are stored; 0 if `bits` is out of range. */
uint32_t edge_code_width(uint32_t kind, uint32_t bits);

/* The geometry of an EXACT section (exact.c); nonzero if `size` bytes hold it soundly. */
int edge_exact_parse(const uint8_t *section, uint64_t size, edge_llc *file);
/* Whether the offsets of a MULTI section stay inside it (multi.c). */
int edge_multi_parse(const uint8_t *section, uint64_t size, const edge_llc *file);

/* The id of one word known to fit the width; EDGE_NONE on a miss. Needs EXACT. */
uint32_t edge_exact_find(const edge_llc *file, uint64_t word);
/* Ask the cache for what edge_exact_find will read. */
void edge_exact_prefetch(const edge_llc *file, uint64_t word);

/* The bit of a FILTER of 2^filter_bits bits that stands for `word`. */
uint64_t edge_filter_bit(uint64_t word, uint32_t bits, uint32_t filter_bits);

/* The id in the table of all words; out of range only where a file lies about itself. */
static inline uint32_t edge_nearest_at(const edge_llc *file, uint64_t word) {
    uint16_t narrow;
    if (file->nearest_width == 4) return edge_load32(file->nearest + (size_t)word * 4);
    memcpy(&narrow, file->nearest + (size_t)word * 2, 2);
    return narrow;
}

/* The code of a class of at most 64 bits. Needs CODES. */
static inline uint64_t edge_code_at(const edge_llc *file, uint64_t id) {
    return file->code_width == 4 ? edge_load32(file->codes + id * 4)
                                 : edge_load64(file->codes + id * 8);
}

/* Nonzero if every word fits `bits` bits. */
int edge_words_fit(const uint64_t *words, size_t n_words, uint32_t bits);

/*
 * The two nearest classes to a word, by multi-index hashing, among codes closer
 * than `proven` by construction; returns that bound: a distance below it is exact.
 */
uint32_t edge_multi_nearest(const edge_llc *file, uint64_t word, edge_nearest *nearest);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_LLC_H */
