/* Small files, built through the public header: for the fuzzers and their seeds. */
#ifndef EDGE_FUZZ_SAMPLE_H
#define EDGE_FUZZ_SAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge_runtime.h"

/* Say what does not hold and stop, so that a fuzzer keeps the input. */
#define REQUIRE(condition) ((condition) ? (void)0 : broken(#condition, __FILE__, __LINE__))

static inline void broken(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

/* Exactly `size` bytes, so that a sanitizer sees what goes beyond them; not zeroed. */
static inline void *room(size_t size) {
    void *memory = malloc(size ? size : 1);
    REQUIRE(memory);
    memset(memory, 0xa5, size);
    return memory;
}

/* The sections of a file to be: each of its data comes from malloc. */
typedef struct parts {
    edge_section sections[EDGE_MAX_SECTIONS];
    uint8_t *data[EDGE_MAX_SECTIONS];
    uint32_t n;
} parts;

static inline uint8_t *add_part(parts *p, uint32_t tag, uint32_t width, size_t size) {
    p->data[p->n] = (uint8_t *)room(size);
    p->sections[p->n].tag = tag;
    p->sections[p->n].width = width;
    p->sections[p->n].size = size;
    return p->data[p->n++];
}

static inline void add_copy(parts *p, uint32_t tag, uint32_t width, const void *bytes,
                            size_t size) {
    memcpy(add_part(p, tag, width, size), bytes, size);
}

/* Head, then each section at its offset; zero between them. */
static inline uint8_t *join(parts *p, edge_kind kind, uint32_t bits, uint64_t n,
                            size_t *file_size) {
    const size_t head_size = edge_file_head_size(p->n);
    uint8_t *head = (uint8_t *)room(head_size), *file;
    uint64_t size = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        edge_digest digest;
        edge_digest_start(&digest);
        edge_digest_add(&digest, p->data[i], (size_t)p->sections[i].size);
        p->sections[i].digest = edge_digest_value(&digest);
    }
    REQUIRE(edge_file_write_head(kind, bits, n, p->sections, p->n, head, head_size, &size) ==
            EDGE_OK);
    file = (uint8_t *)room((size_t)size);
    memset(file, 0, (size_t)size);
    memcpy(file, head, head_size);
    for (uint32_t i = 0; i < p->n; i++) {
        memcpy(file + p->sections[i].offset, p->data[i], (size_t)p->sections[i].size);
        free(p->data[i]);
    }
    free(head);
    *file_size = (size_t)size;
    return file;
}

/* ---- .llc: codes -------------------------------------------------------------------- */

enum {
    WITH_CODES = 1,
    WITH_EXACT = 2,
    WITH_FILTER = 4,
    WITH_NEAREST = 8,
    WITH_MULTI = 16,
    WITH_NOTE = 32 /* a section that readers may ignore */
};

typedef struct sample {
    edge_kind kind;
    uint32_t bits, n;
    uint32_t with;            /* sections */
    const uint64_t *words;    /* (n, words of a code) */
    const float *calibration; /* (2, bits), or NULL */
    const uint64_t *ids;      /* (n), or NULL */
} sample;

static inline uint32_t words_per_code(uint32_t bits) { return bits <= 64 ? 1 : bits / 64; }

static inline void add_exact(parts *p, const sample *s) {
    const size_t size = edge_exact_size(s->n, s->bits);
    const size_t workspace_size = edge_exact_workspace_size(s->n);
    uint8_t *data = add_part(p, EDGE_TAG_EXACT, 1, size);
    void *workspace = room(workspace_size);
    uint32_t twins[2];
    size_t written = 0;
    REQUIRE(edge_exact_build(s->words, s->n, s->bits, 1, data, size, &written, workspace,
                             workspace_size, twins) == EDGE_OK);
    REQUIRE(written <= size);
    p->sections[p->n - 1].size = written;
    free(workspace);
}

static inline void add_nearest(parts *p, const sample *s) {
    const size_t size = edge_nearest_size(s->n, s->bits);
    const size_t workspace_size = edge_nearest_workspace_size(s->bits);
    uint8_t *data = add_part(p, EDGE_TAG_NEAREST, (uint32_t)(size >> s->bits), size);
    uint8_t *workspace = (uint8_t *)room(workspace_size);
    REQUIRE(edge_nearest_build(s->words, s->n, s->bits, data, size, workspace, workspace_size) ==
            EDGE_OK);
    free(workspace);
}

