/* What a fuzzer's bytes mean: numbers without end, or a file with its digests mended. */
#ifndef EDGE_FUZZ_STEER_H
#define EDGE_FUZZ_STEER_H

#include "sample.h"

/* Never ends: from the second lap on, the bytes are changed by the lap's number. */
typedef struct cursor {
    const uint8_t *bytes;
    size_t size, at;
} cursor;

static inline cursor cursor_on(const uint8_t *bytes, size_t size) {
    cursor c;
    c.bytes = bytes;
    c.size = size;
    c.at = 0;
    return c;
}

static inline uint8_t draw8(cursor *c) {
    const size_t lap = c->size ? c->at / c->size : 0;
    const uint8_t byte = c->size ? c->bytes[c->at % c->size] : 0;
    c->at++;
    return (uint8_t)(byte + lap * 151);
}

static inline uint64_t draw(cursor *c, uint32_t n_bytes) {
    uint64_t value = 0;
    while (n_bytes--) value = value << 8 | draw8(c);
    return value;
}

/* From -4 on, below 4, exact in few bits. */
static inline float draw_real(cursor *c) { return (float)((int)draw8(c) - 128) / 32; }

/* Any at all, also NaN. */
static inline float draw_any(cursor *c) {
    const uint32_t raw = (uint32_t)draw(c, 4);
    float value;
    memcpy(&value, &raw, sizeof value);
    return value;
}

/* Asked once: to ask a processor what it can run is slow, in a virtual machine above all. */
static inline size_t isa_count(void) {
    static size_t count;
    if (count == 0) count = edge_isa_count();
    return count;
}

static inline void use_isa(size_t i) {
    static const char *names[8];
    REQUIRE(i < sizeof names / sizeof *names);
    if (!names[i]) names[i] = edge_isa_name(i);
    REQUIRE(edge_isa_use(names[i]) == EDGE_OK);
}

/* ---- files --------------------------------------------------------------------------- */

enum { HEAD = 64, ENTRY = 32, AT_SECTIONS = 20, AT_SIZE = 32, AT_DIGEST = 56 }; /* FORMAT.md */

static inline uint64_t word_at(const uint8_t *at, uint32_t n_bytes) {
    uint64_t word = 0;
    memcpy(&word, at, n_bytes);
    return word;
}

static inline void put64(uint8_t *at, uint64_t value) { memcpy(at, &value, 8); }

static inline uint64_t digest_of(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    edge_digest digest;
    edge_digest_start(&digest);
    edge_digest_add(&digest, a, a_size);
    edge_digest_add(&digest, b, b_size);
    return edge_digest_value(&digest);
}

/* Make the digests right; with `layout` also offsets, sizes and gaps, as far as they go. */
static inline void mend(uint8_t *file, size_t size, int layout) {
    const uint32_t n_sections = (uint32_t)word_at(file + AT_SECTIONS, 4);
    size_t end = HEAD + (size_t)(n_sections & 31) * ENTRY;
    if (n_sections > EDGE_MAX_SECTIONS || end > size) return;
    for (uint32_t i = 0; i < n_sections; i++) {
        uint8_t *entry = file + HEAD + (size_t)i * ENTRY;
        if (layout) {
            const size_t begin = (end + 63) / 64 * 64 < size ? (end + 63) / 64 * 64 : size;
            const uint64_t asked = word_at(entry + 16, 8);
            const size_t left = size - begin;
            memset(file + end, 0, begin - end);
            put64(entry + 8, begin);
            put64(entry + 16, asked > left || i + 1 == n_sections ? left : asked);
        }
        const uint64_t begin = word_at(entry + 8, 8), length = word_at(entry + 16, 8);
        if (begin > size || length > size - begin) continue;
        put64(entry + 24, digest_of(file + begin, (size_t)length, NULL, 0));
        end = (size_t)(begin + length);
    }
    if (layout) put64(file + AT_SIZE, size);
    put64(file + AT_DIGEST,
          digest_of(file, AT_DIGEST, file + HEAD, (size_t)n_sections * ENTRY));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifdef EDGE_FUZZ_MAIN
int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        REQUIRE(file && fseek(file, 0, SEEK_END) == 0);
        const long size = ftell(file);
        REQUIRE(size >= 0 && fseek(file, 0, SEEK_SET) == 0);
        uint8_t *bytes = (uint8_t *)room((size_t)size);
        REQUIRE(fread(bytes, 1, (size_t)size, file) == (size_t)size);
        fclose(file);
        LLVMFuzzerTestOneInput(bytes, (size_t)size);
        free(bytes);
    }
    printf("replayed %d inputs on %d instruction sets\n", argc - 1, (int)isa_count());
    return argc > 1 ? 0 : 2;
}
#endif

#endif /* EDGE_FUZZ_STEER_H */
