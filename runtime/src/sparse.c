/*
 * Sparse matrices as bytes: packed, looked at, unpacked (FORMAT.md, "Sparse weights").
 *
 * All distances between columns are at least zero, so a row stays inside the matrix
 * if their sum does.
 */
#include "sparse.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

enum {
    HEAD_BYTES = 32,
    VERSION = 1,
    AT_VERSION = 4,
    AT_VALUES = 5,
    AT_DELTA_BITS = 6,
    AT_ROWS = 8,
    AT_COLS = 12,
    AT_STORED = 16,
    AT_KEPT = 20,
    AT_DIGEST = 28
};

#define MAGIC 0x57505389u /* 89 53 50 57 */

/* Where the parts of packed bytes lie, from their start. */
typedef struct layout {
    uint64_t scales, counts, entries, deltas, size;
} layout;

static layout layout_of(uint32_t rows, uint32_t cols, uint32_t n_stored, uint32_t values,
                        uint32_t delta_bits)
{
    layout at;
    at.scales = HEAD_BYTES;
    at.counts = at.scales + (values == EDGE_SPARSE_INT8 ? 4 * (uint64_t)rows : 0);
    at.entries = at.counts + ((cols > UINT16_MAX ? 4 : 2) * (uint64_t)rows + 3) / 4 * 4;
    at.deltas = at.entries + (values == EDGE_SPARSE_INT8 ? 1 : 4) * (uint64_t)n_stored;
    at.size = at.deltas + delta_bits / 8 * (uint64_t)n_stored;
    return at;
}

static uint32_t digest_of(const uint8_t *head)
{
    edge_digest digest;
    edge_digest_start(&digest);
    edge_digest_add(&digest, head, AT_DIGEST);
    return (uint32_t)edge_digest_value(&digest);
}

/* ---- packing --------------------------------------------------------------------------- */

/* A matrix to pack, and where it goes; bytes is NULL where it is only counted. */
typedef struct packing {
    const float *w;
    uint32_t rows, cols, values, delta_bits;
    uint64_t n_stored, n_kept;
    uint8_t *bytes;
    layout at;
} packing;

/* Round half to even what is below 2^22. */
static float nearest(float x) { return (x + 12582912.0f) - 12582912.0f; }

static EDGE_SMALL int scale_of(const packing *p, uint32_t row, float *scale)
{
    const float *w = p->w + (size_t)row * p->cols;
    float largest = 0;
    for (uint32_t c = 0; c < p->cols; c++) {
        const float size = w[c] < 0 ? -w[c] : w[c];
        if (!(size <= 3.402823466e38f)) return 0;
        if (size > largest) largest = size;
    }
    *scale = largest / 127.0f;
    if (*scale < 1.175494351e-38f) *scale = 0;
    return 1;
}

static EDGE_SMALL void store(packing *p, uint32_t delta, float value)
{
    const size_t i = (size_t)p->n_stored++;
    p->n_kept += value != 0;
    if (!p->bytes) return;
    if (p->delta_bits == 8) {
        p->bytes[p->at.deltas + i] = (uint8_t)delta;
    } else {
        const uint16_t narrow = (uint16_t)delta;
        memcpy(p->bytes + p->at.deltas + 2 * i, &narrow, sizeof narrow);
    }
    if (p->values == EDGE_SPARSE_INT8)
        p->bytes[p->at.entries + i] = (uint8_t)(int8_t)value;
    else
        memcpy(p->bytes + p->at.entries + 4 * i, &value, sizeof value);
}

/* Returns the row's stored entries. */
static EDGE_SMALL uint32_t pack_row(packing *p, uint32_t row, float scale)
{
    const float *w = p->w + (size_t)row * p->cols;
    const uint32_t widest = (1u << p->delta_bits) - 1;
    const uint64_t before = p->n_stored;
    uint32_t at = 0;
    for (uint32_t c = 0; c < p->cols; c++) {
        float value = w[c];
        if (p->values == EDGE_SPARSE_INT8) value = scale == 0 ? 0 : nearest(value / scale);
        if (value == 0) continue;
        for (; c - at > widest; at += widest) store(p, widest, 0.0f);
        store(p, c - at, value);
        at = c;
    }
    return (uint32_t)(p->n_stored - before);
}

static EDGE_SMALL edge_status pack_rows(packing *p)
{
    p->n_stored = p->n_kept = 0;
    for (uint32_t row = 0; row < p->rows; row++) {
        float scale;
        uint32_t count;
        if (!scale_of(p, row, &scale)) return EDGE_ERR_NOT_FINITE;
        count = pack_row(p, row, scale);
        if (!p->bytes) continue;
        if (p->values == EDGE_SPARSE_INT8)
            memcpy(p->bytes + p->at.scales + 4 * (size_t)row, &scale, sizeof scale);
        if (p->cols > UINT16_MAX) {
            edge_store32(p->bytes + p->at.counts + 4 * (size_t)row, count);
        } else {
            const uint16_t narrow = (uint16_t)count;
            memcpy(p->bytes + p->at.counts + 2 * (size_t)row, &narrow, sizeof narrow);
        }
    }
    return EDGE_OK;
}

