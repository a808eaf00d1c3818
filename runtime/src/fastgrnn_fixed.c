/*
 * FastGRNN in 16-bit integers with int8 weights. edge_sdk/fastgrnn/integer.py is the
 * definition, bit for bit, and proves that a sound file overflows no int32; sums are
 * taken modulo 2^32 all the same, for files that nobody proved.
 */
#include "fastgrnn_fixed.h"

enum { SUM_BITS = 12, ONE_BITS = 15, TANH_STEP_BITS = 4, LOWEST = -32768, HIGHEST = 32767 };

/* tanh at multiples of 1/16 from 0 to 8, 15 bits: fixed_point.tanh_table. */
static const int16_t TANH[129] = {
    0, 2046, 4077, 6076, 8029, 9924, 11748, 13492, 15148, 16712, 18179, 19548, 20819, 21992,
    23071, 24059, 24961, 25781, 26524, 27195, 27800, 28345, 28833, 29271, 29663, 30012, 30324,
    30602, 30849, 31068, 31264, 31437, 31590, 31727, 31847, 31954, 32049, 32132, 32206, 32272,
    32330, 32381, 32426, 32466, 32502, 32533, 32560, 32585, 32606, 32625, 32642, 32657, 32670,
    32681, 32691, 32700, 32708, 32715, 32722, 32727, 32732, 32736, 32740, 32743, 32746, 32749,
    32751, 32753, 32755, 32756, 32758, 32759, 32760, 32761, 32762, 32762, 32763, 32764, 32764,
    32765, 32765, 32765, 32766, 32766, 32766, 32766, 32767, 32767, 32767, 32767, 32767, 32767,
    32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767,
    32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767,
    32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767};

