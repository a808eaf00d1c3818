/*
 * FastGRNN cells (Kusupati et al. 2018, arXiv:1901.02358, equations 3-4), whole
 * sequences and step by step, to the same bits.
 *
 *     p  = x W + h U
 *     z  = gate(p + bias_gate)
 *     c  = update(p + bias_update)
 *     h' = z h + (zeta (1 - z) + nu) c
 */
#include "fastgrnn.h"

#include "fastgrnn_fixed.h"
#include "kernels.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* x W of so many frames at a time: the weights of W stay near while U rests. */
#define FRAMES 32u

static size_t lanes(size_t n) { return edge_fastgrnn_lanes(n); }
static size_t width(size_t n) { return edge_fastgrnn_width(n); }
static size_t even(size_t n) { return edge_align(n, 2); }

static const edge_fastgrnn_kernels *kernels(void)
{
    const edge_kernels *active = edge_kernels_active();
#define EDGE_KERNEL(isa) \
    if (active == &edge_kernels__##isa) return &edge_fastgrnn__##isa;
#include "kernels.def"
#undef EDGE_KERNEL
    return &edge_fastgrnn__scalar;
}

/* ---- the state ----------------------------------------------------------------------- */

/* Its parts, in floats from the start. */
typedef struct layout {
    size_t next; /* the state that a step works on; h itself is at 0 */
    size_t uh;   /* h U */
    size_t low;  /* the middle of a low-rank product */
    size_t x;    /* one frame, normalized */
    size_t sums; /* of a sparse product */
    size_t wx;   /* x W of FRAMES frames; logits */
    size_t size;
} layout;

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static layout layout_of(const edge_fastgrnn *cell)
{
    const size_t h = lanes(cell->n_hidden), c = lanes(cell->n_classes);
    const size_t rank = lanes(larger(cell->rank_w, cell->rank_u));
    const int sparse = cell->w[0].starts || cell->w[1].starts || cell->u[0].starts ||
                       cell->u[1].starts || cell->head.starts;
    layout at;
    at.next = h;
    at.uh = 2 * h;
    at.low = 3 * h;
    at.x = at.low + rank;
    at.sums = at.x + lanes(cell->n_inputs);
    at.wx = at.sums + (sparse ? 2 * larger(larger(h, c), rank) : 0);
    at.size = at.wx + larger(FRAMES * h, c);
    return at;
}

size_t edge_fastgrnn_state_size(const edge_fastgrnn *cell)
{
    if (!cell || !cell->n_hidden) return 0;
    return cell->integers ? edge_fixed_state_size(cell) : layout_of(cell).size * sizeof(float);
}

static edge_status check_state(const edge_fastgrnn *cell, const void *state, size_t size)
{
    if (!cell || !cell->n_hidden || !state || !edge_aligned(state, sizeof(float)))
        return EDGE_ERR_ARGUMENT;
    return size < edge_fastgrnn_state_size(cell) ? EDGE_ERR_CAPACITY : EDGE_OK;
}

EDGE_SMALL
edge_status edge_fastgrnn_init(const edge_fastgrnn *cell, void *state, size_t state_size)
{
    const edge_status status = check_state(cell, state, state_size);
    if (status == EDGE_OK) memset(state, 0, edge_fastgrnn_state_size(cell));
    return status;
}

/* 2^-bits. */
static double unit(int32_t bits)
{
    const uint64_t word = (uint64_t)(1023 - bits) << 52;
    double value;
    memcpy(&value, &word, sizeof value);
    return value;
}

/* An integer of `bits` bits after the point as a float, exact up to 24 bits. */
static float real_of(int32_t q, int32_t bits) { return (float)((double)q * unit(bits)); }

/* A finite x as an int16 of `bits` bits: rounded half up, saturated. */
static int16_t fixed_of(float x, int32_t bits)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52: added, it leaves the nearest integer */
    double scaled = (double)x * unit(-bits), whole;
    uint64_t word;
    scaled = scaled < -40000.0 ? -40000.0 : scaled > 40000.0 ? 40000.0 : scaled;
    scaled += 0.5;
    whole = scaled + magic;
    if (whole - magic > scaled) whole -= 1.0;
    memcpy(&word, &whole, sizeof word);
    const int32_t q = (int32_t)(uint32_t)word;
    return (int16_t)(q < -32768 ? -32768 : q > 32767 ? 32767 : q);
}

