/*
 * Fuzzing of the .mrl reader, Matryoshka heads and their cascades.
 *
 * Bytes that begin as a file are opened as they are, then with their digests
 * mended; whatever opens is asked for logits and cascades. All other bytes are
 * a recipe of a head: its logits are compared with plain sums in double, and
 * every instruction set must give the same bits.
 *
 * Built by run.sh with libFuzzer; with EDGE_FUZZ_MAIN, a program that replays files.
 */
#include "steer.h"

enum { MAX_CLASSES = 150, MAX_DIM = 64, MAX_ROWS = 3 };

/* ---- whatever opens ---------------------------------------------------------------------- */

static uint32_t draw_steps(cursor *c, const edge_mrl *head, uint32_t flags, edge_step *steps) {
    const uint32_t most = 1 + draw8(c) % EDGE_MRL_MAX_DIMS;
    uint32_t n = 0, dim = 0;
    while (n < most) {
        if (flags & EDGE_MRL_INTERPOLATE) {
            dim += 1 + draw8(c) % (1 + head->dim / 4);
        } else {
            uint32_t i = 0;
            while (i < head->n_dims && head->dims[i] <= dim) i++;
            if (i < head->n_dims && draw8(c) % 4 == 0) i++; /* leave one out */
            dim = i < head->n_dims ? head->dims[i] : head->dim + 1;
        }
        if (dim > head->dim) break;
        steps[n].dim = dim;
        steps[n].threshold = draw8(c) % 8 ? (float)draw8(c) / 256 : draw_any(c);
        if (steps[n].threshold != steps[n].threshold) steps[n].threshold = 0;
        n++;
    }
    if (n == 0) {
        steps[n].dim = head->dim;
        steps[n++].threshold = 0.5f;
    }
    return n;
}

static void check_verdicts(const edge_mrl *head, const edge_step *steps, uint32_t n_steps,
                           uint32_t flags, const edge_verdict *verdicts, size_t n, int sound) {
    for (size_t i = 0; i < n; i++) {
        const edge_verdict *v = &verdicts[i];
        REQUIRE(v->id < head->n_classes);
        REQUIRE(v->step < n_steps);
        REQUIRE(v->sure == (v->confidence > steps[v->step].threshold));
        if (flags & EDGE_MRL_EVERY_STEP)
            REQUIRE(v->step == i % n_steps);
        else
            REQUIRE(v->sure || v->step + 1 == n_steps);
        if (sound) REQUIRE(v->confidence >= 0 && v->confidence <= 1);
    }
}

/* `sound`: the weights are finite, so that only coordinates can be refused. */
static void classify(const edge_mrl *head, cursor *c, int sound) {
    const size_t n = draw8(c) % (MAX_ROWS + 1), stride = head->dim + draw8(c) % 3;
    const edge_signal signal = (edge_signal)(1 + draw8(c) % 3);
    const uint32_t choice = draw8(c);
    const uint32_t flags = (head->tied && choice & 1 ? EDGE_MRL_INTERPOLATE : 0) |
                           (choice & 2 ? EDGE_MRL_AGREE : 0) |
                           (choice & 4 ? EDGE_MRL_EVERY_STEP : 0);
    const int wild = choice & 8;
    const size_t size = edge_mrl_workspace_size(head);
    edge_step steps[EDGE_MRL_MAX_DIMS];
    const uint32_t n_steps = draw_steps(c, head, flags, steps);
    const size_t n_verdicts = flags & EDGE_MRL_EVERY_STEP ? n * n_steps : n;
    float *x = (float *)room(n * stride * sizeof *x);
    float *logits = (float *)room(n * head->n_classes * sizeof *logits);
    edge_verdict *verdicts = (edge_verdict *)room(n_verdicts * sizeof *verdicts);
    uint32_t previous[MAX_ROWS];
    void *workspace = room(size);
    edge_status status;
    for (size_t i = 0; i < n * stride; i++)
        x[i] = wild && draw8(c) % 64 == 0 ? draw_any(c) : draw_real(c);
    for (size_t i = 0; i < n; i++) previous[i] = draw8(c);
    status = edge_mrl_logits(head, x, n, stride, steps[n_steps - 1].dim, flags, workspace, size,
                             logits);
    REQUIRE(status == EDGE_OK || (wild && status == EDGE_ERR_NOT_FINITE));
    if (sound && status == EDGE_OK)
        for (size_t i = 0; i < n * head->n_classes; i++)
            REQUIRE(logits[i] <= 1e36f && logits[i] >= -1e36f);
    status = edge_mrl_cascade(head, x, n, stride, steps, n_steps, signal, flags,
                              choice & 16 ? previous : NULL, workspace, size, verdicts);
    REQUIRE(status == EDGE_OK || ((wild || !sound) && status == EDGE_ERR_NOT_FINITE));
    if (status == EDGE_OK)
        check_verdicts(head, steps, n_steps, flags, verdicts, n_verdicts, sound);
    free(workspace);
    free(verdicts);
    free(logits);
    free(x);
}

