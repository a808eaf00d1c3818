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

/* The sum of a row; the type of its deltas and values are constants where this is called. */
static inline float dot(const edge_sparse *w, size_t entry, size_t n, const float *x,
                        const int is_wide, const int is_int8)
{
    const uint8_t *deltas = w->deltas + entry * (is_wide ? 2 : 1);
    const uint8_t *values = w->entries + entry * (is_int8 ? 1 : 4);
    float sum = 0;
    size_t at = 0;
    for (size_t j = 0; j < n; j++) {
        const float value = is_int8 ? (float)(int8_t)values[j] : edge_load_f32(values + 4 * j);
        at += is_wide ? edge_load16(deltas + 2 * j) : deltas[j];
        sum += value * x[at];
    }
    return sum;
}

static inline void vector(const edge_sparse *w, const float *x, const edge_sparse_finish *finish,
                          float *y, const int is_wide, const int is_int8)
{
    size_t entry = 0;
    for (uint32_t row = 0; row < w->rows; row++) {
        const size_t n = edge_sparse_count(w, row);
        float sum = dot(w, entry, n, x, is_wide, is_int8);
        if (is_int8) sum *= edge_sparse_scale(w, row);
        sum += edge_sparse_bias(finish, row);
        sum = finish->low > sum ? finish->low : sum;
        y[row] = finish->high < sum ? finish->high : sum;
        entry += n;
    }
}

void edge_sparse_vector(const edge_sparse *w, const float *x, const edge_sparse_finish *finish,
                        float *y)
{
    if (w->delta_bits == 8) {
        if (w->values == EDGE_SPARSE_INT8) vector(w, x, finish, y, 0, 1);
        else vector(w, x, finish, y, 0, 0);
    } else {
        if (w->values == EDGE_SPARSE_INT8) vector(w, x, finish, y, 1, 1);
        else vector(w, x, finish, y, 1, 0);
    }
}

/* ---- many tokens ----------------------------------------------------------------------- */

/* to[c * to_stride + r] = from[r * stride + c] for r < rows, c < cols. */
static void turn(const float *from, size_t stride, size_t rows, size_t cols, float *to,
                 size_t to_stride)
{
    for (size_t c = 0; c < cols; c++)
        for (size_t r = 0; r < rows; r++) to[c * to_stride + r] = from[r * stride + c];
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
        job.n_rows = all - job.row < BLOCK ? all - job.row : BLOCK;
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
