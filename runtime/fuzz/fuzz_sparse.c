/*
 * Fuzzing of packed sparse weights, and of all that is computed with them.
 *
 * Bytes that begin as packed weights are opened as they are, then with the head's digest and
 * counts mended; whatever opens is unpacked and multiplied. All other bytes are a recipe of a
 * matrix and a product, which must be what plain loops say, on every instruction set.
 *
 * Built by run.sh with libFuzzer; with EDGE_FUZZ_MAIN, a program that replays files.
 */
#include "steer.h"

enum { HEAD_BYTES = 32, AT_CHECK = 28, AT_COLS = 12, AT_STORED = 16, MOST_WEIGHTS = 1 << 16 };

static const float endless = 1e38f * 1e38f;

/* ---- whatever opens ---------------------------------------------------------------------- */

static void multiply(const edge_sparse *w, cursor *c) {
    const uint32_t n = 1 + draw8(c) % 20;
    float *dense = (float *)room((size_t)w->rows * w->cols * sizeof *dense);
    float *x = (float *)room((size_t)n * w->cols * sizeof *x);
    float *y = (float *)room((size_t)n * w->rows * sizeof *y);
    size_t size;
    for (size_t i = 0; i < (size_t)n * w->cols; i++) x[i] = draw_any(c);
    REQUIRE(edge_sparse_unpack(w, dense) == EDGE_OK);
    REQUIRE(edge_sparse_linear_scratch_size(w, n, &size) == EDGE_OK);
    void *scratch = room(size);
    for (size_t isa = 0; isa < isa_count(); isa++) {
        use_isa(isa);
        REQUIRE(edge_sparse_linear(w, x, n, NULL, -endless, endless, y, scratch, size) == EDGE_OK);
    }
    free(scratch);
    free(y);
    free(x);
    free(dense);
}

static void try_bytes(const uint8_t *bytes, size_t size) {
    uint8_t *copy = (uint8_t *)room(size);
    cursor c = cursor_on(bytes, size);
    memcpy(copy, bytes, size);
    for (int mended = 0; mended < 2; mended++) {
        edge_sparse w;
        const edge_status status = edge_sparse_open(&w, copy, size);
        REQUIRE(status == EDGE_OK || status == EDGE_ERR_FORMAT || status == EDGE_ERR_VERSION);
        if (status == EDGE_OK && (uint64_t)w.rows * w.cols <= MOST_WEIGHTS) multiply(&w, &c);
        if (size < HEAD_BYTES) break;
        /* As many entries as there is room for, should all else fit. */
        const uint32_t each = (copy[5] ? 1u : 4u) + copy[6] / 8;
        const uint64_t rows = word_at(copy + 8, 4), cols = word_at(copy + AT_COLS, 4);
        const uint64_t before = HEAD_BYTES + (copy[5] ? 4 * rows : 0) +
                                ((cols > 65535 ? 4 : 2) * rows + 3) / 4 * 4;
        if (draw8(&c) % 2 && before <= size) {
            const uint32_t n = (uint32_t)((size - before) / each);
            memcpy(copy + AT_STORED, &n, 4);
        }
        const uint32_t check = (uint32_t)digest_of(copy, AT_CHECK, NULL, 0);
        memcpy(copy + AT_CHECK, &check, 4);
    }
    free(copy);
}

/* ---- a recipe ---------------------------------------------------------------------------- */

typedef struct recipe {
    edge_conv2d s;
    uint32_t rows, cols, n; /* n tokens; 0: a convolution */
    float *dense, *bias;
    float low, high;
    edge_sparse w;
} recipe;

static float bounded(float y, const recipe *r) {
    y = y < r->low ? r->low : y;
    return (y > r->high ? r->high : y) + 0.0f;
}

/* `x` is where the column's input is, or NULL where it is padding. */
static float add(float sum, float weight, const float *x) {
    const volatile float product = weight * (x ? *x : 0.0f);
    return weight == 0 ? sum : sum + product;
}

static float obvious_token(const recipe *r, const float *x, uint32_t row) {
    float sum = 0;
    for (uint32_t c = 0; c < r->cols; c++)
        sum = add(sum, r->dense[(size_t)row * r->cols + c], &x[c]);
    return bounded(sum + r->bias[row], r);
}

static float obvious_pixel(const recipe *r, const float *x, uint32_t row, int64_t oy, int64_t ox) {
    const edge_conv2d *s = &r->s;
    const float *weight = r->dense + (size_t)row * r->cols;
    float sum = 0;
    for (uint32_t c = 0; c < s->in_channels; c++)
        for (uint32_t ky = 0; ky < s->kernel_h; ky++)
            for (uint32_t kx = 0; kx < s->kernel_w; kx++) {
                const int64_t iy = oy * s->stride_h + ky - s->pad_h;
                const int64_t ix = ox * s->stride_w + kx - s->pad_w;
                const int inside = iy >= 0 && ix >= 0 && iy < s->in_height && ix < s->in_width;
                sum = add(sum, *weight++,
                          inside ? &x[((size_t)c * s->in_height + (size_t)iy) * s->in_width +
                                      (size_t)ix]
                                 : NULL);
            }
    return bounded(sum + r->bias[row], r);
}

