/*
 * Sparse linear layers. Tokens are taken by the chunk: turned round, so that each input
 * of all of them lies in one row, multiplied, and turned back by blocks of outputs.
 */
#include "kernels.h"
#include "sparse.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

enum {
    FEW = 3,             /* so many tokens are faster one by one */
    SIDE_BY_SIDE = 4,    /* rows of them */
    SHORT_ROW = 16,      /* entries on average */
    BLOCK = 16,          /* outputs that are turned back at a time: a line of the cache */
    CHUNK_FLOATS = 1 << 17 /* of inputs turned round: half of a small second-level cache */
};

edge_sparse_rows_fn *edge_sparse_rows(void)
{
    const edge_kernels *active = edge_kernels_active();
#define EDGE_KERNEL(isa) \
    if (active == &edge_kernels__##isa) return edge_sparse_rows__##isa;
#include "kernels.def"
#undef EDGE_KERNEL
    return edge_sparse_rows__scalar;
}

/* ---- one token ------------------------------------------------------------------------- */

#if defined(__GNUC__) && !defined(__clang__)
#define UNROLL _Pragma("GCC unroll 8")
#else
#define UNROLL
#endif
#if defined(__GNUC__)
#define ALWAYS __attribute__((always_inline))
#else
#define ALWAYS
#endif

/* Where a row is read, and what it sums to so far. */
typedef struct reader {
    const uint8_t *deltas, *values;
    size_t n, column;
    float sum;
} reader;

static inline float value_at(const uint8_t *values, size_t j, const int int8)
{
    return int8 ? (float)(int8_t)values[j] : edge_load_f32(values + 4 * j);
}

/*
 * The first `n` entries of each of the rows side by side: one sum alone would wait for
 * itself. The types of deltas and values are constants where this is called.
 */
static inline ALWAYS void take(reader *rows, size_t n, const float *x, const int wide,
                               const int int8)
{
    const uint8_t *deltas[SIDE_BY_SIDE], *values[SIDE_BY_SIDE];
    size_t column[SIDE_BY_SIDE] = {0};
    float sum[SIDE_BY_SIDE] = {0};
    UNROLL for (int i = 0; i < SIDE_BY_SIDE; i++) {
        deltas[i] = rows[i].deltas;
        values[i] = rows[i].values;
    }
    for (size_t j = 0; j < n; j++) {
        UNROLL for (int i = 0; i < SIDE_BY_SIDE; i++) {
            column[i] += wide ? edge_load16(deltas[i] + 2 * j) : deltas[i][j];
            sum[i] += value_at(values[i], j, int8) * x[column[i]];
        }
    }
    UNROLL for (int i = 0; i < SIDE_BY_SIDE; i++) {
        rows[i].column = column[i];
        rows[i].sum = sum[i];
    }
}

/* The other entries of a row, from the j-th on. */
static inline ALWAYS float take_from(const reader *r, size_t j, const float *x, const int wide,
                                     const int int8)
{
    size_t column = r->column;
    float sum = r->sum;
    for (; j < r->n; j++) {
        column += wide ? edge_load16(r->deltas + 2 * j) : r->deltas[j];
        sum += value_at(r->values, j, int8) * x[column];
    }
    return sum;
}

static float take_rest(const reader *r, size_t j, const float *x, int wide, int int8)
{
    return take_from(r, j, x, wide, int8);
}

static inline float finished(float sum, const edge_sparse *w, const edge_sparse_finish *finish,
                             uint32_t row)
{
    sum *= edge_sparse_scale(w, row);
    sum += edge_sparse_bias(finish, row);
    sum = finish->low > sum ? finish->low : sum;
    return finish->high < sum ? finish->high : sum;
}

/*
 * Rows of few entries, one by one: the processor works on the next ones meanwhile, and
 * side by side each would leave a rest whose end it can not foresee.
 */
static inline ALWAYS void short_rows(const edge_sparse *w, const float *x,
                                     const edge_sparse_finish *finish, float *y, const int int8)
{
    reader r = {w->deltas, w->entries, 0, 0, 0.0f};
    for (uint32_t row = 0; row < w->rows; row++) {
        r.n = edge_sparse_count(w, row);
        y[row] = finished(take_from(&r, 0, x, 0, int8), w, finish, row);
        r.deltas += r.n;
        r.values += r.n * (int8 ? 1 : 4);
    }
}

static void long_rows(const edge_sparse *w, const float *x, const edge_sparse_finish *finish,
                      float *y)
{
    const int wide = w->delta_bits == 16, int8 = w->values == EDGE_SPARSE_INT8;
    const uint8_t *deltas = w->deltas, *values = w->entries;
    for (uint32_t row = 0; row < w->rows; row += SIDE_BY_SIDE) {
        reader rows[SIDE_BY_SIDE];
        size_t common = SIZE_MAX;
        for (uint32_t i = 0; i < SIDE_BY_SIDE; i++) {
            reader *r = &rows[i];
            r->n = row + i < w->rows ? edge_sparse_count(w, row + i) : 0;
            r->deltas = deltas;
            r->values = values;
            deltas += r->n * (wide ? 2 : 1);
            values += r->n * (int8 ? 1 : 4);
            if (r->n < common) common = r->n;
        }
        switch (2 * wide + int8) {
        case 0: take(rows, common, x, 0, 0); break;
        case 1: take(rows, common, x, 0, 1); break;
        case 2: take(rows, common, x, 1, 0); break;
        default: take(rows, common, x, 1, 1); break;
        }
        for (uint32_t i = 0; i < SIDE_BY_SIDE && row + i < w->rows; i++)
            y[row + i] = finished(take_rest(&rows[i], common, x, wide, int8), w, finish, row + i);
    }
}

void edge_sparse_vector(const edge_sparse *w, const float *x, const edge_sparse_finish *finish,
                        float *y)
{
    if (w->delta_bits == 16 || w->n_stored / SHORT_ROW >= w->rows)
        long_rows(w, x, finish, y);
    else if (w->values == EDGE_SPARSE_INT8)
        short_rows(w, x, finish, y, 1);
    else
        short_rows(w, x, finish, y, 0);
}

/* ---- many tokens ----------------------------------------------------------------------- */

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) && (defined(__SSE__) || defined(__ARM_NEON))
#define TURN_FOUR
#endif
#endif

