/*
 * Sparse convolutions: the product of W and columns that are never written down.
 *
 * The image is copied into planes, padded with zeros, so that a column (channel, ky, kx)
 * is a stretch of memory, `pitch` numbers for each row of the output. Steps of the
 * stride are taken apart: rows and columns that the same k meets lie side by side. Two
 * layouts differ in their planes alone. Dense: one for each phase of the stride; kernels
 * reach beyond the end of an output's row, and what they compute there is dropped. Split:
 * one for each kx, as wide as the output, so that nothing is dropped, but more is copied.
 * A 1x1 convolution of stride 1 needs no planes: it reads the image itself.
 */
#include "sparse.h"

enum {
    BLOCK = 8,               /* rows of W whose outputs are cleared of what is dropped */
    CHUNK_FLOATS = 1 << 17,  /* of the planes, that one pass over W meets */
    LEAST_CHUNK = 64
};

typedef struct geometry {
    edge_conv2d s;
    uint32_t out_h, out_w;
    uint32_t phases_h, phases_w; /* planes of a channel, down and across */
    uint32_t plane_h, pitch;     /* rows of a plane and their width */
    uint64_t plane;              /* numbers in it */
    int in_place;
} geometry;

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* Outputs along one side; 0 if there are none. */
static uint64_t outputs(uint32_t size, uint32_t kernel, uint32_t stride, uint32_t pad)
{
    const uint64_t padded = (uint64_t)size + 2 * (uint64_t)pad;
    return padded < kernel ? 0 : (padded - kernel) / stride + 1;
}

static void lay_out(geometry *g, uint32_t phases_w)
{
    g->phases_w = phases_w;
    g->pitch = g->out_w + (g->s.kernel_w - 1) / phases_w;
    g->plane = (uint64_t)g->plane_h * g->pitch;
}

static uint64_t planes(const geometry *g)
{
    return (uint64_t)g->s.in_channels * g->phases_h * g->phases_w * g->plane;
}

/* Roughly, in vectors that are multiplied; a vector of copies counts half. */
static uint64_t cost(const geometry *g, const edge_sparse *w)
{
    const uint64_t outs = (uint64_t)g->out_h * g->out_w;
    const uint64_t met = (uint64_t)(g->out_h - 1) * g->pitch + g->out_w;
    const uint64_t copied = planes(g) + (g->pitch == g->out_w ? 0 : w->rows * outs);
    return (met + 15) / 16 * w->n_stored + copied / 32;
}

/* Whether the shape is one, and fits the matrix. */
static int is_shaped(const edge_sparse *w, const edge_conv2d *s, geometry *g)
{
    uint64_t out_h, out_w, taps;
    geometry split;
    if (!s->in_channels || !s->in_height || !s->in_width || !s->kernel_h || !s->kernel_w ||
        !s->stride_h || !s->stride_w)
        return 0;
    out_h = outputs(s->in_height, s->kernel_h, s->stride_h, s->pad_h);
    out_w = outputs(s->in_width, s->kernel_w, s->stride_w, s->pad_w);
    taps = (uint64_t)s->kernel_h * s->kernel_w; /* below 2^64, and no more than W's columns */
    if (!out_h || !out_w || taps > w->cols || taps * s->in_channels != w->cols ||
        out_h > EDGE_SPARSE_MAX || out_w > EDGE_SPARSE_MAX ||
        out_h * out_w > EDGE_SPARSE_MAX / w->rows ||
        (uint64_t)s->in_height * s->in_width > EDGE_SPARSE_MAX / s->in_channels ||
        s->pad_h > EDGE_SPARSE_MAX || s->pad_w > EDGE_SPARSE_MAX ||
        s->stride_h > EDGE_SPARSE_MAX || s->stride_w > EDGE_SPARSE_MAX)
        return 0;
    g->s = *s;
    g->out_h = (uint32_t)out_h;
    g->out_w = (uint32_t)out_w;
    g->phases_h = least(s->stride_h, s->kernel_h);
    g->plane_h = g->out_h + (s->kernel_h - 1) / g->phases_h;
    g->in_place = w->cols == s->in_channels && s->stride_h == 1 && s->stride_w == 1 &&
                  !s->pad_h && !s->pad_w && out_h * out_w >= EDGE_SPARSE_LANES;
    lay_out(g, least(s->stride_w, s->kernel_w));
    if (g->plane > EDGE_SPARSE_MAX) return 0;
    split = *g;
    lay_out(&split, s->kernel_w);
    if (split.plane <= g->plane * 2 && cost(&split, w) < cost(g, w)) *g = split;
    return g->in_place || planes(g) <= EDGE_SPARSE_MAX;
}

/* ---- the planes ------------------------------------------------------------------------ */