static int is_shaped(uint32_t rows, uint32_t cols, uint32_t values, uint32_t delta_bits)
{
    return rows && cols && (uint64_t)rows * cols <= EDGE_SPARSE_MAX &&
           values <= EDGE_SPARSE_INT8 && (delta_bits == 8 || delta_bits == 16);
}

/* Counts what there is to store. */
static EDGE_SMALL edge_status start(packing *p, const float *w, uint32_t rows, uint32_t cols,
                                    uint32_t values, uint32_t delta_bits)
{
    edge_status status;
    if (!w || !edge_aligned(w, sizeof *w) || !is_shaped(rows, cols, values, delta_bits))
        return EDGE_ERR_ARGUMENT;
    p->w = w;
    p->rows = rows;
    p->cols = cols;
    p->values = values;
    p->delta_bits = delta_bits;
    p->bytes = NULL;
    status = pack_rows(p);
    if (status != EDGE_OK) return status;
    p->at = layout_of(rows, cols, (uint32_t)p->n_stored, values, delta_bits);
    return p->at.size > SIZE_MAX / 2 ? EDGE_ERR_ARGUMENT : EDGE_OK;
}

EDGE_SMALL edge_status edge_sparse_pack_size(const float *w, uint32_t rows, uint32_t cols,
                                             edge_sparse_values values, uint32_t delta_bits,
                                             size_t *size)
{
    packing p;
    edge_status status;
    if (!size) return EDGE_ERR_ARGUMENT;
    *size = 0;
    status = start(&p, w, rows, cols, (uint32_t)values, delta_bits);
    if (status == EDGE_OK) *size = (size_t)p.at.size;
    return status;
}

EDGE_SMALL edge_status edge_sparse_pack(const float *w, uint32_t rows, uint32_t cols,
                                        edge_sparse_values values, uint32_t delta_bits,
                                        void *bytes, size_t size)
{
    packing p;
    edge_status status;
    if (!bytes) return EDGE_ERR_ARGUMENT;
    status = start(&p, w, rows, cols, (uint32_t)values, delta_bits);
    if (status != EDGE_OK) return status;
    if (size < p.at.size) return EDGE_ERR_CAPACITY;
    p.bytes = (uint8_t *)bytes;
    memset(p.bytes, 0, (size_t)p.at.entries);
    edge_store32(p.bytes, MAGIC);
    p.bytes[AT_VERSION] = VERSION;
    p.bytes[AT_VALUES] = (uint8_t)values;
    p.bytes[AT_DELTA_BITS] = (uint8_t)delta_bits;
    edge_store32(p.bytes + AT_ROWS, rows);
    edge_store32(p.bytes + AT_COLS, cols);
    edge_store32(p.bytes + AT_STORED, (uint32_t)p.n_stored);
    edge_store32(p.bytes + AT_KEPT, (uint32_t)p.n_kept);
    edge_store32(p.bytes + AT_DIGEST, digest_of(p.bytes));
    return pack_rows(&p);
}

/* ---- opening --------------------------------------------------------------------------- */

/* Sums of 16 bits, four at a time: the bytes of `word`, or its 16 bits. */
#define EVEN_BYTES 0x00ff00ff00ff00ffu
#define EVEN_HALVES 0x0000ffff0000ffffu

static uint64_t sum_of_halves(uint64_t sums)
{
    sums = (sums & EVEN_HALVES) + (sums >> 16 & EVEN_HALVES);
    return (sums & UINT32_MAX) + (sums >> 32);
}

/*
 * The sum of `n` bytes. The rest of less than a word comes with the word that ends there:
 * a packed weight has more than a word in front of its deltas.
 */
static uint64_t sum8(const uint8_t *at, size_t n)
{
    uint64_t total = 0;
    while (n >= 8) {
        const size_t here = n / 8 < 128 ? n / 8 : 128; /* 128 times 2 * 255 fit 16 bits */
        uint64_t sums = 0;
        for (size_t i = 0; i < here; i++, at += 8) {
            const uint64_t word = edge_load64(at);
            sums += (word & EVEN_BYTES) + (word >> 8 & EVEN_BYTES);
        }
        total += sum_of_halves(sums);
        n -= 8 * here;
    }
    const uint64_t rest = edge_load64(at + n - 8) >> (56 - 8 * n) >> 8;
    return total + sum_of_halves((rest & EVEN_BYTES) + (rest >> 8 & EVEN_BYTES));
}

