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

#include "container.h"
#include "kernels.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* x W of so many frames at a time: the weights of W stay near while U rests. */
#define FRAMES 32u
#define LARGEST 3.402823466e38f

/* ---- the file ------------------------------------------------------------------------ */

enum { N_FACTORS = 5, CELL_SIZE = 64 };

/* What CELL says, but for zeta and nu. */
typedef struct cell_header {
    uint32_t rank_w, rank_u, n_classes, gate, update, arithmetic;
    uint32_t nonzeros[N_FACTORS]; /* of w, u, and the head; EDGE_NONE: dense */
} cell_header;

static size_t lanes(size_t n) { return edge_fastgrnn_lanes(n); }
static size_t width(size_t n) { return edge_fastgrnn_width(n); }
static size_t even(size_t n) { return edge_align(n, 2); }

static EDGE_SMALL int all_finite(const float *values, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!(values[i] <= LARGEST && values[i] >= -LARGEST)) return 0;
    return 1;
}

/* The factors in the order of the file; 0 for ranks above what they factorize. */
static EDGE_SMALL int shape_factors(edge_fastgrnn *cell, edge_factor *factors[N_FACTORS])
{
    const uint32_t h = cell->n_hidden;
    const uint32_t n_in[2] = {cell->n_inputs, h}, ranks[2] = {cell->rank_w, cell->rank_u};
    for (int i = 0; i < 2; i++) {
        edge_factor *pair = i ? cell->u : cell->w;
        if (ranks[i] > n_in[i] || ranks[i] > h) return 0;
        pair[0].n_in = n_in[i];
        pair[0].n_out = ranks[i];
        pair[1].n_in = ranks[i] ? ranks[i] : n_in[i];
        pair[1].n_out = h;
        factors[2 * i] = &pair[0];
        factors[2 * i + 1] = &pair[1];
    }
    cell->head.n_in = h;
    cell->head.n_out = cell->n_classes;
    factors[4] = &cell->head;
    return 1;
}

static EDGE_SMALL int take_cell(edge_fastgrnn *cell, cell_header *header, const uint8_t *data,
                                uint64_t size)
{
    if (size != CELL_SIZE) return 0;
    memcpy(header, data, sizeof *header);
    memcpy(&cell->zeta, data + 48, 4);
    memcpy(&cell->nu, data + 52, 4);
    cell->rank_w = header->rank_w;
    cell->rank_u = header->rank_u;
    cell->n_classes = header->n_classes;
    cell->gate = header->gate;
    cell->update = header->update;
    return header->n_classes <= EDGE_FASTGRNN_MAX && header->gate <= EDGE_QUANT_TANH &&
           header->update <= EDGE_QUANT_TANH && edge_load32(data + 44) == 0 &&
           edge_load64(data + 56) == 0 && cell->zeta >= 0 && cell->zeta <= 1 && cell->nu >= 0 &&
           cell->nu <= 1;
}

/* `size` bytes from *at on, the next ones 64-byte aligned; NULL beyond the end. */
static EDGE_SMALL const uint8_t *take(const edge_section *section, const uint8_t *bytes,
                                      uint64_t *at, uint64_t size)
{
    const uint64_t from = *at;
    if (from > section->size || size > section->size - from) return NULL;
    *at = (from + size + EDGE_ALIGNMENT - 1) / EDGE_ALIGNMENT * EDGE_ALIGNMENT;
    return bytes + section->offset + from;
}

/* Rows rise within the file and indices within their row, below n_out: always looked at. */
static EDGE_SMALL int sparse_sound(const edge_factor *f, uint32_t n)
{
    if (f->starts[0] != 0 || f->starts[f->n_in] != n) return 0;
    for (uint32_t i = 0; i < f->n_in; i++) {
        uint32_t least = 0;
        if (f->starts[i] > f->starts[i + 1] || f->starts[i + 1] > n) return 0;
        for (uint32_t j = f->starts[i]; j < f->starts[i + 1]; j++) {
            const uint32_t index = edge_fastgrnn_index(f, j);
            if (index < least || index >= f->n_out) return 0;
            least = index + 1;
        }
    }
    return 1;
}

