/*
 * Sparse weights, by the public header alone, on every instruction set of this machine:
 * test_sparse [tests/vectors].
 *
 * What is computed is compared with plain loops, bit for bit. All buffers are allocated
 * with just the bytes that they must have, so that a sanitizer sees what goes beyond them.
 */
#include "vectors.h"

/* ---- matrices -------------------------------------------------------------------------- */

typedef struct matrix {
    uint32_t rows, cols;
    edge_sparse_values values;
    uint32_t delta_bits;
    float *dense; /* as it was packed */
    uint8_t *bytes;
    size_t size;
    edge_sparse w;
} matrix;

/* From -1 to 1, in steps of 2^-10: products of many are rounded. */
static float some(void) { return (float)((int)(random_word(32) % 2049) - 1024) / 1023.0f; }

static float *some_numbers(size_t n) {
    float *numbers = (float *)room(n * sizeof *numbers);
    for (size_t i = 0; i < n; i++) numbers[i] = some();
    return numbers;
}

static void pack(matrix *m) {
    size_t size = 1;
    EXPECT(EDGE_OK, edge_sparse_pack_size(m->dense, m->rows, m->cols, m->values, m->delta_bits,
                                          &m->size));
    m->bytes = (uint8_t *)room(m->size);
    EXPECT(EDGE_ERR_CAPACITY, edge_sparse_pack(m->dense, m->rows, m->cols, m->values,
                                               m->delta_bits, m->bytes, m->size - 1));
    EXPECT(EDGE_OK, edge_sparse_pack(m->dense, m->rows, m->cols, m->values, m->delta_bits,
                                     m->bytes, m->size));
    EXPECT(EDGE_OK, edge_sparse_open(&m->w, m->bytes, m->size));
    CHECK(edge_sparse_pack_size(m->dense, m->rows, 0, m->values, m->delta_bits, &size) ==
              EDGE_ERR_ARGUMENT && size == 0);
}

/* One weight in `every` is kept, and no row has any from `most` rows on. */
static matrix make(uint32_t rows, uint32_t cols, edge_sparse_values values, uint32_t delta_bits,
                   uint32_t every) {
    matrix m;
    m.rows = rows;
    m.cols = cols;
    m.values = values;
    m.delta_bits = delta_bits;
    m.dense = (float *)room((size_t)rows * cols * sizeof *m.dense);
    for (size_t i = 0; i < (size_t)rows * cols; i++)
        m.dense[i] = random_word(32) % every ? 0.0f : some();
    if (rows > 2) memset(m.dense + cols, 0, cols * sizeof *m.dense); /* a row without entries */
    pack(&m);
    return m;
}

static void drop(matrix *m) {
    free(m->dense);
    free(m->bytes);
}

/* The weights without their scales, as the core keeps them, and the scales. */
static void obvious_values(const matrix *m, float *q, float *scales) {
    for (uint32_t row = 0; row < m->rows; row++) {
        float largest = 0;
        for (uint32_t c = 0; c < m->cols; c++) {
            const float v = m->dense[(size_t)row * m->cols + c];
            if ((v < 0 ? -v : v) > largest) largest = v < 0 ? -v : v;
        }
        scales[row] = m->values == EDGE_SPARSE_INT8 ? largest / 127.0f : 1.0f;
        for (uint32_t c = 0; c < m->cols; c++) {
            const size_t i = (size_t)row * m->cols + c;
            q[i] = m->dense[i];
            if (m->values == EDGE_SPARSE_INT8 && largest > 0) {
                const volatile float shifted = m->dense[i] / scales[row] + 12582912.0f;
                q[i] = shifted - 12582912.0f;
            }
        }
    }
}

static float finished(float sum, float scale, const float *bias, uint32_t row, float low,
                      float high) {
    const volatile float scaled = sum * scale;
    float y = scaled + (bias ? bias[row] : 0.0f);
    if (y < low) y = low;
    if (y > high) y = high;
    return y + 0.0f;
}

static const float infinity = 1e38f * 1e38f;

/* ---- packing --------------------------------------------------------------------------- */