static uint64_t sum16(const uint8_t *at, size_t n)
{
    uint64_t total = 0, sums = 0;
    size_t i = 0;
    for (; i + 4 <= n && i < 1u << 18; i += 4) {
        const uint64_t word = edge_load64(at + 2 * i);
        sums += (word & EVEN_HALVES) + (word >> 16 & EVEN_HALVES);
    }
    total = (sums & UINT32_MAX) + (sums >> 32);
    for (; i + 4 <= n; i++) total += edge_load16(at + 2 * i);
    const uint64_t rest = edge_load64(at + 2 * n - 8) >> (48 - 16 * (n - i)) >> 16;
    sums = (rest & EVEN_HALVES) + (rest >> 16 & EVEN_HALVES);
    return total + (sums & UINT32_MAX) + (sums >> 32);
}

static int rows_stay_inside(const edge_sparse *w)
{
    const size_t delta_bytes = w->delta_bits / 8;
    const uint8_t *deltas = w->deltas;
    size_t left = w->n_stored;
    for (uint32_t row = 0; row < w->rows; row++) {
        const uint32_t n = edge_sparse_count(w, row);
        if (n > left || n > w->cols) return 0;
        if ((delta_bytes == 1 ? sum8(deltas, n) : sum16(deltas, n)) >= w->cols) return 0;
        left -= n;
        deltas += n * delta_bytes;
    }
    return left == 0;
}

/* Finite, and neither negative nor -0. */
static int scales_are_sound(const edge_sparse *w)
{
    uint32_t row = 0;
    if (w->scales)
        while (row < w->rows && edge_load32(w->scales + 4 * (size_t)row) < 0x7f800000u) row++;
    return !w->scales || row == w->rows;
}

static edge_status look_at(edge_sparse *w, const uint8_t *bytes, size_t size)
{
    layout at;
    if (size < HEAD_BYTES || edge_load32(bytes) != MAGIC ||
        edge_load32(bytes + AT_DIGEST) != digest_of(bytes))
        return EDGE_ERR_FORMAT;
    if (bytes[AT_VERSION] != VERSION)
        return bytes[AT_VERSION] > VERSION ? EDGE_ERR_VERSION : EDGE_ERR_FORMAT;
    w->values = bytes[AT_VALUES];
    w->delta_bits = bytes[AT_DELTA_BITS];
    w->rows = edge_load32(bytes + AT_ROWS);
    w->cols = edge_load32(bytes + AT_COLS);
    w->n_stored = edge_load32(bytes + AT_STORED);
    w->n_kept = edge_load32(bytes + AT_KEPT);
    if (bytes[7] || edge_load32(bytes + 24) ||
        !is_shaped(w->rows, w->cols, w->values, w->delta_bits) || w->n_kept > w->n_stored)
        return EDGE_ERR_FORMAT;
    at = layout_of(w->rows, w->cols, w->n_stored, w->values, w->delta_bits);
    if (at.size != size) return EDGE_ERR_FORMAT;
    w->scales = w->values == EDGE_SPARSE_INT8 ? bytes + at.scales : NULL;
    w->counts = bytes + at.counts;
    w->entries = bytes + at.entries;
    w->deltas = bytes + at.deltas;
    return scales_are_sound(w) && rows_stay_inside(w) ? EDGE_OK : EDGE_ERR_FORMAT;
}

edge_status edge_sparse_open(edge_sparse *w, const void *bytes, size_t size)
{
    edge_status status;
    if (!w) return EDGE_ERR_ARGUMENT;
    memset(w, 0, sizeof *w);
    status = bytes ? look_at(w, (const uint8_t *)bytes, size) : EDGE_ERR_ARGUMENT;
    if (status != EDGE_OK) memset(w, 0, sizeof *w);
    return status;
}

EDGE_SMALL edge_status edge_sparse_unpack(const edge_sparse *w, float *dense)
{
    size_t i = 0;
    if (!edge_sparse_is_open(w) || !dense || !edge_aligned(dense, sizeof *dense))
        return EDGE_ERR_ARGUMENT;
    memset(dense, 0, (size_t)w->rows * w->cols * sizeof *dense);
    for (uint32_t row = 0; row < w->rows; row++, dense += w->cols) {
        const float scale = edge_sparse_scale(w, row);
        uint32_t column = 0;
        for (uint32_t n = edge_sparse_count(w, row); n; n--, i++) {
            column += w->delta_bits == 8 ? w->deltas[i] : edge_load16(w->deltas + 2 * i);
            dense[column] = w->scales ? (float)(int8_t)w->entries[i] * scale
                                      : edge_load_f32(w->entries + 4 * i);
        }
    }
    return EDGE_OK;
}
