/*
 * Matryoshka heads and their cascades: one class after another prefix of the
 * embedding, as long as it takes to be sure.
 *
 * Source: Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022,
 * adaptive classification; thresholds on the maximum softmax as published there.
 */
#include "bytes.h"
#include "container.h"
#include "kernels.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

/* Larger weights or coordinates could add up to infinity. */
#define LARGEST 1e15f

static size_t padded(const edge_mrl *head) { return edge_align(head->n_classes, 16); }

/* ---- the file --------------------------------------------------------------------- */

static int all_below(const float *values, uint64_t n, float largest) {
    for (uint64_t i = 0; i < n; i++)
        if (!(values[i] <= largest && values[i] >= -largest)) return 0;
    return 1;
}

/* The biases behind the last class keep padding from ever being the answer. */
static EDGE_SMALL int biases_sound(const edge_mrl *head, uint64_t n_rows) {
    const size_t width = padded(head);
    for (uint64_t row = 0; row < n_rows; row++) {
        const float *bias = head->bias + row * width;
        if (!all_below(bias, head->n_classes, LARGEST)) return 0;
        for (size_t i = head->n_classes; i < width; i++)
            if (bias[i] != -EDGE_MRL_NEVER) return 0;
    }
    return 1;
}

static EDGE_SMALL int take_dims(edge_mrl *head, const uint8_t *data, uint64_t size) {
    if (size % 4 || size / 4 < 1 || size / 4 > EDGE_MRL_MAX_DIMS) return 0;
    head->n_dims = (uint32_t)(size / 4);
    for (uint32_t i = 0; i < head->n_dims; i++) {
        head->dims[i] = edge_load32(data + (size_t)i * 4);
        if (head->dims[i] <= (i ? head->dims[i - 1] : 0)) return 0;
    }
    return head->dims[head->n_dims - 1] == head->dim;
}

static EDGE_SMALL int take_head(edge_mrl *head, const uint8_t *data, uint64_t size) {
    if (size != 16 || edge_load32(data + 12) != 0) return 0;
    head->tied = edge_load32(data);
    head->normalized = edge_load32(data + 4);
    memcpy(&head->scale, data + 8, 4);
    return head->tied <= 1 && head->normalized <= 1 && head->scale > 0 && head->scale <= LARGEST;
}

EDGE_SMALL
edge_status edge_mrl_open(const uint8_t *bytes, size_t size, uint32_t flags, edge_mrl *head) {
    edge_file file;
    edge_status status;
    uint64_t n_weights = 0, weight_bytes = 0, bias_bytes = 0, n_rows;
    int sound = 1;
    if (!head) return EDGE_ERR_ARGUMENT;
    memset(head, 0, sizeof *head);
    status = edge_file_open(bytes, size, flags, &file);
    if (status != EDGE_OK) return status;
    if (file.kind != EDGE_KIND_HEAD) return EDGE_ERR_FORMAT;
    head->n_classes = (uint32_t)file.n;
    head->dim = file.bits;
    for (uint32_t i = 0; i < file.n_sections && sound; i++) {
        const edge_section *section = &file.sections[i];
        const uint8_t *data = bytes + section->offset;
        if (section->tag == EDGE_TAG_DIMS) {
            sound = take_dims(head, data, section->size);
        } else if (section->tag == EDGE_TAG_HEAD) {
            sound = take_head(head, data, section->size);
        } else if (section->tag == EDGE_TAG_WEIGHTS) {
            head->weights = (const float *)(const void *)data;
            weight_bytes = section->size;
        } else if (section->tag == EDGE_TAG_BIAS) {
            head->bias = (const float *)(const void *)data;
            bias_bytes = section->size;
        } else if (edge_essential(section->tag)) {
            memset(head, 0, sizeof *head);
            return EDGE_ERR_VERSION;
        }
    }
    if (sound && head->n_dims && head->scale > 0 && head->weights && head->bias) {
        for (uint32_t i = 0; i < head->n_dims; i++)
            n_weights = head->tied ? head->dim : n_weights + head->dims[i];
        n_rows = head->tied ? 1 : head->n_dims;
        /* At most 2^5 dims of 2^16 coordinates of 2^31 classes: no product here can wrap. */
        n_weights *= padded(head);
        if (weight_bytes == n_weights * 4 && bias_bytes == n_rows * padded(head) * 4 &&
            ((flags & EDGE_UNVERIFIED) || all_below(head->weights, n_weights, LARGEST)) &&
            biases_sound(head, n_rows))
            return EDGE_OK;
    }
    memset(head, 0, sizeof *head);
    return EDGE_ERR_FORMAT;
}