static void try_file(const uint8_t *bytes, size_t size) {
    uint8_t *copy = (uint8_t *)room(size);
    edge_mrl head;
    edge_status status;
    cursor c = cursor_on(bytes, size);
    memcpy(copy, bytes, size);
    status = edge_mrl_open(copy, size, 0, &head);
    REQUIRE(status == EDGE_OK || status == EDGE_ERR_FORMAT || status == EDGE_ERR_VERSION);
    if (status == EDGE_OK)
        REQUIRE(edge_mrl_open(copy, size, EDGE_UNVERIFIED, &head) == EDGE_OK);
    if (size >= HEAD) {
        /* The head's own digest field is free to steer: it is written anew. */
        const int unverified = (bytes[AT_DIGEST] & 2) != 0;
        c.at = AT_DIGEST;
        mend(copy, size, bytes[AT_DIGEST] & 1);
        if (edge_mrl_open(copy, size, unverified ? EDGE_UNVERIFIED : 0, &head) == EDGE_OK) {
            use_isa(draw8(&c) % isa_count());
            for (int i = 0; i < 3; i++) classify(&head, &c, !unverified);
        }
    }
    free(copy);
}

/* ---- recipes ----------------------------------------------------------------------------- */

typedef struct recipe {
    uint32_t n_classes, n_dims, dims[EDGE_MRL_MAX_DIMS], tied, normalized;
    float scale;
    float weights[EDGE_MRL_MAX_DIMS][MAX_CLASSES][MAX_DIM]; /* of a tied head, the first alone */
    float biases[EDGE_MRL_MAX_DIMS][MAX_CLASSES];
} recipe;

static uint32_t n_blocks(const recipe *r) { return r->tied ? 1 : r->n_dims; }

static void draw_recipe(cursor *c, recipe *r) {
    uint32_t dim = 0;
    r->n_classes = 1 + draw8(c) % MAX_CLASSES;
    r->tied = draw8(c) & 1;
    r->normalized = draw8(c) & 1;
    r->scale = (float)(1 + draw8(c)) / 8;
    r->n_dims = 0;
    do {
        dim += 1 + draw8(c) % 16;
        r->dims[r->n_dims++] = dim < MAX_DIM ? dim : MAX_DIM;
    } while (dim < MAX_DIM && r->n_dims < 6 && draw8(c) % 4);
    for (uint32_t i = 0; i < n_blocks(r); i++)
        for (uint32_t j = 0; j < r->n_classes; j++) {
            r->biases[i][j] = draw_real(c);
            for (uint32_t d = 0; d < MAX_DIM; d++) r->weights[i][j][d] = draw_real(c);
        }
}

static float *put_panels(const recipe *r, uint32_t block, uint32_t begin, uint32_t end,
                         float *out) {
    const uint32_t width = (r->n_classes + 15) / 16 * 16;
    for (uint32_t first = 0; first < width; first += 64)
        for (uint32_t d = begin; d < end; d++)
            for (uint32_t i = first; i < first + 64 && i < width; i++)
                *out++ = i < r->n_classes ? r->weights[block][i][d] : 0.0f;
    return out;
}

static uint8_t *build(const recipe *r, size_t *size) {
    const uint32_t width = (r->n_classes + 15) / 16 * 16, dim = r->dims[r->n_dims - 1];
    uint32_t fields[4] = {r->tied, r->normalized, 0, 0}, depth = r->tied ? dim : 0;
    float *weights, *biases;
    parts p;
    memset(&p, 0, sizeof p);
    memcpy(&fields[2], &r->scale, 4);
    for (uint32_t i = 0; !r->tied && i < r->n_dims; i++) depth += r->dims[i];
    add_copy(&p, EDGE_TAG_DIMS, 4, r->dims, r->n_dims * 4);
    add_copy(&p, EDGE_TAG_HEAD, 4, fields, sizeof fields);
    biases = (float *)(void *)add_part(&p, EDGE_TAG_BIAS, 4, (size_t)n_blocks(r) * width * 4);
    weights = (float *)(void *)add_part(&p, EDGE_TAG_WEIGHTS, 4, (size_t)depth * width * 4);
    for (uint32_t i = 0; i < n_blocks(r); i++)
        for (uint32_t j = 0; j < width; j++)
            *biases++ = j < r->n_classes ? r->biases[i][j] : -EDGE_MRL_NEVER;
    for (uint32_t i = 0; i < r->n_dims; i++)
        weights = put_panels(r, r->tied ? 0 : i, r->tied && i ? r->dims[i - 1] : 0, r->dims[i],
                             weights);
    return join(&p, EDGE_KIND_HEAD, dim, r->n_classes, size);
}