/* A few numbers, where a call of memcpy would take longer than the copy. */
static inline void copy_few(float *to, const float *from, size_t n)
{
    for (; n >= 4; n -= 4, to += 4, from += 4) memcpy(to, from, 4 * sizeof *to);
    for (; n; n--) *to++ = *from++;
}

/* Every `stride`-th number of a row of `width`, from `first` on, zeros where it has none. */
static void copy_row(const float *from, uint32_t width, int64_t first, uint32_t stride, float *to,
                     uint32_t pitch)
{
    uint32_t begin = 0, end = 0, o;
    if (first < 0) begin = (uint32_t)least((uint32_t)((-first - 1) / stride + 1), pitch);
    if (first < (int64_t)width)
        end = (uint32_t)((width - first - 1) / stride + 1 < pitch ? (width - first - 1) / stride + 1
                                                                  : pitch);
    for (o = 0; o < begin; o++) to[o] = 0;
    if (stride == 1 && o < end) {
        copy_few(to + o, from + first + o, end - o);
        o = end;
    } else
        for (; o < end; o++) to[o] = from[first + (int64_t)o * stride];
    for (; o < pitch; o++) to[o] = 0;
}

static void fill_planes(const geometry *g, const float *x, float *to)
{
    const edge_conv2d *s = &g->s;
    for (uint32_t c = 0; c < s->in_channels; c++, x += (size_t)s->in_height * s->in_width)
        for (uint32_t ky = 0; ky < g->phases_h; ky++)
            for (uint32_t kx = 0; kx < g->phases_w; kx++)
                for (uint32_t o = 0; o < g->plane_h; o++, to += g->pitch) {
                    const int64_t y = (int64_t)o * s->stride_h + ky - s->pad_h;
                    if (y < 0 || y >= s->in_height)
                        memset(to, 0, g->pitch * sizeof *to);
                    else
                        copy_row(x + (size_t)y * s->in_width, s->in_width,
                                 (int64_t)kx - s->pad_w, s->stride_w, to, g->pitch);
                }
}

/* Where each column of W begins in the planes: in every channel as in the first one. */
static void find_columns(const geometry *g, uint32_t *offsets)
{
    const uint32_t taps = g->s.kernel_h * g->s.kernel_w;
    const uint32_t channel = (uint32_t)((uint64_t)g->phases_h * g->phases_w * g->plane);
    for (uint32_t ky = 0; ky < g->s.kernel_h; ky++)
        for (uint32_t kx = 0; kx < g->s.kernel_w; kx++) {
            const uint64_t plane = (uint64_t)(ky % g->phases_h) * g->phases_w + kx % g->phases_w;
            *offsets++ = (uint32_t)(plane * g->plane + ky / g->phases_h * (uint64_t)g->pitch +
                                    kx / g->phases_w);
        }
    for (uint32_t c = 1; c < g->s.in_channels; c++)
        for (uint32_t tap = 0; tap < taps; tap++, offsets++)
            *offsets = *(offsets - taps) + channel;
}

/* ---- the product ----------------------------------------------------------------------- */

typedef struct plan {
    geometry g;
    uint32_t chunk;    /* of columns of outputs, or of rows if their ends are dropped */
    uint32_t wide;     /* numbers in a row of `block` */
    float *x;
    float *block;      /* (BLOCK, wide): outputs with what is to be dropped */
    uint32_t *offsets, *places;
    float *factors;
    uint64_t size;
} plan;

/* Whether the outputs go straight into y. */
static int is_straight(const geometry *g)
{
    return (g->in_place || g->pitch == g->out_w) &&
           (uint64_t)g->out_h * g->out_w >= EDGE_SPARSE_LANES;
}

static void plan_for(plan *p, const edge_sparse *w, edge_room room)
{
    const geometry *g = &p->g;
    const uint32_t outs = g->out_h * g->out_w;
    const uint64_t each = (uint64_t)g->s.in_channels * g->phases_h * g->phases_w;
    const uint32_t columns =
        each > CHUNK_FLOATS / LEAST_CHUNK ? (uint32_t)LEAST_CHUNK : CHUNK_FLOATS / (uint32_t)each;
    if (is_straight(g)) {
        const uint32_t chunks = (outs - 1) / columns + 1;
        p->chunk = (uint32_t)edge_align((outs - 1) / chunks + 1, EDGE_SPARSE_LANES);
        p->wide = 0;
    } else {
        p->chunk = least(columns / g->pitch + 1, g->out_h);
        p->wide = (uint32_t)edge_align((size_t)p->chunk * g->pitch, EDGE_SPARSE_LANES);
    }
    p->x = (float *)edge_room_take(&room, g->in_place ? 0 : planes(g) + EDGE_SPARSE_LANES,
                                   sizeof *p->x);
    p->block = (float *)edge_room_take(&room, (uint64_t)BLOCK * p->wide, sizeof *p->block);
    p->offsets = (uint32_t *)edge_room_take(&room, g->in_place ? 0 : w->cols, sizeof *p->offsets);
    p->places = (uint32_t *)edge_room_take(&room, w->cols, sizeof *p->places);
    p->factors = (float *)edge_room_take(&room, w->scales ? w->cols : 0, sizeof *p->factors);
    p->size = room.size + 63;
}