#ifdef TURN_FOUR
typedef float four __attribute__((vector_size(16)));

static inline ALWAYS four load4(const float *at)
{
    four v;
    memcpy(&v, at, sizeof v);
    return v;
}

/* Four rows of four. */
static inline ALWAYS void turn4(const float *from, size_t stride, float *to, size_t to_stride)
{
    const four a = load4(from), b = load4(from + stride);
    const four c = load4(from + 2 * stride), d = load4(from + 3 * stride);
    const four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const four cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const four rows[4] = {__builtin_shufflevector(ab, cd, 0, 1, 4, 5),
                          __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
                          __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                          __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
    for (size_t i = 0; i < 4; i++) memcpy(to + i * to_stride, &rows[i], sizeof rows[i]);
}
#endif

static void turn_plainly(const float *from, size_t stride, size_t rows, size_t cols, float *to,
                         size_t to_stride)
{
    for (size_t c = 0; c < cols; c++)
        for (size_t r = 0; r < rows; r++) to[c * to_stride + r] = from[r * stride + c];
}

/* to[c * to_stride + r] = from[r * stride + c] for r < rows, c < cols: lines of the cache whole. */
static void turn(const float *from, size_t stride, size_t rows, size_t cols, float *to,
                 size_t to_stride)
{
    size_t fours = 0, columns = 0;
#ifdef TURN_FOUR
    fours = rows / 4 * 4;
    columns = cols / 4 * 4;
    for (size_t line = 0; line < columns; line += 16) {
        const size_t end = columns - line < 16 ? columns : line + 16;
        for (size_t r = 0; r < fours; r += 4)
            for (size_t c = line; c < end; c += 4)
                turn4(from + r * stride + c, stride, to + c * to_stride + r, to_stride);
    }
#endif
    turn_plainly(from + columns, stride, fours, cols - columns, to + columns * to_stride,
                 to_stride);
    turn_plainly(from + fours * stride, stride, rows - fours, cols, to + fours, to_stride);
}

/* The parts of the scratch room. */
typedef struct plan {
    uint32_t chunk; /* tokens, a multiple of 16 */
    float *x;       /* (cols, chunk) */
    float *block;   /* (BLOCK, chunk) */
    uint32_t *places;
    float *factors;
    uint64_t size;
} plan;

static plan plan_of(const edge_sparse *w, uint32_t n, edge_room room)
{
    const uint64_t floats = (uint64_t)w->cols * ((uint64_t)n + 15);
    const uint32_t chunks = (uint32_t)(floats / CHUNK_FLOATS + 1);
    plan p;
    p.chunk = (uint32_t)edge_align((n - 1) / chunks + 1, EDGE_SPARSE_LANES);
    p.x = (float *)edge_room_take(&room, (uint64_t)w->cols * p.chunk, sizeof *p.x);
    p.block = (float *)edge_room_take(&room, (uint64_t)BLOCK * p.chunk, sizeof *p.block);
    p.places = (uint32_t *)edge_room_take(&room, w->cols, sizeof *p.places);
    p.factors = (float *)edge_room_take(&room, w->scales ? w->cols : 0, sizeof *p.factors);
    p.size = room.size + 63;
    return p;
}

edge_status edge_sparse_linear_scratch_size(const edge_sparse *w, uint32_t n, size_t *size)
{
    edge_room none;
    plan p;
    if (!size) return EDGE_ERR_ARGUMENT;
    *size = 0;
    if (!edge_sparse_is_open(w) || !n || ((uint64_t)n + 15) * w->cols > EDGE_SPARSE_MAX ||
        (uint64_t)n * w->rows > EDGE_SPARSE_MAX)
        return EDGE_ERR_ARGUMENT;
    if (n <= FEW) return EDGE_OK;
    none.start = NULL;
    none.size = 0;
    p = plan_of(w, n, none);
    if (p.size > SIZE_MAX / 2) return EDGE_ERR_ARGUMENT;
    *size = (size_t)p.size;
    return EDGE_OK;
}

/* `n` tokens, at most a chunk. */
static void multiply_chunk(const plan *p, edge_sparse_job job, const float *x, size_t n, float *y)
{
    edge_sparse_rows_fn *const rows = edge_sparse_rows();
    const uint32_t all = job.w->rows, cols = job.w->cols;
    turn(x, cols, n, cols, p->x, p->chunk);
    if (n % EDGE_SPARSE_LANES) /* what fills the last vectors */
        for (size_t c = 0; c < cols; c++)
            for (size_t r = n; r < edge_align(n, EDGE_SPARSE_LANES); r++)
                p->x[c * p->chunk + r] = 0;
    job.x = p->x;
    job.offsets = NULL;
    job.stride = job.y_stride = p->chunk;
    job.n = n;
    job.room = edge_align(n, EDGE_SPARSE_LANES);
    job.y = p->block;
    job.places = p->places;
    job.factors = p->factors;
    job.entry = 0;
    for (job.row = 0; job.row < all; job.row += BLOCK) {
        job.n_rows = all - job.row < BLOCK ? all - job.row : (uint32_t)BLOCK;
        job.entry = rows(&job);
        turn(p->block, p->chunk, job.n_rows, n, y + job.row, all);
    }
}

edge_status edge_sparse_linear(const edge_sparse *w, const float *x, uint32_t n, const float *bias,
                               float low, float high, float *y, void *scratch,
                               size_t scratch_size)
{
    edge_sparse_job job;
    size_t size;
    plan p;
    edge_status status = edge_sparse_linear_scratch_size(w, n, &size);
    if (status != EDGE_OK) return status;
    if (!x || !y || !edge_aligned(x, sizeof *x) || !edge_aligned(y, sizeof *y) ||
        !edge_aligned(bias, sizeof *bias) || (size && !scratch) ||
        !edge_sparse_finishes(bias, low, high, &job.finish))
        return EDGE_ERR_ARGUMENT;
    if (scratch_size < size) return EDGE_ERR_CAPACITY;
    if (n <= FEW) {
        for (; n; n--, x += w->cols, y += w->rows) edge_sparse_vector(w, x, &job.finish, y);
        return EDGE_OK;
    }
    p = plan_of(w, n, edge_room_in(scratch));
    job.w = w;
    while (n) {
        const uint32_t here = n < p.chunk ? n : p.chunk;
        multiply_chunk(&p, job, x, here, y);
        x += (size_t)here * w->cols;
        y += (size_t)here * w->rows;
        n -= here;
    }
    return EDGE_OK;
}