static inline void add_codes(parts *p, const sample *s) {
    const uint32_t width = s->bits <= 32 ? 4 : words_per_code(s->bits) * 8;
    uint8_t *data = add_part(p, EDGE_TAG_CODES, width, (size_t)s->n * width);
    for (uint32_t i = 0; i < s->n; i++) /* little-endian: the low bytes come first */
        memcpy(data + (size_t)i * width, s->words + (size_t)i * words_per_code(s->bits), width);
}

/* Build a file; free() takes it. Equal codes keep the lowest id. */
static inline uint8_t *sample_build(const sample *s, size_t *size) {
    parts p;
    memset(&p, 0, sizeof p);
    if (s->n && s->with & WITH_EXACT) add_exact(&p, s);
    if (s->n && s->with & WITH_FILTER) {
        const size_t filter_size = edge_filter_size(s->n, s->bits);
        uint8_t *data = add_part(&p, EDGE_TAG_FILTER, 1, filter_size);
        REQUIRE(edge_filter_build(s->words, s->n, s->bits, data, filter_size) == EDGE_OK);
    }
    if (s->n && s->with & WITH_NEAREST) add_nearest(&p, s);
    if (s->n && s->with & WITH_MULTI) {
        const size_t multi_size = edge_multi_size(s->n, s->bits);
        uint8_t *data = add_part(&p, EDGE_TAG_MULTI, 1, multi_size);
        REQUIRE(edge_multi_build(s->words, s->n, s->bits, data, multi_size) == EDGE_OK);
    }
    if (s->with & WITH_CODES) add_codes(&p, s);
    if (s->calibration)
        add_copy(&p, EDGE_TAG_CALIBRATION, 4, s->calibration, (size_t)s->bits * 8);
    if (s->ids) add_copy(&p, EDGE_TAG_IDS, 8, s->ids, (size_t)s->n * 8);
    if (s->with & WITH_NOTE) add_copy(&p, EDGE_TAG('n', 'o', 't', 'e'), 1, "{}", 2);
    return join(&p, s->kind, s->bits, s->n, size);
}

/* ---- .vec: Matryoshka vectors ------------------------------------------------------- */

typedef struct vec_sample {
    uint32_t n, prefix_dim, n_dims, dims[EDGE_MAX_DIMS];
    const float *rows;   /* (n, largest dim) */
    const int8_t *codes; /* (n, prefix_dim) */
    const uint64_t *ids; /* (n), or NULL */
    int with_note;
} vec_sample;

/* Build a file; free() takes it. */
static inline uint8_t *vec_sample_build(const vec_sample *s, size_t *size) {
    const uint32_t dim = s->dims[s->n_dims - 1];
    const size_t groups = ((size_t)s->prefix_dim + 3) / 4; /* of four dims */
    const size_t prefix_size = ((size_t)s->n + 63) / 64 * 64 * 4 * groups;
    uint8_t *dims, *prefix;
    parts p;
    memset(&p, 0, sizeof p);
    dims = add_part(&p, EDGE_TAG_DIMS, 4, 4 + (size_t)s->n_dims * 4);
    memcpy(dims, &s->prefix_dim, 4);
    memcpy(dims + 4, s->dims, (size_t)s->n_dims * 4);
    prefix = add_part(&p, EDGE_TAG_PREFIX, 1, prefix_size);
    memset(prefix, 0, prefix_size);
    for (size_t i = 0; i < s->n; i++)
        for (size_t d = 0; d < s->prefix_dim; d++)
            prefix[((i / 64 * groups + d / 4) * 64 + i % 64) * 4 + d % 4] =
                (uint8_t)s->codes[i * s->prefix_dim + d];
    add_copy(&p, EDGE_TAG_VECTORS, 4, s->rows, (size_t)s->n * dim * 4);
    if (s->ids) add_copy(&p, EDGE_TAG_IDS, 8, s->ids, (size_t)s->n * 8);
    if (s->with_note) add_copy(&p, EDGE_TAG('n', 'o', 't', 'e'), 1, "{}", 2);
    return join(&p, EDGE_KIND_VECTORS, dim, s->n, size);
}

#endif /* EDGE_FUZZ_SAMPLE_H */