/* ---- a little arithmetic ------------------------------------------------------------ */

/* By Newton's method from a power of two: without libm, and the same everywhere. */
static double square_root(double x) {
    uint64_t bits;
    double root;
    if (!(x > 0)) return 0;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits >> 1) + ((uint64_t)1023 << 51);
    memcpy(&root, &bits, sizeof root);
    for (int i = 0; i < 5; i++) root = 0.5 * (root + x / root);
    return root;
}

/* Of x >= 1: 2^k m with m in [2/3, 4/3), log(m) as the series of 2 artanh((m-1)/(m+1)). */
static double logarithm(double x) {
    double k = 0, t, square, sum = 0;
    while (x >= 4.0 / 3) {
        x *= 0.5;
        k += 1;
    }
    t = (x - 1) / (x + 1);
    square = t * t;
    for (int i = 23; i >= 1; i -= 2) sum = sum * square + 1.0 / i;
    return k * 0.69314718055994530942 + 2 * t * sum;
}

/* ---- logits ------------------------------------------------------------------------- */

/* The embedding that a cascade looks at, and how far it got. */
typedef struct progress {
    const edge_mrl *head;
    const float *x;
    float *acc; /* tied heads: the sums over the first `done` coordinates */
    float *logits;
    float max;     /* of the logits */
    uint32_t done; /* coordinates in `acc` */
    uint32_t seen; /* coordinates that are finite, and in `squares` */
    double squares;
} progress;

/* acc += coordinates [from, to) of one block of weights: all panels, `depth` rows each. */
static void accumulate(const progress *at, const float *block, size_t depth, size_t skip,
                       const float *x, size_t n_dims) {
    const edge_kernels *kernels = edge_kernels_active();
    const size_t width = padded(at->head);
    for (size_t first = 0; first < width; first += EDGE_MRL_PANEL) {
        const size_t panel = width - first < EDGE_MRL_PANEL ? width - first : EDGE_MRL_PANEL;
        const float *rows = block + first * depth + skip * panel;
        kernels->mrl_accumulate(rows, x, n_dims, panel, at->acc + first);
    }
}

/* Sums of products up to `dim`: of tied weights only those still missing. */
static void advance(progress *at, uint32_t dim) {
    const edge_mrl *head = at->head;
    const size_t width = padded(head);
    const float *block = head->weights;
    uint32_t begin = 0;
    if (!head->tied) {
        memset(at->acc, 0, width * sizeof *at->acc);
        for (uint32_t i = 0; head->dims[i] != dim; i++) block += head->dims[i] * width;
        accumulate(at, block, dim, 0, at->x, dim);
        return;
    }
    if (at->done == 0) memset(at->acc, 0, width * sizeof *at->acc);
    for (uint32_t i = 0; i < head->n_dims && at->done < dim; i++) {
        const uint32_t end = head->dims[i], until = end < dim ? end : dim;
        if (at->done < end) {
            accumulate(at, block, end - begin, at->done - begin, at->x + at->done,
                       until - at->done);
            at->done = until;
        }
        block += (size_t)(end - begin) * width;
        begin = end;
    }
}

