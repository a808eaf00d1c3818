/*
 * The two tables of exact decode, and what they share.
 *
 * Both store quotients: a word is mixed by a bijection, one part of the result
 * says where it lies and is not stored again, the rest is stored, as the proof.
 * What that saves pays for the id. The perfect table needs words far apart
 * (2^bits above some 4 n^2) and finds them in one place; the cuckoo table takes any.
 */
#ifndef EDGE_EXACT_H
#define EDGE_EXACT_H

#include "llc.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { EDGE_EXACT_PERFECT = 1, EDGE_EXACT_CUCKOO = 2 };
enum { EDGE_EXACT_AHEAD = 64 }; /* words decoded at once, so that their cache misses overlap */

size_t edge_perfect_size(uint32_t n, uint32_t bits);
size_t edge_perfect_workspace_size(uint32_t n);
edge_status edge_perfect_build(const uint64_t *codes, uint32_t n, uint32_t bits, int keep_lowest,
                               uint8_t *out, size_t *written, void *workspace, uint32_t twins[2]);
int edge_perfect_parse(const uint8_t *at, uint64_t size, edge_llc *file);
uint32_t edge_perfect_find(const edge_llc *file, uint64_t word);
void edge_perfect_prefetch(const edge_llc *file, uint64_t word);
void edge_perfect_decode(const edge_llc *file, const uint64_t *words, size_t count, uint32_t *ids);

size_t edge_cuckoo_size(uint32_t n, uint32_t bits);
size_t edge_cuckoo_workspace_size(uint32_t n);
edge_status edge_cuckoo_build(const uint64_t *codes, uint32_t n, uint32_t bits, int keep_lowest,
                              uint8_t *out, size_t *written, void *workspace, uint32_t twins[2]);
int edge_cuckoo_parse(const uint8_t *at, uint64_t size, edge_llc *file);
uint32_t edge_cuckoo_find(const edge_llc *file, uint64_t word);
void edge_cuckoo_prefetch(const edge_llc *file, uint64_t word);
void edge_cuckoo_decode(const edge_llc *file, const uint64_t *words, size_t count, uint32_t *ids);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_EXACT_H */