static EDGE_SMALL int take_factor(edge_factor *f, uint32_t nonzeros, const edge_section *section,
                                  const uint8_t *bytes, uint64_t *at, int verify)
{
    const int dense = nonzeros == EDGE_NONE;
    const uint64_t n = dense ? (uint64_t)even(f->n_in) * width(f->n_out) : nonzeros;
    if (!f->n_out) return dense;
    f->values = (const float *)(const void *)take(section, bytes, at, n * 4);
    if (!f->values || (verify && !all_finite(f->values, n))) return 0;
    if (dense) return 1;
    f->starts = (const uint32_t *)(const void *)take(section, bytes, at, 4 * (f->n_in + 1ull));
    f->indices = take(section, bytes, at, n * (f->n_out > 256 ? 2 : 1));
    return f->starts && f->indices && sparse_sound(f, nonzeros);
}

static EDGE_SMALL int take_weights(edge_fastgrnn *cell, const cell_header *header,
                                   const edge_section *section, const uint8_t *bytes, int verify)
{
    edge_factor *factors[N_FACTORS];
    uint64_t at = 0;
    if (!shape_factors(cell, factors)) return 0;
    for (int i = 0; i < N_FACTORS; i++)
        if (!take_factor(factors[i], header->nonzeros[i], section, bytes, &at, verify)) return 0;
    return section->size == at;
}

static EDGE_SMALL int take_biases(edge_fastgrnn *cell, const edge_section *section,
                                  const uint8_t *bytes, int verify)
{
    const size_t h = lanes(cell->n_hidden);
    const uint64_t n = 2 * (uint64_t)h + lanes(cell->n_classes);
    if (section->size != n * 4) return 0;
    cell->bias_gate = (const float *)(const void *)(bytes + section->offset);
    cell->bias_update = cell->bias_gate + h;
    cell->bias_head = cell->bias_gate + 2 * h;
    return !verify || all_finite(cell->bias_gate, n);
}

static EDGE_SMALL int take_norm(edge_fastgrnn *cell, const edge_section *section,
                                const uint8_t *bytes, int verify)
{
    const size_t n = lanes(cell->n_inputs);
    if (!section) return 1;
    if (section->size != 8 * (uint64_t)n) return 0;
    cell->mean = (const float *)(const void *)(bytes + section->offset);
    cell->scale = cell->mean + n;
    return !verify || all_finite(cell->mean, 2 * (uint64_t)n);
}

EDGE_SMALL
edge_status edge_fastgrnn_open(const uint8_t *bytes, size_t size, uint32_t flags,
                               edge_fastgrnn *cell)
{
    const int verify = !(flags & EDGE_UNVERIFIED);
    const edge_section *shape = NULL, *weights = NULL, *biases = NULL, *norm = NULL;
    edge_file file;
    cell_header header;
    edge_status status;
    if (!cell) return EDGE_ERR_ARGUMENT;
    memset(cell, 0, sizeof *cell);
    status = edge_file_open(bytes, size, flags, &file);
    if (status != EDGE_OK) return status;
    if (file.kind != EDGE_KIND_FASTGRNN) return EDGE_ERR_FORMAT;
    for (uint32_t i = 0; i < file.n_sections; i++) {
        const edge_section *section = &file.sections[i];
        if (section->tag == EDGE_TAG_CELL) shape = section;
        else if (section->tag == EDGE_TAG_WEIGHTS) weights = section;
        else if (section->tag == EDGE_TAG_BIAS) biases = section;
        else if (section->tag == EDGE_TAG_NORM) norm = section;
        else if (edge_essential(section->tag)) return EDGE_ERR_VERSION;
    }
    cell->n_inputs = file.bits;
    cell->n_hidden = (uint32_t)file.n;
    if (shape && weights && biases &&
        take_cell(cell, &header, bytes + shape->offset, shape->size)) {
        if (header.arithmetic > 0) {
            memset(cell, 0, sizeof *cell);
            return EDGE_ERR_VERSION;
        }
        if (take_weights(cell, &header, weights, bytes, verify) &&
            take_biases(cell, biases, bytes, verify) && take_norm(cell, norm, bytes, verify))
            return EDGE_OK;
    }
    memset(cell, 0, sizeof *cell);
    return EDGE_ERR_FORMAT;
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
    return cell && cell->bias_gate ? layout_of(cell).size * sizeof(float) : 0;
}

static edge_status check_state(const edge_fastgrnn *cell, const void *state, size_t size)
{
    if (!cell || !cell->bias_gate || !state || !edge_aligned(state, sizeof(float)))
        return EDGE_ERR_ARGUMENT;
    return size < edge_fastgrnn_state_size(cell) ? EDGE_ERR_CAPACITY : EDGE_OK;
}

