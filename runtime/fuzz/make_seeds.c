/* Write the fuzzers' first inputs: make_seeds FOLDER. Small .llc and .vec files, and recipes. */
#include "sample.h"

enum { MAX_WORDS = 512 };

static uint64_t next_random(uint64_t *state) {
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void write_file(const char *folder, const char *name, const uint8_t *bytes, size_t size) {
    char path[1024];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    REQUIRE(file);
    REQUIRE(fwrite(bytes, 1, size, file) == size);
    REQUIRE(fclose(file) == 0);
}

static void write_sample(const char *folder, const char *name, edge_kind kind, uint32_t bits,
                         uint32_t n, uint32_t with, int calibrated, int with_ids) {
    uint64_t words[MAX_WORDS], ids[MAX_WORDS], state = bits;
    float calibration[128];
    sample s;
    size_t size;
    uint8_t *file;
    for (uint32_t i = 0; i < n * words_per_code(bits); i++)
        words[i] = next_random(&state) >> (bits < 64 ? 64 - bits : 0);
    for (uint32_t i = 0; i < n; i++) ids[i] = 1000 + i;
    for (uint32_t i = 0; i < 128; i++) calibration[i] = (float)(i % 7) / 4;
    s.kind = kind;
    s.bits = bits;
    s.n = n;
    s.with = with;
    s.words = words;
    s.calibration = calibrated ? calibration : NULL;
    s.ids = with_ids ? ids : NULL;
    file = sample_build(&s, &size);
    write_file(folder, name, file, size);
    free(file);
}

/* A .vec file; free() takes it. */
static uint8_t *build_vectors(uint32_t n, uint32_t prefix_dim, uint32_t dim, int with_more,
                              size_t *size) {
    float rows[MAX_WORDS];
    int8_t codes[MAX_WORDS];
    uint64_t ids[MAX_WORDS], state = n;
    vec_sample s;
    memset(&s, 0, sizeof s);
    for (uint32_t i = 0; i < n * dim; i++) {
        const uint8_t byte = (uint8_t)next_random(&state);
        rows[i] = (float)(byte - 128) / 32;
        if (i % dim < prefix_dim) codes[i / dim * prefix_dim + i % dim] = (int8_t)(byte - 128);
    }
    for (uint32_t i = 0; i < n; i++) ids[i] = 1000 + i;
    s.n = n;
    s.prefix_dim = prefix_dim;
    s.dims[s.n_dims++] = prefix_dim;
    if (dim > prefix_dim) s.dims[s.n_dims++] = dim;
    s.rows = rows;
    s.codes = codes;
    s.ids = with_more ? ids : NULL;
    s.with_note = with_more;
    return vec_sample_build(&s, size);
}

static void write_vectors(const char *folder, const char *name, uint32_t n, uint32_t prefix_dim,
                          uint32_t dim, int with_more) {
    size_t size;
    uint8_t *file = build_vectors(n, prefix_dim, dim, with_more, &size);
    write_file(folder, name, file, size);
    free(file);
}

/*
 * Five rows of dims 1 and 2, and a lie: a word of the file is another, or its end is missing.
 * The fuzzer mends the digests, so that only the check meant for it can tell; the first byte
 * of the head's own digest says whether to mend the layout too.
 */
static void write_lie(const char *folder, const char *name, size_t at, uint64_t word,
                      size_t missing) {
    size_t size;
    uint8_t *file = build_vectors(5, 1, 2, 0, &size);
    if (missing == 0) memcpy(file + at, &word, sizeof word);
    file[56] = missing != 0;
    write_file(folder, name, file, size - missing);
    free(file);
}

int main(int argc, char **argv) {
    const edge_kind classes = EDGE_KIND_CLASSES, instances = EDGE_KIND_INSTANCES;
    const uint32_t decoders = WITH_CODES | WITH_EXACT;
    const char *to = argv[1];
    REQUIRE(argc == 2);
    write_sample(to, "class_1", classes, 1, 2, decoders | WITH_NEAREST | WITH_FILTER, 0, 0);
    write_sample(to, "class_8", classes, 8, 100, decoders | WITH_NEAREST | WITH_MULTI, 0, 0);
    write_sample(to, "class_10", classes, 10, 20, decoders | WITH_NEAREST | WITH_FILTER, 1, 0);
    write_sample(to, "class_20", classes, 20, 30, decoders | WITH_NOTE, 1, 0);
    write_sample(to, "class_20_crowded", classes, 20, 500, WITH_EXACT, 0, 0);
    write_sample(to, "class_24", classes, 24, 12, decoders | WITH_FILTER, 0, 0);
    write_sample(to, "class_33", classes, 33, 50, decoders | WITH_MULTI, 0, 0);
    write_sample(to, "class_63", classes, 63, 9, decoders | WITH_FILTER, 0, 0);
    write_sample(to, "class_64", classes, 64, 40, decoders | WITH_FILTER | WITH_MULTI, 0, 0);
    write_sample(to, "class_none", classes, 16, 0, WITH_NOTE, 0, 0);
    write_sample(to, "instance_32", instances, 32, 70, WITH_CODES, 0, 0);
    write_sample(to, "instance_64", instances, 64, 40, WITH_CODES | WITH_NOTE, 0, 1);
    write_sample(to, "instance_128", instances, 128, 20, WITH_CODES, 0, 1);
    write_sample(to, "instance_256", instances, 256, 20, WITH_CODES, 0, 0);
    write_vectors(to, "vectors_none", 0, 2, 4, 1);
    write_vectors(to, "vectors_1", 1, 5, 5, 0);
    write_vectors(to, "vectors_40", 40, 3, 8, 1);
    write_vectors(to, "vectors_130", 130, 1, 3, 0);
    write_lie(to, "vectors_missing", 0, 0, 4);
    write_lie(to, "vectors_one_more", 24, 6, 0);                     /* n */
    write_lie(to, "vectors_shrink", 192, 4 | (uint64_t)4 << 32, 0); /* the prefix, the first dim */
    write_lie(to, "vectors_too_long", 200, 9, 0);                    /* the last dim */
    for (int i = 0; i < 16; i++) {
        uint8_t recipe[40];
        char name[32];
        uint64_t state = (uint64_t)i;
        for (size_t j = 0; j < sizeof recipe; j++) recipe[j] = (uint8_t)next_random(&state);
        snprintf(name, sizeof name, "recipe_%d", i);
        write_file(to, name, recipe, sizeof recipe);
    }
    return 0;
}