edge_status edge_fastgrnn_get(const edge_fastgrnn *cell, const void *state, size_t state_size,
                              float *h)
{
    const edge_status status = check_state(cell, state, state_size);
    if (status != EDGE_OK) return status;
    if (!h) return EDGE_ERR_ARGUMENT;
    if (!cell->integers)
        memcpy(h, state, cell->n_hidden * sizeof *h);
    else
        for (uint32_t i = 0; i < cell->n_hidden; i++)
            h[i] = real_of(((const int16_t *)state)[i], cell->state_bits);
    return EDGE_OK;
}

edge_status edge_fastgrnn_set(const edge_fastgrnn *cell, void *state, size_t state_size,
                              const float *h)
{
    const edge_status status = check_state(cell, state, state_size);
    if (status != EDGE_OK) return status;
    if (!h) return EDGE_ERR_ARGUMENT;
    if (!kernels()->finite(h, cell->n_hidden)) return EDGE_ERR_NOT_FINITE;
    if (!cell->integers)
        memcpy(state, h, cell->n_hidden * sizeof *h);
    else
        for (uint32_t i = 0; i < cell->n_hidden; i++)
            ((int16_t *)state)[i] = fixed_of(h[i], cell->state_bits);
    return EDGE_OK;
}

/* ---- products ------------------------------------------------------------------------ */

/* As a dense product of the same matrix, to the bit: what a zero adds changes no sum. */
static void sparse_product(const edge_factor *f, const float *x, float *sums, float *y)
{
    const size_t n = width(f->n_out);
    memset(sums, 0, 2 * n * sizeof *sums);
    for (uint32_t d = 0; d < f->n_in; d++) {
        float *row = sums + (d % 2) * n;
        for (uint32_t j = f->starts[d]; j < f->starts[d + 1]; j++)
            row[edge_fastgrnn_index(f, j)] += x[d] * f->values[j];
    }
    for (size_t i = 0; i < n; i++)
        y[i] = sums[i] + sums[i + n];
}

/* A state that is being worked on. */
typedef struct work {
    const edge_fastgrnn *cell;
    const edge_fastgrnn_kernels *kernels;
    layout at;
    float *state;
} work;

static void product(const work *on, const edge_factor *f, const float *x, float *y)
{
    if (f->starts)
        sparse_product(f, x, on->state + on->at.sums, y);
    else
        on->kernels->product(f->values, x, even(f->n_in), width(f->n_out), y);
}

/* y = x M of one matrix, or of two. */
static void products(const work *on, const edge_factor pair[2], const float *x, float *y)
{
    if (pair[0].n_out) {
        float *low = on->state + on->at.low;
        product(on, &pair[0], x, low);
        x = low;
    }
    product(on, &pair[1], x, y);
}

/* ---- the calls ----------------------------------------------------------------------- */

/* Frames of one pass over W and one over U; `h` is where the states go, or NULL. */
static void advance(const work *on, const float *x, size_t n_frames, float *h)
{
    const edge_fastgrnn *cell = on->cell;
    const size_t stride = lanes(cell->n_hidden);
    float *now = on->state + on->at.next, *uh = on->state + on->at.uh;
    float *wx = on->state + on->at.wx;
    for (size_t t = 0; t < n_frames; t++) {
        const float *frame = x + t * cell->n_inputs;
        float *room = on->state + on->at.x;
        if (cell->mean)
            on->kernels->normalize(cell, frame, room);
        else
            memcpy(room, frame, cell->n_inputs * sizeof *room);
        products(on, cell->w, room, wx + t * stride);
    }
    for (size_t t = 0; t < n_frames; t++) {
        products(on, cell->u, now, uh);
        on->kernels->update(cell, wx + t * stride, uh, now);
        if (h) memcpy(h + t * cell->n_hidden, now, cell->n_hidden * sizeof *h);
    }
}

static edge_status start(const edge_fastgrnn *cell, void *state, size_t size, work *on)
{
    const edge_status status = check_state(cell, state, size);
    if (status != EDGE_OK) return status;
    on->cell = cell;
    on->kernels = kernels();
    on->at = layout_of(cell);
    on->state = (float *)state;
    return EDGE_OK;
}