static double obvious_root(double x) {
    double root = x > 1 ? x : 1;
    for (int i = 0; i < 200; i++) root = 0.5 * (root + x / root);
    return root;
}

static double obvious_logit(const recipe *r, const float *x, uint32_t place, uint32_t dim,
                            uint32_t class_id) {
    double sum = 0, squares = 0;
    for (uint32_t d = 0; d < dim; d++) {
        sum += (double)r->weights[place][class_id][d] * (double)x[d];
        squares += (double)x[d] * (double)x[d];
    }
    if (r->normalized) sum *= (double)r->scale / (squares > 0 ? obvious_root(squares) : 1);
    return sum + (double)r->biases[place][class_id];
}

static void compare_logits(const recipe *r, const edge_mrl *head, const float *x) {
    const size_t size = edge_mrl_workspace_size(head);
    float *logits = (float *)room(r->n_classes * sizeof *logits);
    void *workspace = room(size);
    for (uint32_t i = 0; i < r->n_dims; i++) {
        REQUIRE(edge_mrl_logits(head, x, 1, head->dim, r->dims[i], 0, workspace, size, logits) ==
                EDGE_OK);
        for (uint32_t j = 0; j < r->n_classes; j++) {
            const double error = (double)logits[j] -
                                 obvious_logit(r, x, r->tied ? 0 : i, r->dims[i], j);
            /* 64 products up to 16, normalized up to 32 * 8 * 4, in float32. */
            REQUIRE(error < 0.01 && error > -0.01);
        }
    }
    free(workspace);
    free(logits);
}

/* All that every step of every signal says, on one instruction set. */
static uint64_t digest_of_answers(const recipe *r, const edge_mrl *head, const float *x) {
    const size_t size = edge_mrl_workspace_size(head);
    edge_step steps[EDGE_MRL_MAX_DIMS];
    edge_verdict every[EDGE_MRL_MAX_DIMS];
    void *workspace = room(size);
    uint64_t value = 0;
    for (uint32_t i = 0; i < r->n_dims; i++) {
        steps[i].dim = r->dims[i];
        steps[i].threshold = 0.5f;
    }
    for (int signal = EDGE_SIGNAL_SOFTMAX; signal <= EDGE_SIGNAL_ENTROPY; signal++) {
        REQUIRE(edge_mrl_cascade(head, x, 1, head->dim, steps, r->n_dims, (edge_signal)signal,
                                 EDGE_MRL_EVERY_STEP, NULL, workspace, size, every) == EDGE_OK);
        check_verdicts(head, steps, r->n_dims, EDGE_MRL_EVERY_STEP, every, r->n_dims, 1);
        value = value * 31 + digest_of((const uint8_t *)every, r->n_dims * sizeof *every, NULL, 0);
    }
    free(workspace);
    return value;
}

static void try_recipe(const uint8_t *bytes, size_t size) {
    static recipe r; /* too large for a stack */
    float x[MAX_DIM];
    edge_mrl head;
    size_t file_size;
    uint64_t first = 0;
    uint8_t *built;
    cursor c = cursor_on(bytes, size);
    draw_recipe(&c, &r);
    built = build(&r, &file_size);
    REQUIRE(edge_mrl_open(built, file_size, 0, &head) == EDGE_OK);
    for (uint32_t d = 0; d < MAX_DIM; d++) x[d] = draw_real(&c);
    for (size_t isa = 0; isa < isa_count(); isa++) {
        cursor same = c;
        use_isa(isa);
        compare_logits(&r, &head, x);
        const uint64_t digest = digest_of_answers(&r, &head, x);
        if (isa == 0) first = digest;
        REQUIRE(digest == first);
        classify(&head, &same, 1);
    }
    free(built);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == 0x89)
        try_file(data, size);
    else
        try_recipe(data, size);
    return 0;
}