static int32_t add(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
static int32_t multiply(int32_t a, int32_t b) { return (int32_t)((uint32_t)a * (uint32_t)b); }

static int32_t clip(int32_t x, int32_t low, int32_t high)
{
    return x < low ? low : x > high ? high : x;
}

static int16_t saturate(int32_t x) { return (int16_t)clip(x, LOWEST, HIGHEST); }

/* x / 2^by, rounded half up; below 0 it multiplies. */
static int32_t round_shift(int32_t x, int32_t by)
{
    if (by > 0) return add(x, (int32_t)1 << (by - 1)) >> by;
    return multiply(x, (int32_t)1 << -by);
}

/* ---- products ------------------------------------------------------------------------ */

/* What a row of weights gives, shifted. */
static int32_t output(const edge_factor *f, const int16_t *x, uint32_t row)
{
    const int8_t *q = f->q + (size_t)row * f->n_in;
    uint32_t sum = 0;
    for (uint32_t i = 0; i < f->n_in; i++) sum += (uint32_t)(q[i] * x[i]);
    return round_shift((int32_t)sum, f->shifts[row]);
}

/* p += x M of one matrix, or by way of `low` of two. */
static void add_product(const edge_factor pair[2], const int16_t *x, int16_t *low, int32_t *p)
{
    if (pair[0].n_out) {
        for (uint32_t i = 0; i < pair[0].n_out; i++) low[i] = saturate(output(&pair[0], x, i));
        x = low;
    }
    for (uint32_t i = 0; i < pair[1].n_out; i++) p[i] = add(p[i], output(&pair[1], x, i));
}

/* ---- non-linearities ----------------------------------------------------------------- */

/* tanh of a number of `bits` bits. */
static int32_t tanh_15(int32_t x, int32_t bits)
{
    const int32_t step = bits - TANH_STEP_BITS, end = ((int32_t)8 << bits) - 1;
    const int32_t size = x < 0 ? (x < -end ? end : -x) : (x > end ? end : x);
    const int16_t *at = &TANH[size >> step];
    const int32_t part = size & (((int32_t)1 << step) - 1);
    const int32_t found = at[0] + round_shift((at[1] - at[0]) * part, step);
    return x < 0 ? -found : found;
}

/* Of p, 12 bits; the result has output_bits. */
static int32_t activate(uint32_t kind, int32_t p)
{
    const int32_t one = 1 << SUM_BITS;
    int32_t found;
    switch (kind) {
    case EDGE_TANH:
        return tanh_15(p, SUM_BITS);
    case EDGE_SIGMOID: /* with one bit more after the point, the same integer is p / 2 */
        found = round_shift(tanh_15(p, SUM_BITS + 1) + (1 << ONE_BITS), 1);
        break;
    case EDGE_QUANT_TANH:
        return clip(clip(p, -one, one) * 8, -HIGHEST, HIGHEST);
    case EDGE_QUANT_SIGMOID:
        found = (clip(p, -one, one) + one) * 4;
        break;
    case EDGE_QUANT_SIGMOID4:
        found = (clip(p, -2 * one, 2 * one) + 2 * one) * 2;
        break;
    default: /* EDGE_RELU */
        found = p < 0 ? 0 : p;
        break;
    }
    return found > HIGHEST ? HIGHEST : found;
}

static int32_t output_bits(uint32_t kind) { return kind == EDGE_RELU ? SUM_BITS : ONE_BITS; }

/* ---- the cell ------------------------------------------------------------------------ */

/* A state is h, a frame, what it becomes, the middle of a product, and p. */
static size_t at_frame(const edge_fastgrnn *cell) { return edge_fastgrnn_lanes(cell->n_hidden); }
static size_t at_x(const edge_fastgrnn *cell)
{
    return at_frame(cell) + edge_fastgrnn_lanes(cell->n_inputs);
}
static size_t at_low(const edge_fastgrnn *cell)
{
    return at_x(cell) + edge_fastgrnn_lanes(cell->n_inputs);
}
static size_t at_p(const edge_fastgrnn *cell)
{
    return at_low(cell) +
           edge_fastgrnn_lanes(cell->rank_w > cell->rank_u ? cell->rank_w : cell->rank_u);
}

size_t edge_fixed_state_size(const edge_fastgrnn *cell)
{
    return at_p(cell) * sizeof(int16_t) + edge_fastgrnn_lanes(cell->n_hidden) * sizeof(int32_t);
}

int16_t *edge_fixed_frame(const edge_fastgrnn *cell, int16_t *state)
{
    return state + at_frame(cell);
}

static void normalize(const edge_fastgrnn *cell, const int16_t *x, int16_t *to)
{
    for (uint32_t d = 0; d < cell->n_inputs; d++) {
        int32_t wide = x[d];
        if (cell->mean_q) wide = multiply(wide - cell->mean_q[d], cell->multiplier_q[d]);
        to[d] = saturate(round_shift(wide, cell->x_shift));
    }
}

void edge_fixed_step(const edge_fastgrnn *cell, int16_t *h, const int16_t *features)
{
    const int32_t made = output_bits(cell->update), given = output_bits(cell->gate);
    /* 1 - z reaches 2 where z is signed: one bit less, so that no product overflows. */
    const int32_t bits = cell->gate == EDGE_TANH || cell->gate == EDGE_QUANT_TANH ? 14 : given;
    const int32_t mixed = bits == 12 ? 12 : bits - 1, one = bits == 15 ? HIGHEST : 1 << bits;
    int16_t *x = h + at_x(cell), *low = h + at_low(cell);
    int32_t *p = (int32_t *)(void *)(h + at_p(cell));
    normalize(cell, features, x);
    memset(p, 0, cell->n_hidden * sizeof *p);
    add_product(cell->w, x, low, p);
    add_product(cell->u, h, low, p);
    for (uint32_t i = 0; i < cell->n_hidden; i++) {
        const int32_t z =
            round_shift(activate(cell->gate, add(p[i], cell->gate_q[i])), given - bits);
        const int32_t c = activate(cell->update, add(p[i], cell->update_q[i]));
        const int32_t mix =
            round_shift(add(multiply(cell->zeta_q, one - z), (int32_t)cell->nu_q << bits),
                        ONE_BITS + bits - mixed);
        const int32_t kept = round_shift(multiply(z, h[i]), bits);
        h[i] = saturate(add(kept, round_shift(multiply(mix, c), mixed + made - cell->state_bits)));
    }
}

int32_t edge_fixed_logit(const edge_fastgrnn *cell, const int16_t *h, uint32_t id)
{
    return add(output(&cell->head, h, id), cell->head_q[id]);
}