static const uint32_t shapes[][2] = {{1, 1},   {1, 7},    {5, 3},     {17, 70},  {33, 255},
                                     {3, 257}, {40, 300}, {2, 66000}, {20, 1000}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void what_is_packed_comes_out_again(void) {
    static const uint32_t densities[] = {1, 2, 10, 300, 1000000};
    current = "pack and unpack";
    for (size_t i = 0; i < N_SHAPES; i++)
        for (size_t d = 0; d < 5; d++)
            for (int kind = 0; kind < 4; kind++) {
                matrix m = make(shapes[i][0], shapes[i][1], (edge_sparse_values)(kind & 1),
                                kind & 2 ? 16 : 8, densities[d]);
                const size_t n = (size_t)m.rows * m.cols;
                float *got = (float *)room(n * sizeof *got), *q = (float *)room(n * sizeof *q);
                float *scales = (float *)room(m.rows * sizeof *scales);
                size_t kept = 0;
                EXPECT(EDGE_OK, edge_sparse_unpack(&m.w, got));
                obvious_values(&m, q, scales);
                for (size_t j = 0; j < n; j++) {
                    CHECK(got[j] == q[j] * scales[j / m.cols]);
                    kept += q[j] != 0;
                }
                CHECK(m.w.rows == m.rows && m.w.cols == m.cols && m.w.n_kept == kept);
                CHECK(m.w.values == (uint32_t)m.values && m.w.delta_bits == m.delta_bits);
                free(got);
                free(q);
                free(scales);
                drop(&m);
            }
}

static void bridges_carry_columns_over_wide_gaps(void) {
    float *dense = (float *)room(70000 * sizeof *dense), *got = (float *)room(70000 * sizeof *got);
    static const uint32_t at[] = {0, 255, 256, 510, 511, 1022, 2000, 65535, 65536, 69999};
    current = "bridges";
    memset(dense, 0, 70000 * sizeof *dense);
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        for (uint32_t bits = 8; bits <= 16; bits += 8) {
            matrix m;
            m.rows = 1;
            m.cols = 70000;
            m.values = EDGE_SPARSE_FLOAT32;
            m.delta_bits = bits;
            m.dense = dense;
            dense[at[i]] = 1.5f;
            pack(&m);
            EXPECT(EDGE_OK, edge_sparse_unpack(&m.w, got));
            CHECK(memcmp(got, dense, 70000 * sizeof *dense) == 0);
            CHECK(m.w.n_kept == i + 1);
            free(m.bytes);
            /* alone, it costs one bridge for every full distance before it */
            memset(got, 0, 70000 * sizeof *got);
            got[at[i]] = 1.5f;
            m.dense = got;
            pack(&m);
            CHECK(m.w.n_kept == 1);
            CHECK(m.w.n_stored ==
                  1 + (at[i] ? (at[i] - 1) / ((1u << bits) - 1) : 0));
            free(m.bytes);
        }
    }
    free(dense);
    free(got);
}

static void a_bad_matrix_is_not_packed(void) {
    static const uint32_t bad[] = {0x7fc00000, 0x7f800000, 0xff800000};
    float w[6] = {1, 0, 2, 3, 0, 4};
    uint8_t bytes[128];
    size_t size;
    current = "bad matrices";
    for (int i = 0; i < 3; i++) {
        memcpy(&w[4], &bad[i], 4);
        for (int values = 0; values < 2; values++) {
            size = 7;
            EXPECT(EDGE_ERR_NOT_FINITE,
                   edge_sparse_pack_size(w, 2, 3, (edge_sparse_values)values, 8, &size));
            CHECK(size == 0);
            EXPECT(EDGE_ERR_NOT_FINITE,
                   edge_sparse_pack(w, 2, 3, (edge_sparse_values)values, 8, bytes, 128));
        }
    }
    w[4] = 0;
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack_size(NULL, 2, 3, EDGE_SPARSE_INT8, 8, &size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack_size(w, 2, 3, EDGE_SPARSE_INT8, 8, NULL));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack(w, 2, 3, EDGE_SPARSE_INT8, 8, NULL, 128));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack(w, 0, 3, EDGE_SPARSE_INT8, 8, bytes, 128));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack(w, 2, 0, EDGE_SPARSE_INT8, 8, bytes, 128));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack(w, 2, 3, (edge_sparse_values)2, 8, bytes, 128));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack(w, 2, 3, EDGE_SPARSE_INT8, 7, bytes, 128));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack(w, 1u << 16, 1u << 15, EDGE_SPARSE_INT8, 8, bytes,
                                               128));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_pack(w, UINT32_MAX, UINT32_MAX, EDGE_SPARSE_INT8, 8,
                                               bytes, 128));
}

