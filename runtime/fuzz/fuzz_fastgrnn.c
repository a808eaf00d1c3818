/*
 * Fuzzing of the .grnn reader, and of all that runs a FastGRNN cell.
 *
 * Bytes that begin as a file are opened as they are, then with their digests
 * mended; whatever opens is run. All other bytes are a recipe of a cell: dense
 * and sparse, at once and in pieces, on every instruction set, its states must
 * be the same bits.
 *
 * Built by run.sh with libFuzzer; with EDGE_FUZZ_MAIN, a program that replays files.
 */
#include "steer.h"

enum { MOST = 40, FRAMES = 6, N_FACTORS = 5 };

/* ---- whatever opens ---------------------------------------------------------------------- */

static void run(const edge_fastgrnn *cell, cursor *c, int sound) {
    const size_t size = edge_fastgrnn_state_size(cell), n = 1 + draw8(c) % FRAMES;
    const int wild = draw8(c) % 4 == 0;
    void *state = room(size), *before = room(size);
    float *x = (float *)room(n * cell->n_inputs * sizeof *x);
    float *states = (float *)room(n * cell->n_hidden * sizeof *states);
    float *logits = (float *)room(cell->n_classes * sizeof *logits);
    edge_status status;
    REQUIRE(size > 0);
    for (size_t i = 0; i < n * cell->n_inputs; i++) x[i] = wild ? draw_any(c) : draw_real(c);
    REQUIRE(edge_fastgrnn_init(cell, state, size) == EDGE_OK);
    memcpy(before, state, size);
    status = edge_fastgrnn_run(cell, state, size, x, n, states);
    REQUIRE(status == EDGE_OK || status == EDGE_ERR_NOT_FINITE);
    if (status == EDGE_OK && sound)
        for (size_t i = 0; i < n * cell->n_hidden; i++) REQUIRE(states[i] - states[i] == 0);
    if (status != EDGE_OK) REQUIRE(memcmp(state, before, cell->integers ? 2 : 4) == 0);
    status = edge_fastgrnn_logits(cell, state, size, logits);
    REQUIRE(status == (cell->n_classes ? EDGE_OK : EDGE_ERR_ABSENT) ||
            status == EDGE_ERR_NOT_FINITE);
    if (cell->integers) {
        int16_t *q = (int16_t *)room(n * cell->n_inputs * sizeof *q);
        for (size_t i = 0; i < n * cell->n_inputs; i++) q[i] = (int16_t)draw(c, 2);
        REQUIRE(edge_fastgrnn_run_i16(cell, state, size, q, n, NULL) == EDGE_OK);
        free(q);
    }
    free(logits);
    free(states);
    free(x);
    free(before);
    free(state);
}

static void try_file(const uint8_t *bytes, size_t size) {
    uint8_t *copy = (uint8_t *)room(size);
    edge_fastgrnn cell;
    edge_status status;
    cursor c = cursor_on(bytes, size);
    memcpy(copy, bytes, size);
    status = edge_fastgrnn_open(copy, size, 0, &cell);
    REQUIRE(status == EDGE_OK || status == EDGE_ERR_FORMAT || status == EDGE_ERR_VERSION);
    if (status == EDGE_OK)
        REQUIRE(edge_fastgrnn_open(copy, size, EDGE_UNVERIFIED, &cell) == EDGE_OK);
    if (size >= HEAD) {
        /* The head's own digest field is free to steer: it is written anew. */
        const int unverified = (bytes[AT_DIGEST] & 2) != 0;
        c.at = AT_DIGEST;
        mend(copy, size, bytes[AT_DIGEST] & 1);
        if (edge_fastgrnn_open(copy, size, unverified ? EDGE_UNVERIFIED : 0, &cell) == EDGE_OK) {
            use_isa(draw8(&c) % isa_count());
            for (int i = 0; i < 3; i++) run(&cell, &c, !unverified);
        }
    }
    free(copy);
}

/* ---- recipes ----------------------------------------------------------------------------- */

typedef struct recipe {
    uint32_t n_inputs, n_hidden, n_classes, rank_w, rank_u, gate, update;
    float zeta, nu;
    uint32_t n_in[N_FACTORS], n_out[N_FACTORS];
    float factors[N_FACTORS][MOST][MOST];
    float biases[3][MOST];
} recipe;

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void draw_recipe(cursor *c, recipe *r) {
    memset(r, 0, sizeof *r);
    r->n_inputs = 1 + draw8(c) % MOST;
    r->n_hidden = 1 + draw8(c) % MOST;
    r->n_classes = draw8(c) % (MOST + 1);
    r->rank_w = draw8(c) % (1 + least(r->n_inputs, r->n_hidden));
    r->rank_u = draw8(c) % (1 + r->n_hidden);
    r->gate = draw8(c) % 8;
    if (r->gate > EDGE_QUANT_TANH) r->gate = EDGE_SIGMOID;
    r->update = draw8(c) % 8;
    if (r->update > EDGE_QUANT_TANH) r->update = EDGE_TANH;
    r->zeta = (float)draw8(c) / 255;
    r->nu = (float)draw8(c) / 2550;
    const uint32_t ins[N_FACTORS] = {r->n_inputs, r->rank_w ? r->rank_w : r->n_inputs,
                                     r->n_hidden, r->rank_u ? r->rank_u : r->n_hidden,
                                     r->n_hidden};
    const uint32_t outs[N_FACTORS] = {r->rank_w, r->n_hidden, r->rank_u, r->n_hidden,
                                      r->n_classes};
    const uint8_t keep = draw8(c);
    for (int f = 0; f < N_FACTORS; f++) {
        r->n_in[f] = ins[f];
        r->n_out[f] = outs[f];
        for (uint32_t i = 0; i < ins[f]; i++)
            for (uint32_t j = 0; j < outs[f]; j++)
                if (draw8(c) <= keep) r->factors[f][i][j] = draw_real(c) / 16;
    }
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < MOST; j++) r->biases[i][j] = draw_real(c);
}