static void try_linear(const recipe *r, cursor *c) {
    float *x = (float *)room((size_t)r->n * r->cols * sizeof *x);
    float *y = (float *)room((size_t)r->n * r->rows * sizeof *y);
    size_t size;
    for (size_t i = 0; i < (size_t)r->n * r->cols; i++) x[i] = draw_real(c);
    REQUIRE(edge_sparse_linear_scratch_size(&r->w, r->n, &size) == EDGE_OK);
    void *scratch = room(size);
    for (size_t isa = 0; isa < isa_count(); isa++) {
        use_isa(isa);
        REQUIRE(edge_sparse_linear(&r->w, x, r->n, r->bias, r->low, r->high, y, scratch, size) ==
                EDGE_OK);
        for (uint32_t i = 0; i < r->n; i++)
            for (uint32_t row = 0; row < r->rows; row++) {
                const float expected = obvious_token(r, x + (size_t)i * r->cols, row);
                REQUIRE(memcmp(&expected, &y[(size_t)i * r->rows + row], sizeof expected) == 0);
            }
    }
    free(scratch);
    free(y);
    free(x);
}

static void try_convolution(const recipe *r, cursor *c) {
    const edge_conv2d *s = &r->s;
    const size_t n_in = (size_t)s->in_channels * s->in_height * s->in_width;
    size_t size;
    if (s->in_height + 2 * s->pad_h < s->kernel_h || s->in_width + 2 * s->pad_w < s->kernel_w) {
        REQUIRE(edge_sparse_conv2d_scratch_size(&r->w, s, &size) == EDGE_ERR_ARGUMENT);
        return;
    }
    const uint32_t out_h = (s->in_height + 2 * s->pad_h - s->kernel_h) / s->stride_h + 1;
    const uint32_t out_w = (s->in_width + 2 * s->pad_w - s->kernel_w) / s->stride_w + 1;
    float *x = (float *)room(n_in * sizeof *x);
    float *y = (float *)room((size_t)r->rows * out_h * out_w * sizeof *y);
    for (size_t i = 0; i < n_in; i++) x[i] = draw_real(c);
    REQUIRE(edge_sparse_conv2d_scratch_size(&r->w, s, &size) == EDGE_OK);
    void *scratch = room(size);
    for (size_t isa = 0; isa < isa_count(); isa++) {
        size_t at = 0;
        use_isa(isa);
        REQUIRE(edge_sparse_conv2d(&r->w, s, x, r->bias, r->low, r->high, y, scratch, size) ==
                EDGE_OK);
        for (uint32_t row = 0; row < r->rows; row++)
            for (uint32_t oy = 0; oy < out_h; oy++)
                for (uint32_t ox = 0; ox < out_w; ox++, at++) {
                    const float expected = obvious_pixel(r, x, row, oy, ox);
                    REQUIRE(memcmp(&expected, &y[at], sizeof expected) == 0);
                }
    }
    free(scratch);
    free(y);
    free(x);
}

static void draw_shape(cursor *c, recipe *r) {
    r->rows = 1 + draw8(c) % 20;
    r->n = draw8(c) % 2 ? 1 + draw8(c) % 70 : 0;
    if (r->n) {
        r->cols = 1 + (uint32_t)draw(c, 2) % (draw8(c) % 4 ? 64 : 1000);
        return;
    }
    r->s.in_channels = 1 + draw8(c) % 4;
    r->s.in_height = 1 + draw8(c) % 12;
    r->s.in_width = 1 + draw8(c) % 20;
    r->s.kernel_h = 1 + draw8(c) % 4;
    r->s.kernel_w = 1 + draw8(c) % 5;
    r->s.stride_h = 1 + draw8(c) % 3;
    r->s.stride_w = 1 + draw8(c) % 3;
    r->s.pad_h = draw8(c) % 4;
    r->s.pad_w = draw8(c) % 4;
    r->cols = r->s.in_channels * r->s.kernel_h * r->s.kernel_w;
}

static void try_recipe(cursor *c) {
    recipe r;
    size_t size;
    draw_shape(c, &r);
    const size_t n = (size_t)r.rows * r.cols;
    const uint32_t every = 1 + draw8(c) % 32, bits = draw8(c) % 2 ? 16 : 8;
    const float edges[4] = {-endless, 0, -1, 1};
    r.low = edges[draw8(c) % 3];
    r.high = draw8(c) % 2 ? 2 : endless;
    r.dense = (float *)room(n * sizeof *r.dense);
    r.bias = (float *)room(r.rows * sizeof *r.bias);
    for (size_t i = 0; i < n; i++) {
        const uint8_t drawn = draw8(c);
        r.dense[i] = drawn % every ? 0.0f : draw_real(c) + 0.0f;
    }
    for (uint32_t i = 0; i < r.rows; i++) r.bias[i] = draw_real(c);
    const edge_sparse_values values = draw8(c) % 4 ? EDGE_SPARSE_FLOAT32 : EDGE_SPARSE_INT8;
    REQUIRE(edge_sparse_pack_size(r.dense, r.rows, r.cols, values, bits, &size) == EDGE_OK);
    uint8_t *bytes = (uint8_t *)room(size);
    REQUIRE(edge_sparse_pack(r.dense, r.rows, r.cols, values, bits, bytes, size) == EDGE_OK);
    REQUIRE(edge_sparse_open(&r.w, bytes, size) == EDGE_OK);
    if (values == EDGE_SPARSE_INT8) multiply(&r.w, c);
    else if (r.n) try_linear(&r, c);
    else try_convolution(&r, c);
    free(bytes);
    free(r.bias);
    free(r.dense);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t magic[4] = {0x89, 0x53, 0x50, 0x57};
    cursor c = cursor_on(data, size);
    if (size >= 4 && memcmp(data, magic, 4) == 0) try_bytes(data, size);
    else if (size) try_recipe(&c);
    return 0;
}