static void a_row_too_small_for_a_scale_is_zero(void) {
    const float w[4] = {1e-37f, -1e-38f, 1e-30f, -1e-30f};
    float got[4];
    uint8_t bytes[128];
    size_t size;
    edge_sparse m;
    current = "tiny rows";
    EXPECT(EDGE_OK, edge_sparse_pack_size(w, 2, 2, EDGE_SPARSE_INT8, 8, &size));
    EXPECT(EDGE_OK, edge_sparse_pack(w, 2, 2, EDGE_SPARSE_INT8, 8, bytes, size));
    EXPECT(EDGE_OK, edge_sparse_open(&m, bytes, size));
    EXPECT(EDGE_OK, edge_sparse_unpack(&m, got));
    CHECK(got[0] == 0 && got[1] == 0 && got[2] > 0.99e-30f && got[3] == -got[2]);
}

/* ---- damage ---------------------------------------------------------------------------- */

enum { SPARSE_HEAD = 32, AT_COUNTS = 32, SPARSE_DIGEST = 28 };

static void seal_head(uint8_t *bytes) {
    edge_digest digest;
    uint32_t value;
    edge_digest_start(&digest);
    edge_digest_add(&digest, bytes, SPARSE_DIGEST);
    value = (uint32_t)edge_digest_value(&digest);
    memcpy(bytes + SPARSE_DIGEST, &value, sizeof value);
}

/* As they are after `change`, in memory of their size. */
static edge_status open_copy(const uint8_t *bytes, size_t size) {
    uint8_t *copy = (uint8_t *)room(size);
    edge_sparse w;
    edge_status status;
    memcpy(copy, bytes, size);
    status = edge_sparse_open(&w, copy, size);
    CHECK(status == EDGE_OK || (w.rows == 0 && w.entries == NULL));
    if (status == EDGE_OK) {
        float *dense = (float *)room((size_t)w.rows * w.cols * sizeof *dense);
        EXPECT(EDGE_OK, edge_sparse_unpack(&w, dense));
        free(dense);
    }
    free(copy);
    return status;
}