edge_status edge_sparse_conv2d_scratch_size(const edge_sparse *w, const edge_conv2d *shape,
                                            size_t *size)
{
    edge_room none;
    plan p;
    if (!size) return EDGE_ERR_ARGUMENT;
    *size = 0;
    if (!edge_sparse_is_open(w) || !shape || !is_shaped(w, shape, &p.g)) return EDGE_ERR_ARGUMENT;
    none.start = NULL;
    none.size = 0;
    plan_for(&p, w, none);
    if (p.size > SIZE_MAX / 2) return EDGE_ERR_ARGUMENT;
    *size = (size_t)p.size;
    return EDGE_OK;
}

/* Chunks of the outputs, of all rows each; the last one may begin in the one before it. */
static void convolve_straight(const plan *p, edge_sparse_job job, const float *x, float *y)
{
    edge_sparse_rows_fn *const rows = edge_sparse_rows();
    const size_t outs = (size_t)p->g.out_h * p->g.out_w;
    job.y_stride = outs;
    job.n_rows = job.w->rows;
    for (size_t at = 0; at < outs; at += p->chunk) {
        const size_t begin = outs - at < EDGE_SPARSE_LANES ? outs - EDGE_SPARSE_LANES : at;
        job.n = job.room = outs - begin < p->chunk ? outs - begin : p->chunk;
        job.x = x + begin;
        job.y = y + begin;
        rows(&job);
    }
}

/* Chunks of rows of the outputs. */
static void convolve_and_drop(const plan *p, edge_sparse_job job, float *y)
{
    edge_sparse_rows_fn *const rows = edge_sparse_rows();
    const geometry *g = &p->g;
    const size_t outs = (size_t)g->out_h * g->out_w;
    job.y = p->block;
    job.y_stride = p->wide;
    for (uint32_t top = 0; top < g->out_h; top += p->chunk) {
        const uint32_t here = least(p->chunk, g->out_h - top);
        job.x = p->x + (size_t)top * g->pitch;
        job.n = (size_t)(here - 1) * g->pitch + g->out_w;
        job.room = edge_align(job.n, EDGE_SPARSE_LANES);
        job.entry = 0;
        for (job.row = 0; job.row < job.w->rows; job.row += BLOCK) {
            job.n_rows = least(BLOCK, job.w->rows - job.row);
            job.entry = rows(&job);
            for (uint32_t i = 0; i < job.n_rows; i++)
                for (uint32_t j = 0; j < here; j++)
                    copy_few(y + (job.row + i) * outs + (size_t)(top + j) * g->out_w,
                             p->block + (size_t)i * p->wide + (size_t)j * g->pitch, g->out_w);
        }
    }
}

edge_status edge_sparse_conv2d(const edge_sparse *w, const edge_conv2d *shape, const float *x,
                               const float *bias, float low, float high, float *y, void *scratch,
                               size_t scratch_size)
{
    edge_sparse_job job;
    size_t size;
    plan p;
    const edge_status status = edge_sparse_conv2d_scratch_size(w, shape, &size);
    if (status != EDGE_OK) return status;
    if (!x || !y || !scratch || !edge_aligned(x, sizeof *x) || !edge_aligned(y, sizeof *y) ||
        !edge_aligned(bias, sizeof *bias) || !edge_sparse_finishes(bias, low, high, &job.finish))
        return EDGE_ERR_ARGUMENT;
    if (scratch_size < size) return EDGE_ERR_CAPACITY;
    if (!is_shaped(w, shape, &p.g)) return EDGE_ERR_ARGUMENT;
    plan_for(&p, w, edge_room_in(scratch));
    job.w = w;
    job.row = 0;
    job.entry = 0;
    job.places = p.places;
    job.factors = p.factors;
    job.offsets = p.g.in_place ? NULL : p.offsets;
    job.stride = (size_t)shape->in_height * shape->in_width;
    if (!p.g.in_place) {
        fill_planes(&p.g, x, p.x);
        find_columns(&p.g, p.offsets);
    }
    if (is_straight(&p.g))
        convolve_straight(&p, job, p.g.in_place ? x : p.x, y);
    else
        convolve_and_drop(&p, job, y);
    return EDGE_OK;
}