edge_status edge_fastgrnn_init(const edge_fastgrnn *cell, void *state, size_t state_size)
{
    const edge_status status = check_state(cell, state, state_size);
    if (status == EDGE_OK) memset(state, 0, edge_fastgrnn_state_size(cell));
    return status;
}

edge_status edge_fastgrnn_get(const edge_fastgrnn *cell, const void *state, size_t state_size,
                              float *h)
{
    const edge_status status = check_state(cell, state, state_size);
    if (status != EDGE_OK) return status;
    if (!h) return EDGE_ERR_ARGUMENT;
    memcpy(h, state, cell->n_hidden * sizeof *h);
    return EDGE_OK;
}

/* Whether all are finite, without a branch for each. */
static int all_real(const float *x, size_t n)
{
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) bad |= !(x[i] - x[i] == 0);
    return !bad;
}

edge_status edge_fastgrnn_set(const edge_fastgrnn *cell, void *state, size_t state_size,
                              const float *h)
{
    const edge_status status = check_state(cell, state, state_size);
    if (status != EDGE_OK) return status;
    if (!h) return EDGE_ERR_ARGUMENT;
    if (!all_real(h, cell->n_hidden)) return EDGE_ERR_NOT_FINITE;
    memcpy(state, h, cell->n_hidden * sizeof *h);
    return EDGE_OK;
}

/* ---- products ------------------------------------------------------------------------ */

static const edge_fastgrnn_kernels *kernels(void)
{
    const edge_kernels *active = edge_kernels_active();
#define EDGE_KERNEL(isa) \
    if (active == &edge_kernels__##isa) return &edge_fastgrnn__##isa;
#include "kernels.def"
#undef EDGE_KERNEL
    return &edge_fastgrnn__scalar;
}

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

static void normalize(const edge_fastgrnn *cell, const float *x, float *to)
{
    if (!cell->mean)
        memcpy(to, x, cell->n_inputs * sizeof *to);
    else
        for (uint32_t d = 0; d < cell->n_inputs; d++)
            to[d] = (x[d] - cell->mean[d]) * cell->scale[d];
}

/* Frames of one pass over W and one over U; `h` is where the states go, or NULL. */
static void advance(const work *on, const float *x, size_t n_frames, float *h)
{
    const edge_fastgrnn *cell = on->cell;
    const size_t stride = lanes(cell->n_hidden);
    float *now = on->state + on->at.next, *uh = on->state + on->at.uh;
    float *wx = on->state + on->at.wx;
    for (size_t t = 0; t < n_frames; t++) {
        normalize(cell, x + t * cell->n_inputs, on->state + on->at.x);
        products(on, cell->w, on->state + on->at.x, wx + t * stride);
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

edge_status edge_fastgrnn_run(const edge_fastgrnn *cell, void *state, size_t state_size,
                              const float *x, size_t n_frames, float *states)
{
    work on;
    float *next;
    edge_status status = start(cell, state, state_size, &on);
    if (status == EDGE_OK && (!x || n_frames < 1)) status = EDGE_ERR_ARGUMENT;
    if (status != EDGE_OK) return status;
    next = on.state + on.at.next;
    memcpy(next, on.state, cell->n_hidden * sizeof *next);
    for (size_t t = 0; t < n_frames; t += FRAMES) {
        const size_t n = n_frames - t < FRAMES ? n_frames - t : FRAMES;
        const float *frames = x + t * cell->n_inputs;
        if (!all_real(frames, n * cell->n_inputs)) return EDGE_ERR_NOT_FINITE;
        advance(&on, frames, n, states ? states + t * cell->n_hidden : NULL);
    }
    /* What is NaN or infinite once stays so. */
    if (!all_real(next, cell->n_hidden)) return EDGE_ERR_NOT_FINITE;
    memcpy(on.state, next, cell->n_hidden * sizeof *next);
    return EDGE_OK;
}

edge_status edge_fastgrnn_step(const edge_fastgrnn *cell, void *state, size_t state_size,
                               const float *x)
{
    return edge_fastgrnn_run(cell, state, state_size, x, 1, NULL);
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
    found = on.state + on.at.wx;
    product(&on, &cell->head, on.state, found);
    for (uint32_t i = 0; i < cell->n_classes; i++) found[i] += cell->bias_head[i];
    if (!all_real(found, cell->n_classes)) return EDGE_ERR_NOT_FINITE;
    memcpy(logits, found, cell->n_classes * sizeof *logits);
    return EDGE_OK;
}
