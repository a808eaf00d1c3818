/*
 * What a test by the public header needs: checks that count, buffers without a
 * byte to spare, files as any program would write them, and the vectors.
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

static void check_(int holds, const char *text, const char *file, int line) {
    n_checks++;
    if (holds) return;
    if (++n_failures <= 50)
        fprintf(stderr, "%s:%d: %.200s: %s\n", file, line, current, text);
}

#define EXPECT(status, call) expect_((status), (call), #call, __FILE__, __LINE__)

static void expect_(edge_status expected, edge_status got, const char *text, const char *file,
                    int line) {
    n_checks++;
    seen[got & 0xff] = 1;
    if (expected == got) return;
    if (++n_failures <= 50)
        fprintf(stderr, "%s:%d: %.200s: %s: expected \"%s\", got \"%s\"\n", file, line, current,
                text, edge_status_text(expected), edge_status_text(got));
}

/* Exactly `size` bytes, so that a sanitizer sees what goes beyond them. */
static void *room(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) abort();
    memset(memory, 0xa5, size); /* what a caller's memory holds by chance */
    return memory;
}

/* ---- files --------------------------------------------------------------------------- */

typedef struct writer {
    edge_section sections[EDGE_MAX_SECTIONS];
    uint8_t *data[EDGE_MAX_SECTIONS];
    uint32_t n;
} writer;

/* Takes over `data`, which malloc gave. */
static void put(writer *w, uint32_t tag, uint32_t width, void *data, size_t size) {
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

/* Returns the file's bytes, which free() takes, and their number. */
static uint8_t *finish(writer *w, edge_kind kind, uint32_t bits, uint64_t n, size_t *size) {
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
        memcpy(file + w->sections[i].offset, w->data[i], (size_t)w->sections[i].size);
        free(w->data[i]);
    }
    free(head);
    return file;
}

#endif /* EDGE_TESTS_CHECK_H */