/* Logits from the first `dim` coordinates; EDGE_ERR_NOT_FINITE if one of them is not. */
static edge_status logits_at(progress *at, uint32_t dim) {
    const edge_mrl *head = at->head;
    const float *bias = head->bias;
    float factor = 1;
    const uint32_t seen = at->seen;
    if (!all_below(at->x + seen, dim - seen, LARGEST)) return EDGE_ERR_NOT_FINITE;
    at->seen = dim;
    advance(at, dim);
    if (head->normalized) {
        for (uint32_t i = seen; i < dim; i++)
            at->squares += (double)at->x[i] * (double)at->x[i];
        const double norm = square_root(at->squares);
        /* As torch's normalize, which divides by 1e-12 at least. */
        factor = (float)((double)head->scale / (norm > 1e-12 ? norm : 1e-12));
    }
    if (!head->tied)
        for (uint32_t i = 0; head->dims[i] != dim; i++) bias += padded(head);
    at->max = edge_kernels_active()->mrl_affine(at->acc, bias, factor, padded(head), at->logits);
    return EDGE_OK;
}

/* ---- confidence --------------------------------------------------------------------- */

/* The probability of the best class minus that of the next: (1 - e^(second - max)) / sum. */
static float margin(const progress *at, uint32_t best, float sum) {
    const edge_kernels *kernels = edge_kernels_active();
    float alone[16], sums[2];
    at->logits[best] = -EDGE_MRL_NEVER;
    for (int i = 1; i < 16; i++) alone[i] = -EDGE_MRL_NEVER;
    alone[0] = kernels->mrl_max(at->logits, padded(at->head));
    at->logits[best] = at->max;
    kernels->mrl_sums(alone, 16, at->max, sums);
    return (1.0f - sums[0]) / sum;
}

/* 1 - H / log(n): the entropy in nats is log(sum) - dot / sum. */
static float certainty(const edge_mrl *head, float sum, float dot) {
    double h;
    if (head->n_classes == 1) return 1;
    h = (logarithm(sum) - (double)dot / (double)sum) / logarithm(head->n_classes);
    return h >= 1 ? 0 : h <= 0 ? 1 : (float)(1 - h);
}

/* EDGE_ERR_NOT_FINITE if weights that nobody has verified made NaN or infinity. */
static edge_status judge(const progress *at, edge_signal signal, edge_verdict *verdict) {
    const edge_kernels *kernels = edge_kernels_active();
    const size_t width = padded(at->head), best = kernels->mrl_find(at->logits, width, at->max);
    float sums[2];
    if (best >= at->head->n_classes) return EDGE_ERR_NOT_FINITE;
    verdict->id = (uint32_t)best;
    kernels->mrl_sums(at->logits, width, at->max, sums);
    /* The best class alone adds 1. */
    if (!(sums[0] >= 1 && sums[0] <= (float)EDGE_MAX_CLASSES)) return EDGE_ERR_NOT_FINITE;
    if (signal == EDGE_SIGNAL_SOFTMAX)
        verdict->confidence = 1.0f / sums[0];
    else if (signal == EDGE_SIGNAL_MARGIN)
        verdict->confidence = margin(at, verdict->id, sums[0]);
    else
        verdict->confidence = certainty(at->head, sums[0], sums[1]);
    return EDGE_OK;
}

/* ---- the calls ---------------------------------------------------------------------- */

size_t edge_mrl_workspace_size(const edge_mrl *head) {
    return head && head->weights ? 2 * padded(head) * sizeof(float) : 0;
}

static int trained(const edge_mrl *head, uint32_t dim) {
    for (uint32_t i = 0; i < head->n_dims; i++)
        if (head->dims[i] == dim) return 1;
    return 0;
}

