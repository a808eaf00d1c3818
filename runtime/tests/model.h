/* Matryoshka heads as they are trained, and the .mrl files that any program would write of them. */
#ifndef EDGE_TESTS_MODEL_H
#define EDGE_TESTS_MODEL_H

#include "check.h"

enum { PANEL = 64, GROUP = 16 }; /* classes of a panel, and what it is padded to (FORMAT.md) */

/* A head as it is trained. */
typedef struct model {
    uint32_t n_classes, n_dims, dims[EDGE_MRL_MAX_DIMS];
    uint32_t tied, normalized;
    float scale;
    float *weights; /* tied: (n_classes, largest dim); else (n_classes, dim) for each dim in turn */
    float *biases;  /* (1 or n_dims, n_classes) */
} model;

static inline uint32_t n_blocks(const model *m) { return m->tied ? 1 : m->n_dims; }
static inline uint32_t depth_of(const model *m, uint32_t block) {
    return m->dims[m->tied ? m->n_dims - 1 : block];
}
static inline uint32_t dim_of(const model *m) { return m->dims[m->n_dims - 1]; }
static inline size_t padded(const model *m) {
    return (m->n_classes + GROUP - 1) / GROUP * GROUP;
}

static inline size_t n_weights(const model *m) {
    size_t n = 0;
    for (uint32_t i = 0; i < n_blocks(m); i++) n += (size_t)m->n_classes * depth_of(m, i);
    return n;
}

/* ---- the file, written as any program would ---------------------------------------------- */

/* Coordinates [begin, end) of a matrix (n_classes, depth), in panels; returns what is behind. */
static inline float *put_panels(const model *m, const float *matrix, uint32_t depth,
                                uint32_t begin, uint32_t end, float *out) {
    const size_t width = padded(m);
    for (size_t first = 0; first < width; first += PANEL)
        for (uint32_t d = begin; d < end; d++)
            for (size_t i = first; i < first + PANEL && i < width; i++)
                *out++ = i < m->n_classes ? matrix[i * depth + d] : 0.0f;
    return out;
}

static inline float *stored_weights(const model *m, size_t *size) {
    const size_t n = n_weights(m) / m->n_classes * padded(m);
    float *data = (float *)room(n * sizeof *data), *at = data;
    const float *matrix = m->weights;
    for (uint32_t i = 0; i < m->n_dims; i++) {
        if (m->tied) {
            at = put_panels(m, matrix, dim_of(m), i ? m->dims[i - 1] : 0, m->dims[i], at);
        } else {
            at = put_panels(m, matrix, m->dims[i], 0, m->dims[i], at);
            matrix += (size_t)m->n_classes * m->dims[i];
        }
    }
    CHECK(at == data + n);
    *size = n * sizeof *data;
    return data;
}

static inline float *stored_biases(const model *m, size_t *size) {
    const size_t width = padded(m);
    float *data = (float *)room(n_blocks(m) * width * sizeof *data);
    for (uint32_t row = 0; row < n_blocks(m); row++)
        for (size_t i = 0; i < width; i++)
            data[row * width + i] =
                i < m->n_classes ? m->biases[row * m->n_classes + i] : -EDGE_MRL_NEVER;
    *size = n_blocks(m) * width * sizeof *data;
    return data;
}

static inline void put_dims(writer *w, const model *m) {
    put_copy(w, EDGE_TAG_DIMS, 4, m->dims, m->n_dims * sizeof *m->dims);
}

static inline void put_head(writer *w, const model *m) {
    uint32_t *head = (uint32_t *)room(16);
    head[0] = m->tied;
    head[1] = m->normalized;
    memcpy(&head[2], &m->scale, sizeof m->scale);
    head[3] = 0;
    put(w, EDGE_TAG_HEAD, 4, head, 16);
}

enum { WITH_DIMS = 1, WITH_HEAD = 2, WITH_BIAS = 4, WITH_WEIGHTS = 8, WITH_ALL = 15 };

static inline void put_model(writer *w, const model *m, unsigned with) {
    size_t size;
    w->n = 0;
    if (with & WITH_DIMS) put_dims(w, m);
    if (with & WITH_HEAD) put_head(w, m);
    if (with & WITH_BIAS) {
        float *biases = stored_biases(m, &size);
        put(w, EDGE_TAG_BIAS, 4, biases, size);
    }
    if (with & WITH_WEIGHTS) {
        float *weights = stored_weights(m, &size);
        put(w, EDGE_TAG_WEIGHTS, 4, weights, size);
    }
}

static inline uint8_t *head_file(const model *m, size_t *size) {
    writer w;
    put_model(&w, m, WITH_ALL);
    return finish(&w, EDGE_KIND_HEAD, dim_of(m), m->n_classes, size);
}

/* ---- models ------------------------------------------------------------------------------ */

/* In [-2^shift, 2^shift). */
static inline float next_real(uint64_t *state, int shift) {
    const double unit = shift < 0 ? 1.0 / (1 << -shift) : 1 << shift;
    return (float)(((double)(next_word(state) >> 40) - 8388608.0) / 8388608.0 * unit);
}

static inline float *reals(uint64_t seed, int shift, size_t n) {
    float *values = (float *)room(n * sizeof *values);
    for (size_t i = 0; i < n; i++) values[i] = next_real(&seed, shift);
    return values;
}

static inline model random_model(uint32_t n_classes, uint32_t tied, uint32_t normalized) {
    static const uint32_t dims[] = {2, 8, 24};
    model m;
    memset(&m, 0, sizeof m);
    m.n_classes = n_classes;
    m.n_dims = sizeof dims / sizeof *dims;
    memcpy(m.dims, dims, sizeof dims);
    m.tied = tied;
    m.normalized = normalized;
    m.scale = normalized ? 10.0f : 1.0f;
    m.weights = reals(n_classes, 0, n_weights(&m));
    m.biases = reals(n_classes + 1, -2, n_blocks(&m) * n_classes);
    return m;
}

static inline void forget(model *m) {
    free(m->weights);
    free(m->biases);
}

/* ---- floats by their bits ----------------------------------------------------------------- */

static inline float as_float(uint32_t raw) {
    float value;
    memcpy(&value, &raw, sizeof value);
    return value;
}

static inline uint32_t as_raw(float value) {
    uint32_t raw;
    memcpy(&raw, &value, sizeof raw);
    return raw;
}

#endif /* EDGE_TESTS_MODEL_H */
