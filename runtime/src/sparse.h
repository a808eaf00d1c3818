/* Sparse matrices: what sparse*.c want of each other and of each instruction set. */
#ifndef EDGE_SPARSE_H
#define EDGE_SPARSE_H

#include "bytes.h"
#include "edge_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Columns of a panel start at a multiple of so many, and no vector is wider. */
#define EDGE_SPARSE_LANES 16u

static inline float edge_load_f32(const uint8_t *at)
{
    float value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint32_t edge_load16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The stored entries of a row. */
static inline uint32_t edge_sparse_count(const edge_sparse *w, uint32_t row)
{
    return w->cols > UINT16_MAX ? edge_load32(w->counts + 4 * (size_t)row)
                                : edge_load16(w->counts + 2 * (size_t)row);
}

static inline float edge_sparse_scale(const edge_sparse *w, uint32_t row)
{
    return w->scales ? edge_load_f32(w->scales + 4 * (size_t)row) : 1.0f;
}

/* What comes behind the sums; low and high are never -0, and so is no output. */
typedef struct edge_sparse_finish {
    const float *bias; /* or NULL */
    float low, high;
} edge_sparse_finish;

/* The bias of a row, never -0. */
static inline float edge_sparse_bias(const edge_sparse_finish *finish, uint32_t row)
{
    return finish->bias ? finish->bias[row] + 0.0f : 0.0f;
}

/*
 * Some rows of W times X, of which column c of W meets the `n` numbers from
 * x + offsets[c] on, or from x + c * stride on if there are no offsets. Numbers may
 * be read and written up to `room`, at least n and at least 16, but no further.
 */
typedef struct edge_sparse_job {
    const edge_sparse *w;
    edge_sparse_finish finish;
    uint32_t row, n_rows;
    size_t entry; /* the first of the first row */
    const float *x;
    const uint32_t *offsets;
    size_t stride, n, room;
    float *y; /* of the first row; rows are y_stride apart */
    size_t y_stride;
    uint32_t *places; /* (cols): room for a row, as offsets from x */
    float *factors;   /* (cols), for int8: and its values */
} edge_sparse_job;

/* A row as the kernels want it. */
typedef struct edge_sparse_row {
    const uint32_t *places;
    const uint8_t *factors; /* f32, at any address */
    size_t n;
    float scale, bias, low, high;
} edge_sparse_row;

/* Returns the first entry of the row after the last one. */
typedef size_t edge_sparse_rows_fn(const edge_sparse_job *job);

#define EDGE_KERNEL(isa) extern edge_sparse_rows_fn *const edge_sparse_rows__##isa;
#include "kernels.def"
#undef EDGE_KERNEL

/* Of the instruction set in use. */
edge_sparse_rows_fn *edge_sparse_rows(void);

/* W times one vector x of `cols` numbers: y of `rows`. */
void edge_sparse_vector(const edge_sparse *w, const float *x, const edge_sparse_finish *finish,
                        float *y);

/* Whether it was opened; and whether low and high can be kept, as `finish` then says. */
static inline int edge_sparse_is_open(const edge_sparse *w) { return w && w->entries; }

static inline int edge_sparse_finishes(const float *bias, float low, float high,
                                       edge_sparse_finish *finish)
{
    finish->bias = bias;
    finish->low = low + 0.0f;
    finish->high = high + 0.0f;
    return low <= high;
}

/* Parts of a scratch room: each begins at a multiple of 64. */
typedef struct edge_room {
    uint8_t *start; /* NULL: only `size` is wanted */
    uint64_t size;
} edge_room;

static inline void *edge_room_take(edge_room *room, uint64_t count, size_t each)
{
    void *part = room->start ? room->start + (size_t)room->size : NULL;
    room->size += (count * each + 63) / 64 * 64;
    return part;
}

/* Of a room without its first bytes, up to a multiple of 64: those are in its size. */
static inline edge_room edge_room_in(void *scratch)
{
    edge_room room;
    room.start = (uint8_t *)scratch + (64 - (uintptr_t)scratch % 64) % 64;
    room.size = 0;
    return room;
}

#ifdef __cplusplus
}
#endif

#endif /* EDGE_SPARSE_H */