/* Frames of floats or of integers, one of them NULL, and states likewise. */
EDGE_SMALL
static edge_status run_fixed(const edge_fastgrnn *cell, int16_t *h, const float *x,
                             const int16_t *x_q, size_t n_frames, float *states,
                             int16_t *states_q)
{
    const size_t d = cell->n_inputs, n = cell->n_hidden;
    int16_t *frame = edge_fixed_frame(cell, h);
    if (x && !kernels()->finite(x, n_frames * d)) return EDGE_ERR_NOT_FINITE;
    for (size_t t = 0; t < n_frames; t++) {
        for (size_t i = 0; i < d; i++)
            frame[i] = x ? fixed_of(x[t * d + i], cell->input_bits) : x_q[t * d + i];
        edge_fixed_step(cell, h, frame);
        if (states)
            for (size_t i = 0; i < n; i++) states[t * n + i] = real_of(h[i], cell->state_bits);
        if (states_q) memcpy(states_q + t * n, h, n * sizeof *h);
    }
    return EDGE_OK;
}

edge_status edge_fastgrnn_run_i16(const edge_fastgrnn *cell, void *state, size_t state_size,
                                  const int16_t *x, size_t n_frames, int16_t *states)
{
    const edge_status status = check_state(cell, state, state_size);
    if (status != EDGE_OK) return status;
    if (!cell->integers) return EDGE_ERR_ABSENT;
    if (!x || n_frames < 1) return EDGE_ERR_ARGUMENT;
    return run_fixed(cell, (int16_t *)state, NULL, x, n_frames, NULL, states);
}

edge_status edge_fastgrnn_run(const edge_fastgrnn *cell, void *state, size_t state_size,
                              const float *x, size_t n_frames, float *states)
{
    work on;
    float *next;
    edge_status status = start(cell, state, state_size, &on);
    if (status == EDGE_OK && (!x || n_frames < 1)) status = EDGE_ERR_ARGUMENT;
    if (status != EDGE_OK) return status;
    if (cell->integers)
        return run_fixed(cell, (int16_t *)state, x, NULL, n_frames, states, NULL);
    next = on.state + on.at.next;
    memcpy(next, on.state, cell->n_hidden * sizeof *next);
    for (size_t t = 0; t < n_frames; t += FRAMES) {
        const size_t n = n_frames - t < FRAMES ? n_frames - t : FRAMES;
        const float *frames = x + t * cell->n_inputs;
        if (!on.kernels->finite(frames, n * cell->n_inputs)) return EDGE_ERR_NOT_FINITE;
        advance(&on, frames, n, states ? states + t * cell->n_hidden : NULL);
    }
    /* What is NaN or infinite once stays so. */
    if (!on.kernels->finite(next, cell->n_hidden)) return EDGE_ERR_NOT_FINITE;
    memcpy(on.state, next, cell->n_hidden * sizeof *next);
    return EDGE_OK;
}

edge_status edge_fastgrnn_step(const edge_fastgrnn *cell, void *state, size_t state_size,
                               const float *x)
{
    return edge_fastgrnn_run(cell, state, state_size, x, 1, NULL);
}

EDGE_SMALL
edge_status edge_fastgrnn_logits_i32(const edge_fastgrnn *cell, void *state, size_t state_size,
                                     int32_t *logits)
{
    const edge_status status = check_state(cell, state, state_size);
    if (status != EDGE_OK) return status;
    if (!cell->n_classes || !cell->integers) return EDGE_ERR_ABSENT;
    if (!logits) return EDGE_ERR_ARGUMENT;
    for (uint32_t i = 0; i < cell->n_classes; i++)
        logits[i] = edge_fixed_logit(cell, (const int16_t *)state, i);
    return EDGE_OK;
}

edge_status edge_fastgrnn_logits(const edge_fastgrnn *cell, void *state, size_t state_size,
                                 float *logits)
{
    work on;
    float *found;
    const edge_status status = start(cell, state, state_size, &on);
    if (status != EDGE_OK) return status;
    if (!cell->n_classes) return EDGE_ERR_ABSENT;
    if (!logits) return EDGE_ERR_ARGUMENT;
    if (cell->integers) {
        for (uint32_t i = 0; i < cell->n_classes; i++)
            logits[i] =
                real_of(edge_fixed_logit(cell, (const int16_t *)state, i), cell->logit_bits);
        return EDGE_OK;
    }
    found = on.state + on.at.wx;
    product(&on, &cell->head, on.state, found);
    for (uint32_t i = 0; i < cell->n_classes; i++) found[i] += cell->bias_head[i];
    if (!on.kernels->finite(found, cell->n_classes)) return EDGE_ERR_NOT_FINITE;
    memcpy(logits, found, cell->n_classes * sizeof *logits);
    return EDGE_OK;
}
