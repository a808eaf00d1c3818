/*
 * Rows of a sparse matrix times a panel of columns, written once for vectors of any
 * width; for what is said before this file is included see kernels_mrl.h. EDGE_F_MOST:
 * the most vectors of columns that fit the registers, 4 or 8.
 *
 * A row's entries are read once, into places and factors, and then run over each panel,
 * whose sums stay in registers. Products are rounded before they are added, in the order
 * of the columns: every instruction set gives the same bits.
 */
#include "sparse.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define EDGE_F_UNROLL _Pragma("GCC unroll 16")
#else
#define EDGE_F_UNROLL
#endif
#if defined(__GNUC__)
#define EDGE_F_ALWAYS __attribute__((always_inline))
#else
#define EDGE_F_ALWAYS
#endif
#define EDGE_F_INLINE static inline EDGE_F_ALWAYS EDGE_F_TARGET

/* `count` vectors, a constant where this is called; the last one begins at `last`. */
EDGE_F_INLINE void EDGE_F_NAME(edge_panel)(const edge_sparse_row *row, const float *x, float *y,
                                           size_t last, const size_t count)
{
    const uint32_t *places = row->places;
    const uint8_t *factors = row->factors;
    const float *x_last = x + last;
    const size_t n = row->n;
    EDGE_F sum[EDGE_F_MOST];
    size_t j, v;
    EDGE_F_UNROLL
    for (v = 0; v < count; v++) sum[v] = EDGE_F_OP(set1)(0.0f);
    for (j = 0; j < n; j++) {
        const size_t place = places[j];
        const EDGE_F factor = EDGE_F_OP(set1)(edge_load_f32(factors + 4 * j));
        EDGE_F_UNROLL
        for (v = 0; v + 1 < count; v++)
            sum[v] = EDGE_F_OP(add)(
                sum[v], EDGE_F_OP(mul)(factor, EDGE_F_OP(load)(x + place + v * EDGE_F_LANES)));
        sum[count - 1] = EDGE_F_OP(add)(
            sum[count - 1], EDGE_F_OP(mul)(factor, EDGE_F_OP(load)(x_last + place)));
    }
    EDGE_F_UNROLL
    for (v = 0; v < count; v++) {
        EDGE_F out = EDGE_F_OP(mul)(sum[v], EDGE_F_OP(set1)(row->scale));
        out = EDGE_F_OP(add)(out, EDGE_F_OP(set1)(row->bias));
        /* The second if one is NaN. */
        out = EDGE_F_OP(max)(EDGE_F_OP(set1)(row->low), out);
        out = EDGE_F_OP(min)(EDGE_F_OP(set1)(row->high), out);
        EDGE_F_OP(store)(y + (v + 1 < count ? v * EDGE_F_LANES : last), out);
    }
}

static EDGE_F_TARGET void EDGE_F_NAME(edge_panels)(const edge_sparse_row *row,
                                                   const edge_sparse_job *job, float *y)
{
    const size_t vectors = (job->n + EDGE_F_LANES - 1) / EDGE_F_LANES;
    const size_t panels = (vectors + EDGE_F_MOST - 1) / EDGE_F_MOST;
    const size_t each = (vectors + panels - 1) / panels;
    size_t at, count, last;
    for (at = 0; at < vectors; at += count) {
        const size_t first = at * EDGE_F_LANES;
        count = vectors - at < each ? vectors - at : each;
        last = (at + count) * EDGE_F_LANES <= job->room ? (count - 1) * EDGE_F_LANES
                                                        : job->room - EDGE_F_LANES - first;
        switch (count) {
#define EDGE_F_CASE(n)                                                              \
    case n:                                                                         \
        EDGE_F_NAME(edge_panel)(row, job->x + first, y + first, last, n);           \
        break;
#if EDGE_F_MOST > 4
            EDGE_F_CASE(8)
            EDGE_F_CASE(7)
            EDGE_F_CASE(6)
            EDGE_F_CASE(5)
#endif
            EDGE_F_CASE(4)
            EDGE_F_CASE(3)
            EDGE_F_CASE(2)
        default:
            EDGE_F_NAME(edge_panel)(row, job->x + first, y + first, last, 1);
            break;
#undef EDGE_F_CASE
        }
    }
}

/* Where the columns of `n` entries meet x. */
EDGE_F_INLINE void EDGE_F_NAME(edge_places)(const edge_sparse_job *job, size_t entry, size_t n)
{
    const uint8_t *deltas = job->w->deltas;
    const uint32_t *offsets = job->offsets;
    const uint32_t stride = (uint32_t)job->stride;
    uint32_t *places = job->places;
    uint32_t at = 0;
    size_t j;
    if (job->w->delta_bits == 8) {
        deltas += entry;
        if (offsets)
            for (j = 0; j < n; j++) places[j] = offsets[at += deltas[j]];
        else
            for (j = 0; j < n; j++) places[j] = at += deltas[j] * stride;
    } else {
        deltas += 2 * entry;
        if (offsets)
            for (j = 0; j < n; j++) places[j] = offsets[at += edge_load16(deltas + 2 * j)];
        else
            for (j = 0; j < n; j++) places[j] = at += edge_load16(deltas + 2 * j) * stride;
    }
}

static EDGE_F_TARGET size_t EDGE_F_NAME(edge_rows)(const edge_sparse_job *job)
{
    const edge_sparse *w = job->w;
    size_t entry = job->entry, j;
    uint32_t i;
    edge_sparse_row row;
    row.low = job->finish.low;
    row.high = job->finish.high;
    row.places = job->places;
    for (i = 0; i < job->n_rows; i++) {
        row.n = edge_sparse_count(w, job->row + i);
        row.scale = edge_sparse_scale(w, job->row + i);
        row.bias = edge_sparse_bias(&job->finish, job->row + i);
        EDGE_F_NAME(edge_places)(job, entry, row.n);
        if (w->values == EDGE_SPARSE_INT8) {
            const int8_t *q = (const int8_t *)w->entries + entry;
            for (j = 0; j < row.n; j++) job->factors[j] = (float)q[j];
            row.factors = (const uint8_t *)job->factors;
        } else {
            row.factors = w->entries + 4 * entry;
        }
        EDGE_F_NAME(edge_panels)(&row, job, job->y + i * job->y_stride);
        entry += row.n;
    }
    return entry;
}
