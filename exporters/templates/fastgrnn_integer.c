/*
 * @name@, in int8 weights and 16-bit integers: see @header@.
 *
 * "b bits" means b bits after the point. Bit for bit the integers of
 * edge_sdk.fastgrnn.integer, where each number's bits are defined. No int32 overflows,
 * whatever the features are: that was proved from the weights.
 */
#include "@header@"

/* Shifting right must keep the sign, as it does with all compilers for microcontrollers. */
typedef char @name@_shift_keeps_the_sign[(-1 >> 1) == -1 ? 1 : -1];

enum {
    INPUTS = @inputs@,
    HIDDEN = @hidden@,
@if w_low_rank@
    RANK_W = @rank_w@,
@end@
@if u_low_rank@
    RANK_U = @rank_u@,
@end@
    ZETA = @zeta@, /* 15 bits */
    NU = @nu@
};

@constants@

static int16_t saturate(int32_t value)
{
    return (int16_t)(value < -32768 ? -32768 : value > 32767 ? 32767 : value);
}

@if right@
/* value / 2^shift, rounded half up; shift >= 1. */
static int32_t round_shift(int32_t value, int shift)
{
    return (value + ((int32_t)1 << (shift - 1))) >> shift;
}
@end@
@if any@
/* value / 2^shift, rounded half up; a shift below 0 multiplies. */
static int32_t round_shift(int32_t value, int shift)
{
    if (shift > 0)
        return (value + ((int32_t)1 << (shift - 1))) >> shift;
    return value * ((int32_t)1 << -shift);
}
@end@

@if dense@
/* The sum of a row q (n,) with x (n,). */
static int32_t dot(const int8_t *q, const int16_t *x, int n)
{
    int32_t sum = 0;
    int i;
    for (i = 0; i < n; i++)
        sum += (int32_t)q[i] * x[i];
    return sum;
}

@end@
@if sparse@
/* Rows of pairs: a weight, and how much further on its input is than the one before. */
typedef struct sparse_rows {
    const int8_t *value;
    const uint8_t *delta;
    const uint8_t *count; /* pairs in a row */
} sparse_rows;

/* The sum of the next row with x. */
static int32_t next_sum(sparse_rows *rows, const int16_t *x)
{
    int32_t sum = 0;
    int left = *rows->count++;
    for (; left > 0; left--) {
        x += *rows->delta++;
        sum += (int32_t)*rows->value++ * *x;
    }
    return sum;
}

@end@
@if tanh_table@
/* tanh of a number of `bits` bits, in 15 bits: the table, interpolated; odd. */
static int32_t tanh_15(int32_t value, int bits)
{
    const int step = bits - 4;
    const int32_t limit = ((int32_t)8 << bits) - 1;
    int32_t size = value < 0 ? -value : value, found, chord;
    const int16_t *entry;
    if (size > limit)
        size = limit;
    entry = &tanh_table[size >> step];
    chord = ((int32_t)entry[1] - entry[0]) * (size & (((int32_t)1 << step) - 1));
    found = entry[0] + ((chord + ((int32_t)1 << (step - 1))) >> step);
    return value < 0 ? -found : found;
}

@end@
@if clip@
static int32_t clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

@end@
/* z of p + bias_gate, 12 bits, in @gate_bits@ bits. */
static int32_t gate(int32_t value)
{
@gate_body@
}

/* c of p + bias_update, 12 bits, in @update_bits@ bits. */
static int32_t update(int32_t value)
{
@update_body@
}

/* h' of unit j: z h + (zeta (1 - z) + nu) c. */
static int16_t advance(int32_t p, int j, int16_t h)
{
    const int32_t z = gate(p + bias_gate[j]);
    const int32_t c = update(p + bias_update[j]);
    const int32_t mix = round_shift(ZETA * (@one@ - z) + (int32_t)NU * @nu_unit@, @mix_shift@);
    return saturate(round_shift(z * h, @gate_bits@) + round_shift(mix * c, @new_shift@));
}

void @name@_init(@name@_state *state)
{
    volatile int16_t *h = state->h; /* volatile, or compilers make the loop a call of memset */
    int j;
    for (j = 0; j < HIDDEN; j++)
        h[j] = 0;
}

/* x is (INPUTS,), normalized to @x_bits@ bits. */
int @name@_step(@name@_state *state, const @name@_input *features)
{
    int16_t x[INPUTS];
@if w_low_rank@
    int16_t wx[RANK_W];
@end@
@if u_low_rank@
    int16_t uh[RANK_U];
@end@
@if u_whole@
    const volatile int16_t *before = state->h; /* volatile, or the loop becomes a call of memcpy */
    int16_t h[HIDDEN];
@end@
@cursors@
    int i;
    for (i = 0; i < INPUTS; i++)
@if normalized@
        x[i] = saturate(round_shift(((int32_t)features[i] - mean[i]) * multiplier[i], @x_shift@));
@end@
@if unnormalized@
        x[i] = saturate(round_shift(features[i], @x_shift@));
@end@
@if w_low_rank@
    for (i = 0; i < RANK_W; i++)
        wx[i] = saturate(round_shift(@w1_sum@, w1_shift[i]));
@end@
@if u_low_rank@
    for (i = 0; i < RANK_U; i++)
        uh[i] = saturate(round_shift(@u1_sum@, u1_shift[i]));
@end@
@if u_whole@
    for (i = 0; i < HIDDEN; i++)
        h[i] = before[i];
@end@
    for (i = 0; i < HIDDEN; i++) {
        const int32_t p = round_shift(@w_sum@, @w_last@_shift[i])
                        + round_shift(@u_sum@, @u_last@_shift[i]);
        state->h[i] = advance(p, i, state->h[i]);
    }
    return 0;
}

@if head@
int @name@_result(const @name@_state *state, @name@_logit *logits)
{
@head_cursor@
    int32_t best = 0;
    int found = 0, i;
    for (i = 0; i < @NAME@_CLASSES; i++) {
        const int32_t sum = round_shift(@head_sum@, head_shift[i])
                          + head_bias[i];
        if (logits != NULL)
            logits[i] = sum;
        if (i == 0 || sum > best) {
            best = sum;
            found = i;
        }
    }
    return found;
}

const char *@name@_label(int class_id)
{
    static const char *const labels[@NAME@_CLASSES] = {
@labels@
    };
    return class_id < 0 || class_id >= @NAME@_CLASSES ? "" : labels[class_id];
}

@end@
#ifndef @NAME@_NO_SELFTEST

@golden@

int @name@_selftest(void)
{
    @name@_state state;
@if head@
    int32_t logits[@NAME@_CLASSES];
@end@
    int i;
    @name@_init(&state);
    for (i = 0; i < @golden_frames@; i++)
        @name@_step(&state, &golden_x[i * INPUTS]);
    for (i = 0; i < HIDDEN; i++)
        if (state.h[i] != golden_h[i])
            return 1;
@if head@
    if (@name@_result(&state, logits) != @golden_class@)
        return 1;
    for (i = 0; i < @NAME@_CLASSES; i++)
        if (logits[i] != golden_logits[i])
            return 1;
@end@
    return 0;
}

#endif /* @NAME@_NO_SELFTEST */
