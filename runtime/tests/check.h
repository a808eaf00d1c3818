/*
 * What tests share: checks that count, buffers without a byte to spare, random
 * words, and files as any program would write them.
 */
#ifndef EDGE_TESTS_CHECK_H
#define EDGE_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_runtime.h"

static unsigned long n_checks, n_failures;
static const char *current = "";
/* Which statuses calls returned. */
static unsigned char seen[256];

#define CHECK(condition) check_((condition) != 0, #condition, __FILE__, __LINE__)

static inline void check_(int holds, const char *text, const char *file, int line) {
    n_checks++;
    if (holds) return;
    if (++n_failures <= 50)
        fprintf(stderr, "%s:%d: %.200s: %s\n", file, line, current, text);
}

#define EXPECT(status, call) expect_((status), (call), #call, __FILE__, __LINE__)

static inline void expect_(edge_status expected, edge_status got, const char *text,
                           const char *file, int line) {
    n_checks++;
    seen[got & 0xff] = 1;
    if (expected == got) return;
    if (++n_failures <= 50)
        fprintf(stderr, "%s:%d: %.200s: %s: expected \"%s\", got \"%s\"\n", file, line, current,
                text, edge_status_text(expected), edge_status_text(got));
}

/* Exactly `size` bytes, so that a sanitizer sees what goes beyond them. */
static inline void *room(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) abort();
    memset(memory, 0xa5, size); /* what a caller's memory holds by chance */
    return memory;
}

/* ---- random words ---------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea & Flood, OOPSLA 2014). */
static inline uint64_t next_word(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static uint64_t random_state = 1;

/* Of 1 to 64 bits; the same words on every machine. */
static inline uint64_t random_word(uint32_t bits) {
    return next_word(&random_state) >> (64 - bits);
}

/* ---- files --------------------------------------------------------------------------- */

typedef struct writer {
    edge_section sections[EDGE_MAX_SECTIONS];
    uint8_t *data[EDGE_MAX_SECTIONS];
    uint32_t n;
} writer;

/* Takes over `data`, which malloc gave. */
static inline void put(writer *w, uint32_t tag, uint32_t width, void *data, size_t size) {
    edge_section *section = &w->sections[w->n];
    edge_digest digest;
    edge_digest_start(&digest);
    edge_digest_add(&digest, (const uint8_t *)data, size);
    section->tag = tag;
    section->width = width;
    section->offset = 0;
    section->size = size;
    section->digest = edge_digest_value(&digest);
    w->data[w->n++] = (uint8_t *)data;
}

static inline void put_copy(writer *w, uint32_t tag, uint32_t width, const void *data,
                            size_t size) {
    void *copy = room(size);
    if (size) memcpy(copy, data, size);
    put(w, tag, width, copy, size);
}

/* Returns the file's bytes, which free() takes, and their number. */
static inline uint8_t *finish(writer *w, edge_kind kind, uint32_t bits, uint64_t n, size_t *size) {
    const size_t head_size = edge_file_head_size(w->n);
    uint8_t *head = (uint8_t *)room(head_size), *file;
    uint64_t file_size = 0;
    EXPECT(EDGE_OK, edge_file_write_head(kind, bits, n, w->sections, w->n, head, head_size,
                                        &file_size));
    *size = (size_t)file_size;
    file = (uint8_t *)room(*size);
    memset(file, 0, *size);
    memcpy(file, head, head_size);
    for (uint32_t i = 0; i < w->n; i++) {
        CHECK(w->sections[i].offset % EDGE_ALIGNMENT == 0);
        memcpy(file + w->sections[i].offset, w->data[i], (size_t)w->sections[i].size);
        free(w->data[i]);
    }
    free(head);
    return file;
}

/* Where a head keeps its version and its digest (FORMAT.md). */
enum { AT_VERSION = 8, AT_DIGEST = 56, HEAD = 64 };

/* Make the digest of head and table right again. */
static inline void seal(uint8_t *bytes, uint32_t n_sections) {
    edge_digest digest;
    uint64_t value;
    edge_digest_start(&digest);
    edge_digest_add(&digest, bytes, AT_DIGEST);
    edge_digest_add(&digest, bytes + HEAD, edge_file_head_size(n_sections) - HEAD);
    value = edge_digest_value(&digest);
    memcpy(bytes + AT_DIGEST, &value, sizeof value);
}

#endif /* EDGE_TESTS_CHECK_H */