/* Dims grow, and the head was trained for each, or may be cut between two of them. */
EDGE_SMALL
static edge_status check_steps(const edge_mrl *head, const edge_step *steps, uint32_t n_steps,
                               uint32_t flags) {
    uint32_t before = 0;
    if (!steps || n_steps < 1 || n_steps > EDGE_MRL_MAX_DIMS) return EDGE_ERR_ARGUMENT;
    for (uint32_t i = 0; i < n_steps; i++) {
        const uint32_t dim = steps[i].dim;
        if (dim <= before || dim > head->dim) return EDGE_ERR_ARGUMENT;
        if (!trained(head, dim) && !(head->tied && (flags & EDGE_MRL_INTERPOLATE)))
            return EDGE_ERR_UNTRAINED;
        if (steps[i].threshold != steps[i].threshold) return EDGE_ERR_ARGUMENT;
        before = dim;
    }
    return EDGE_OK;
}

static edge_status start(const edge_mrl *head, const float *x, size_t n, size_t stride,
                         void *workspace, size_t workspace_size, progress *at) {
    if (!head || !head->weights || (!x && n) || stride < head->dim || !workspace ||
        !edge_aligned(workspace, sizeof(float)))
        return EDGE_ERR_ARGUMENT;
    if (workspace_size < edge_mrl_workspace_size(head)) return EDGE_ERR_CAPACITY;
    memset(at, 0, sizeof *at);
    at->head = head;
    at->acc = (float *)workspace;
    at->logits = at->acc + padded(head);
    return EDGE_OK;
}

static void begin(progress *at, const float *x) {
    at->x = x;
    at->done = at->seen = 0;
    at->squares = 0;
}

edge_status edge_mrl_logits(const edge_mrl *head, const float *x, size_t n, size_t stride,
                            uint32_t dim, uint32_t flags, void *workspace, size_t workspace_size,
                            float *logits) {
    progress at;
    edge_step step;
    edge_status status = start(head, x, n, stride, workspace, workspace_size, &at);
    if (status == EDGE_OK && !logits && n) status = EDGE_ERR_ARGUMENT;
    if (status != EDGE_OK) return status;
    step.dim = dim;
    step.threshold = 0;
    status = check_steps(head, &step, 1, flags);
    for (size_t i = 0; i < n && status == EDGE_OK; i++) {
        begin(&at, x + i * stride);
        status = logits_at(&at, dim);
        if (status == EDGE_OK)
            memcpy(logits + i * head->n_classes, at.logits, head->n_classes * sizeof *logits);
    }
    return status;
}

edge_status edge_mrl_cascade(const edge_mrl *head, const float *x, size_t n, size_t stride,
                             const edge_step *steps, uint32_t n_steps, edge_signal signal,
                             uint32_t flags, const uint32_t *previous, void *workspace,
                             size_t workspace_size, edge_verdict *verdicts) {
    progress at;
    const int every = (flags & EDGE_MRL_EVERY_STEP) != 0;
    edge_status status = start(head, x, n, stride, workspace, workspace_size, &at);
    if (status == EDGE_OK && ((!verdicts && n) || signal < EDGE_SIGNAL_SOFTMAX ||
                              signal > EDGE_SIGNAL_ENTROPY))
        status = EDGE_ERR_ARGUMENT;
    if (status != EDGE_OK) return status;
    status = check_steps(head, steps, n_steps, flags);
    if (status != EDGE_OK) return status;
    for (size_t i = 0; i < n; i++) {
        uint32_t before = previous ? previous[i] : EDGE_NONE;
        begin(&at, x + i * stride);
        for (uint32_t j = 0; j < n_steps; j++) {
            edge_verdict *verdict = &verdicts[every ? i * n_steps + j : i];
            status = logits_at(&at, steps[j].dim);
            if (status == EDGE_OK) status = judge(&at, signal, verdict);
            if (status != EDGE_OK) return status;
            if ((flags & EDGE_MRL_AGREE) && verdict->id != before) verdict->confidence = 0;
            before = verdict->id;
            verdict->step = j;
            verdict->sure = verdict->confidence > steps[j].threshold;
            if (verdict->sure && !every) break;
        }
    }
    return EDGE_OK;
}