static void damaged_bytes_are_refused(void) {
    matrix m = make(5, 40, EDGE_SPARSE_FLOAT32, 8, 2);
    uint8_t *bytes = (uint8_t *)room(m.size + 1);
    current = "damage";
    memcpy(bytes, m.bytes, m.size);
    for (size_t size = 0; size < m.size; size++)
        EXPECT(EDGE_ERR_FORMAT, open_copy(bytes, size));
    EXPECT(EDGE_ERR_FORMAT, open_copy(bytes, m.size + 1));
    for (size_t bit = 0; bit < 8 * SPARSE_HEAD; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        EXPECT(EDGE_ERR_FORMAT, open_copy(bytes, m.size));
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    /* The same with a digest that is right: only n_kept can be another number unseen. */
    for (size_t bit = 0; bit < 8 * SPARSE_DIGEST; bit++) {
        memcpy(bytes, m.bytes, m.size);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        seal_head(bytes);
        const edge_status status = open_copy(bytes, m.size);
        /* One column more or less moves no part, and may keep all columns inside. */
        const int harmless = bit / 8 >= 12 && bit / 8 < 14;
        CHECK(status == EDGE_ERR_FORMAT || (bit / 8 == 4 && status == EDGE_ERR_VERSION) ||
              bit / 8 / 4 == 5 || harmless);
    }
    memcpy(bytes, m.bytes, m.size);
    bytes[4] = 2;
    seal_head(bytes);
    EXPECT(EDGE_ERR_VERSION, open_copy(bytes, m.size));
    /* Counts, and distances. */
    for (size_t at = AT_COUNTS; at < m.size; at++)
        for (int bit = 0; bit < 8; bit++) {
            const int is_count = at < AT_COUNTS + 2 * m.rows;
            memcpy(bytes, m.bytes, m.size);
            bytes[at] ^= (uint8_t)(1 << bit);
            const edge_status status = open_copy(bytes, m.size);
            CHECK(!is_count || status == EDGE_ERR_FORMAT);
        }
    /* The last entry of a row leaves the matrix by one column, and comes back. */
    memcpy(bytes, m.bytes, m.size);
    {
        size_t first = (size_t)(m.w.deltas - m.bytes), n = m.w.counts[0], sum = 0;
        for (size_t i = 0; i < n; i++) sum += bytes[first + i];
        bytes[first + n - 1] = (uint8_t)(bytes[first + n - 1] + (40 - sum));
        EXPECT(EDGE_ERR_FORMAT, open_copy(bytes, m.size));
        bytes[first + n - 1]--;
        EXPECT(EDGE_OK, open_copy(bytes, m.size));
    }
    free(bytes);
    drop(&m);
}

static void damaged_scales_are_refused(void) {
    static const uint32_t bad[] = {0x7f800000, 0x7fc00000, 0x80000000, 0xbf800000};
    matrix m = make(3, 20, EDGE_SPARSE_INT8, 16, 2);
    current = "scales";
    for (int i = 0; i < 4; i++) {
        uint32_t before;
        memcpy(&before, m.bytes + SPARSE_HEAD + 8, 4);
        memcpy(m.bytes + SPARSE_HEAD + 8, &bad[i], 4);
        EXPECT(EDGE_ERR_FORMAT, open_copy(m.bytes, m.size));
        memcpy(m.bytes + SPARSE_HEAD + 8, &before, 4);
    }
    EXPECT(EDGE_OK, open_copy(m.bytes, m.size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_open(&m.w, NULL, m.size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_open(NULL, m.bytes, m.size));
    drop(&m);
}

/* Sums of distances that are counted in parts: rows of thousands of entries. */
static void long_rows_are_summed_right(void) {
    static const uint32_t cols[] = {1023, 1024, 1025, 4000, 65535, 70001};
    current = "long rows";
    for (int i = 0; i < 6; i++)
        for (uint32_t bits = 8; bits <= 16; bits += 8) {
            matrix m = make(1, cols[i], EDGE_SPARSE_FLOAT32, bits, 1);
            const size_t last = m.size - bits / 8;
            m.dense[cols[i] - 1] = m.dense[0] = 1;
            free(m.bytes);
            pack(&m);
            m.bytes[m.size - bits / 8]++; /* the row's last column is its last one */
            EXPECT(EDGE_ERR_FORMAT, open_copy(m.bytes, m.size));
            CHECK(last <= m.size);
            drop(&m);
        }
}

/* ---- linear layers ----------------------------------------------------------------------- */

static void try_linear(const matrix *m, const float *q, const float *scales, uint32_t n,
                       const float *bias, float low, float high) {
    float *x = some_numbers((size_t)n * m->cols);
    float *y = (float *)room((size_t)n * m->rows * sizeof *y);
    size_t size;
    EXPECT(EDGE_OK, edge_sparse_linear_scratch_size(&m->w, n, &size));
    uint8_t *scratch = (uint8_t *)room(size);
    EXPECT(EDGE_OK, edge_sparse_linear(&m->w, x, n, bias, low, high, y, size ? scratch : NULL,
                                       size));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t row = 0; row < m->rows; row++) {
            float sum = 0;
            for (uint32_t c = 0; c < m->cols; c++) {
                const float weight = q[(size_t)row * m->cols + c];
                if (weight == 0) continue;
                const volatile float product = weight * x[(size_t)i * m->cols + c];
                sum += product;
            }
            const float expected = finished(sum, scales[row], bias, row, low, high);
            CHECK(memcmp(&expected, &y[(size_t)i * m->rows + row], sizeof expected) == 0);
        }
    if (size) {
        EXPECT(EDGE_ERR_CAPACITY, edge_sparse_linear(&m->w, x, n, bias, low, high, y, scratch,
                                                     size - 1));
        EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear(&m->w, x, n, bias, low, high, y, NULL, size));
    }
    free(scratch);
    free(x);
    free(y);
}

static void linear_layers(void *unused) {
    static const uint32_t tokens[] = {1, 2, 3, 4, 5, 15, 16, 17, 31, 49, 64, 100, 129, 196};
    (void)unused;
    current = "linear layers";
    for (size_t i = 0; i < N_SHAPES; i++)
        for (int kind = 0; kind < 4; kind++) {
            matrix m = make(shapes[i][0], shapes[i][1], (edge_sparse_values)(kind & 1),
                            kind & 2 ? 16 : 8, 1 + (uint32_t)(i + (size_t)kind) % 12);
            float *q = (float *)room((size_t)m.rows * m.cols * sizeof *q);
            float *scales = (float *)room(m.rows * sizeof *scales);
            float *bias = some_numbers(m.rows);
            obvious_values(&m, q, scales);
            for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
                if ((uint64_t)m.rows * m.cols * tokens[t] > 3000000 && t % 4) continue;
                const int odd = (int)(t + i) % 2;
                try_linear(&m, q, scales, tokens[t], odd ? bias : NULL, odd ? 0 : -infinity,
                           kind == 1 ? 0.5f : infinity);
            }
            free(q);
            free(scales);
            free(bias);
            drop(&m);
        }
}