static size_t rounded(size_t n, size_t to) { return (n + to - 1) / to * to; }

static uint32_t count_nonzeros(const recipe *r, int f) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < r->n_in[f]; i++)
        for (uint32_t j = 0; j < r->n_out[f]; j++) n += r->factors[f][i][j] != 0;
    return n;
}

/* Writes factor f at `to`, or only says how many bytes that takes. */
static size_t put_factor(const recipe *r, int f, int sparse, uint8_t *to) {
    const size_t width = rounded(r->n_out[f], 8), n = count_nonzeros(r, f);
    const size_t values = rounded(n * 4, 64), starts = rounded(4 * (r->n_in[f] + 1u), 64);
    uint32_t k = 0;
    if (!r->n_out[f]) return 0;
    if (!to)
        return sparse ? values + starts + rounded(n, 64)
                      : rounded(rounded(r->n_in[f], 2) * width * 4, 64);
    for (uint32_t i = 0; i < r->n_in[f]; i++) {
        if (sparse) memcpy(to + values + i * 4, &k, 4);
        for (uint32_t j = 0; j < r->n_out[f]; j++) {
            const float *value = &r->factors[f][i][j];
            if (!sparse) {
                memcpy(to + (i * width + j) * 4, value, 4);
            } else if (*value != 0) {
                memcpy(to + (size_t)k * 4, value, 4);
                to[values + starts + k++] = (uint8_t)j;
            }
        }
    }
    if (sparse) memcpy(to + values + r->n_in[f] * 4, &k, 4);
    return 0;
}

static uint8_t *build(const recipe *r, int sparse, size_t *size) {
    const size_t h = rounded(r->n_hidden, 16), n = 2 * h + rounded(r->n_classes, 16);
    uint32_t cell[16] = {r->rank_w, r->rank_u, r->n_classes, r->gate, r->update, 0};
    size_t weights_size = 0;
    uint8_t *weights, *biases;
    parts p;
    memset(&p, 0, sizeof p);
    memcpy(&cell[12], &r->zeta, 4);
    memcpy(&cell[13], &r->nu, 4);
    for (int f = 0; f < N_FACTORS; f++) {
        cell[6 + f] = sparse && r->n_out[f] ? count_nonzeros(r, f) : EDGE_NONE;
        weights_size += put_factor(r, f, sparse, NULL);
    }
    add_copy(&p, EDGE_TAG_CELL, 1, cell, sizeof cell);
    weights = add_part(&p, EDGE_TAG_WEIGHTS, 1, weights_size);
    memset(weights, 0, weights_size);
    for (int f = 0; f < N_FACTORS; f++) {
        put_factor(r, f, sparse, weights);
        weights += put_factor(r, f, sparse, NULL);
    }
    biases = add_part(&p, EDGE_TAG_BIAS, 1, n * 4);
    memset(biases, 0, n * 4);
    memcpy(biases, r->biases[0], r->n_hidden * 4);
    memcpy(biases + h * 4, r->biases[1], r->n_hidden * 4);
    memcpy(biases + 2 * h * 4, r->biases[2], r->n_classes * 4);
    return join(&p, EDGE_KIND_FASTGRNN, r->n_inputs, r->n_hidden, size);
}

/* The digest of all states and logits, `cut` frames at once and the others one by one. */
static uint64_t digest_of_run(const edge_fastgrnn *cell, const float *x, size_t cut) {
    const size_t size = edge_fastgrnn_state_size(cell), h = cell->n_hidden;
    void *state = room(size);
    float states[FRAMES * MOST], logits[MOST];
    uint64_t value;
    REQUIRE(edge_fastgrnn_init(cell, state, size) == EDGE_OK);
    for (size_t t = 0; t < FRAMES;) {
        const size_t n = t < cut ? cut : 1;
        const edge_status status = edge_fastgrnn_run(cell, state, size, x + t * cell->n_inputs, n,
                                                     states + t * h);
        REQUIRE(status == EDGE_OK);
        t += n;
    }
    if (cell->n_classes)
        REQUIRE(edge_fastgrnn_logits(cell, state, size, logits) == EDGE_OK);
    value = digest_of((const uint8_t *)states, FRAMES * h * sizeof *states,
                      (const uint8_t *)logits, cell->n_classes * sizeof *logits);
    free(state);
    return value;
}

static void try_recipe(const uint8_t *bytes, size_t size) {
    static recipe r; /* too large for a stack */
    float x[FRAMES * MOST];
    uint64_t first = 0;
    cursor c = cursor_on(bytes, size);
    draw_recipe(&c, &r);
    for (int i = 0; i < FRAMES * MOST; i++) x[i] = draw_real(&c);
    for (int sparse = 0; sparse < 2; sparse++) {
        edge_fastgrnn cell;
        size_t file_size;
        uint8_t *built = build(&r, sparse, &file_size);
        REQUIRE(edge_fastgrnn_open(built, file_size, 0, &cell) == EDGE_OK);
        for (size_t isa = 0; isa < isa_count(); isa++) {
            use_isa(isa);
            for (size_t cut = 0; cut <= FRAMES; cut += 3) {
                const uint64_t digest = digest_of_run(&cell, x, cut);
                if (!sparse && isa == 0 && cut == 0) first = digest;
                REQUIRE(digest == first);
            }
            cursor same = c;
            run(&cell, &same, 1);
        }
        free(built);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] == 0x89)
        try_file(data, size);
    else
        try_recipe(data, size);
    return 0;
}