static void bad_arguments_of_a_linear_layer_are_refused(void) {
    matrix m = make(4, 9, EDGE_SPARSE_FLOAT32, 8, 2);
    float x[45], y[20], nan = infinity - infinity;
    uint8_t scratch[8192];
    size_t size;
    edge_sparse closed;
    current = "bad linear layers";
    memset(x, 0, sizeof x);
    memset(&closed, 0, sizeof closed);
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear_scratch_size(&closed, 1, &size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear_scratch_size(NULL, 1, &size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear_scratch_size(&m.w, 0, &size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear_scratch_size(&m.w, UINT32_MAX, &size));
    CHECK(size == 0);
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear_scratch_size(&m.w, 1, NULL));
    EXPECT(EDGE_OK, edge_sparse_linear_scratch_size(&m.w, 5, &size));
    CHECK(size <= sizeof scratch);
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear(&m.w, NULL, 5, x, 0, 1, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear(&m.w, x, 5, x, 0, 1, NULL, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear(&m.w, x, 0, x, 0, 1, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear(&m.w, x, 5, x, 1, 0, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear(&m.w, x, 5, x, nan, 0, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_linear(&m.w, x, 5, x, 0, nan, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_unpack(&closed, y));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_unpack(&m.w, NULL));
    drop(&m);
}

/* What the smallest and the largest float, -0 and NaN become is the same everywhere. */
static void odd_numbers(void *unused) {
    const float w[4] = {1, 0, -1, 0};
    float x[4 * 20], y[2 * 20], nan = infinity - infinity;
    uint8_t bytes[128], scratch[8192];
    size_t size, scratch_size;
    edge_sparse m;
    (void)unused;
    current = "odd numbers";
    EXPECT(EDGE_OK, edge_sparse_pack_size(w, 2, 2, EDGE_SPARSE_FLOAT32, 8, &size));
    EXPECT(EDGE_OK, edge_sparse_pack(w, 2, 2, EDGE_SPARSE_FLOAT32, 8, bytes, size));
    EXPECT(EDGE_OK, edge_sparse_open(&m, bytes, size));
    for (uint32_t n = 1; n <= 20; n += 19) {
        memset(x, 0, sizeof x);
        EXPECT(EDGE_OK, edge_sparse_linear_scratch_size(&m, n, &scratch_size));
        CHECK(scratch_size <= sizeof scratch);
        x[0] = nan;
        EXPECT(EDGE_OK, edge_sparse_linear(&m, x, n, NULL, 0, 6, y, scratch, scratch_size));
        CHECK(y[0] != y[0] && y[1] != y[1]);
        x[0] = infinity;
        EXPECT(EDGE_OK, edge_sparse_linear(&m, x, n, NULL, -1, 6, y, scratch, scratch_size));
        CHECK(y[0] == 6 && y[1] == -1);
        x[0] = 0;
        EXPECT(EDGE_OK, edge_sparse_linear(&m, x, n, NULL, -0.0f, -0.0f, y, scratch,
                                           scratch_size));
        for (uint32_t i = 0; i < 2 * n; i++) CHECK(y[i] == 0 && 1 / (y[i] + 0.0f) > 0);
    }
}

/* ---- convolutions ------------------------------------------------------------------------ */

static float pixel(const edge_conv2d *s, const float *x, uint32_t c, int64_t row, int64_t column) {
    if (row < 0 || column < 0 || row >= s->in_height || column >= s->in_width) return 0;
    return x[((size_t)c * s->in_height + (size_t)row) * s->in_width + (size_t)column];
}

static float obvious_pixel(const matrix *m, const float *q, const edge_conv2d *s, const float *x,
                           uint32_t o, uint32_t oy, uint32_t ox) {
    const float *weight = q + (size_t)o * m->cols;
    float sum = 0;
    for (uint32_t c = 0; c < s->in_channels; c++)
        for (uint32_t ky = 0; ky < s->kernel_h; ky++)
            for (uint32_t kx = 0; kx < s->kernel_w; kx++, weight++) {
                if (*weight == 0) continue;
                const volatile float product =
                    *weight * pixel(s, x, c, (int64_t)oy * s->stride_h + ky - s->pad_h,
                                    (int64_t)ox * s->stride_w + kx - s->pad_w);
                sum += product;
            }
    return sum;
}

static void try_convolution(const edge_conv2d *s, uint32_t rows, int kind, uint32_t every) {
    matrix m = make(rows, s->in_channels * s->kernel_h * s->kernel_w, (edge_sparse_values)(kind & 1),
                    kind & 2 ? 16 : 8, every);
    const uint32_t out_h = (s->in_height + 2 * s->pad_h - s->kernel_h) / s->stride_h + 1;
    const uint32_t out_w = (s->in_width + 2 * s->pad_w - s->kernel_w) / s->stride_w + 1;
    float *q = (float *)room((size_t)m.rows * m.cols * sizeof *q);
    float *scales = (float *)room(m.rows * sizeof *scales), *bias = some_numbers(rows);
    float *x = some_numbers((size_t)s->in_channels * s->in_height * s->in_width);
    float *y = (float *)room((size_t)rows * out_h * out_w * sizeof *y);
    const float low = kind & 1 ? 0 : -infinity;
    size_t size, at = 0;
    obvious_values(&m, q, scales);
    EXPECT(EDGE_OK, edge_sparse_conv2d_scratch_size(&m.w, s, &size));
    uint8_t *scratch = (uint8_t *)room(size);
    EXPECT(EDGE_OK, edge_sparse_conv2d(&m.w, s, x, bias, low, infinity, y, scratch, size));
    for (uint32_t o = 0; o < rows; o++)
        for (uint32_t oy = 0; oy < out_h; oy++)
            for (uint32_t ox = 0; ox < out_w; ox++, at++) {
                const float expected = finished(obvious_pixel(&m, q, s, x, o, oy, ox), scales[o],
                                              bias, o, low, infinity);
                CHECK(memcmp(&expected, &y[at], sizeof expected) == 0);
            }
    EXPECT(EDGE_ERR_CAPACITY, edge_sparse_conv2d(&m.w, s, x, bias, low, infinity, y, scratch,
                                                 size - 1));
    free(scratch);
    free(q);
    free(scales);
    free(bias);
    free(x);
    free(y);
    drop(&m);
}

static void convolutions(void *unused) {
    static const edge_conv2d some_shapes[] = {
        {1, 1, 1, 1, 1, 1, 1, 0, 0},    {5, 7, 7, 1, 1, 1, 1, 0, 0},
        {5, 3, 3, 1, 1, 1, 1, 0, 0},    {6, 4, 4, 1, 1, 1, 1, 0, 0},
        {7, 9, 8, 1, 1, 2, 2, 0, 0},    {3, 5, 6, 1, 1, 1, 1, 1, 2},
        {4, 8, 8, 3, 3, 1, 1, 1, 1},    {4, 4, 4, 3, 3, 1, 1, 1, 1},
        {3, 16, 16, 3, 3, 2, 2, 1, 1},  {2, 40, 31, 3, 3, 1, 1, 1, 1},
        {2, 5, 5, 5, 5, 1, 1, 2, 2},    {2, 9, 11, 3, 5, 2, 3, 0, 4},
        {1, 3, 3, 3, 3, 1, 1, 0, 0},    {2, 6, 2, 2, 2, 5, 7, 1, 1},
        {1, 2, 2, 3, 3, 1, 1, 5, 5},    {3, 1, 50, 1, 7, 1, 1, 0, 3},
        {150, 30, 30, 3, 3, 1, 1, 1, 1}, {9, 120, 3, 3, 1, 1, 1, 1, 0},
        {2600, 5, 5, 1, 1, 1, 1, 0, 0},  {1100, 13, 13, 1, 1, 1, 1, 0, 0}};
    (void)unused;
    current = "convolutions";
    for (size_t i = 0; i < sizeof some_shapes / sizeof *some_shapes; i++)
        for (int kind = 0; kind < 4; kind++)
            try_convolution(&some_shapes[i], 1 + (uint32_t)(7 * i) % 19, kind,
                            some_shapes[i].in_channels > 100 ? 20 : 1 + (uint32_t)kind * 2);
    for (int i = 0; i < 150; i++) { /* and whatever comes */
        edge_conv2d s;
        s.in_channels = 1 + (uint32_t)random_word(32) % 5;
        s.kernel_h = 1 + (uint32_t)random_word(32) % 4;
        s.kernel_w = 1 + (uint32_t)random_word(32) % 4;
        s.in_height = s.kernel_h + (uint32_t)random_word(32) % 20;
        s.in_width = s.kernel_w + (uint32_t)random_word(32) % 20;
        s.stride_h = 1 + (uint32_t)random_word(32) % 3;
        s.stride_w = 1 + (uint32_t)random_word(32) % 3;
        s.pad_h = (uint32_t)random_word(32) % 4;
        s.pad_w = (uint32_t)random_word(32) % 4;
        try_convolution(&s, 1 + (uint32_t)random_word(32) % 20, i % 4, 1 + (uint32_t)i % 9);
    }
}

static void bad_convolutions_are_refused(void) {
    static const edge_conv2d good = {2, 5, 5, 3, 3, 1, 1, 1, 1};
    matrix m = make(4, 18, EDGE_SPARSE_FLOAT32, 8, 2);
    uint32_t *const none = NULL;
    float x[50], y[100];
    size_t size;
    edge_conv2d s;
    current = "bad convolutions";
    (void)none;
    memset(x, 0, sizeof x);
    EXPECT(EDGE_OK, edge_sparse_conv2d_scratch_size(&m.w, &good, &size));
    uint8_t *scratch = (uint8_t *)room(size);
    EXPECT(EDGE_OK, edge_sparse_conv2d(&m.w, &good, x, NULL, 0, 1, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_conv2d(&m.w, &good, NULL, NULL, 0, 1, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_conv2d(&m.w, &good, x, NULL, 0, 1, NULL, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_conv2d(&m.w, &good, x, NULL, 0, 1, y, NULL, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_conv2d(&m.w, &good, x, NULL, 1, 0, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_conv2d(&m.w, NULL, x, NULL, 0, 1, y, scratch, size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_conv2d_scratch_size(NULL, &good, &size));
    EXPECT(EDGE_ERR_ARGUMENT, edge_sparse_conv2d_scratch_size(&m.w, &good, NULL));
    for (int field = 0; field < 9; field++)
        for (int value = 0; value < 3; value++) {
            static const uint32_t odd[] = {0, 0x80000000u, UINT32_MAX};
            uint32_t fields[9];
            memcpy(fields, &good, sizeof good);
            fields[field] = odd[value];
            memcpy(&s, fields, sizeof s);
            /* no pad, and a stride beyond the image, are no mistakes */
            const edge_status status = edge_sparse_conv2d_scratch_size(&m.w, &s, &size);
            CHECK(status == EDGE_ERR_ARGUMENT || (field >= 7 && odd[value] == 0));
        }
    free(scratch);
    drop(&m);
}

int main(int argc, char **argv) {
    folder = argc > 1 ? argv[1] : NULL;
    (void)vectors;
    (void)next_case;
    what_is_packed_comes_out_again();
    bridges_carry_columns_over_wide_gaps();
    a_bad_matrix_is_not_packed();
    a_row_too_small_for_a_scale_is_zero();
    damaged_bytes_are_refused();
    damaged_scales_are_refused();
    long_rows_are_summed_right();
    bad_arguments_of_a_linear_layer_are_refused();
    bad_convolutions_are_refused();
    on_every_isa(linear_layers, NULL);
    on_every_isa(odd_numbers, NULL);
    on_every_isa(convolutions, NULL);
    printf("%lu checks, %lu failed\n", n_checks, n_failures);
    return n_failures != 0;
}
