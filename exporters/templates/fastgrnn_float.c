/*
 * @name@, in float32: see @header@.
 *
 * The sums go in order. tanh and sigmoid are the core's (runtime/src/fastgrnn_math.h),
 * within 2e-7 of the exact ones; -ffast-math would break them.
 */
#include "@header@"

enum {
    INPUTS = @inputs@,
@if w_low_rank@
    RANK_W = @rank_w@,
@end@
@if u_low_rank@
    RANK_U = @rank_u@,
@end@
    HIDDEN = @hidden@
};

#define ZETA @zeta@
#define NU @nu@

@constants@

typedef union float_bits {
    float value;
    uint32_t bits;
} float_bits;

@if dense@
/* The sum of a row w (n,) with x (n,). */
static float dot(const float *w, const float *x, int n)
{
    float sum = 0.0f;
    int i;
    for (i = 0; i < n; i++)
        sum += w[i] * x[i];
    return sum;
}

@end@
@if sparse@
/* Rows of pairs: a weight, and how much further on its input is than the one before. */
typedef struct sparse_rows {
    const float *value;
    const uint8_t *delta;
    const uint8_t *count; /* pairs in a row */
} sparse_rows;

/* The sum of the next row with x. */
static float next_sum(sparse_rows *rows, const float *x)
{
    float sum = 0.0f;
    int left = *rows->count++;
    for (; left > 0; left--) {
        x += *rows->delta++;
        sum += *rows->value++ * *x;
    }
    return sum;
}

@end@
@if exp@
/* 2^t for |t| <= 126: the nearest integer goes to the exponent, a polynomial does the rest. */
static float exp2_of(float t)
{
    float_bits shifted, p;
    float f;
    shifted.value = t + 12582912.0f;
    f = t - (shifted.value - 12582912.0f);
    p.value = @exp2_5@;
    p.value = p.value * f + @exp2_4@;
    p.value = p.value * f + @exp2_3@;
    p.value = p.value * f + @exp2_2@;
    p.value = p.value * f + @exp2_1@;
    p.value = p.value * f + @exp2_0@;
    p.bits += shifted.bits << 23;
    return p.value;
}

@end@
@if tanh@
static float tanh_of(float x)
{
    float_bits y;
    float t = x < 0.0f ? x : -x, e;
    t *= @two_log2_e@;
    e = exp2_of(t < -126.0f ? -126.0f : t);
    y.value = (1.0f - e) / (1.0f + e);
    return x < 0.0f ? -y.value : y.value;
}

@end@
@if sigmoid@
static float sigmoid_of(float x)
{
    float t = x * -@log2_e@;
    t = t < -126.0f ? -126.0f : t > 126.0f ? 126.0f : t;
    return 1.0f / (1.0f + exp2_of(t));
}

@end@
@if clip@
static float clip(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

@end@
static float gate(float value)
{
@gate_body@
}

static float update(float value)
{
@update_body@
}

/* h' of unit j: z h + (zeta (1 - z) + nu) c. */
static float advance(float p, int j, float h)
{
    const float z = gate(p + bias_gate[j]);
    const float c = update(p + bias_update[j]);
    return z * h + (ZETA * (1.0f - z) + NU) * c;
}

void @name@_init(@name@_state *state)
{
    volatile float *h = state->h; /* volatile, or compilers make the loop a call of memset */
    int j;
    for (j = 0; j < HIDDEN; j++)
        h[j] = 0.0f;
}

/* x is (INPUTS,), normalized. */
int @name@_step(@name@_state *state, const @name@_input *features)
{
    float x[INPUTS];
@if w_low_rank@
    float wx[RANK_W];
@end@
@if u_low_rank@
    float uh[RANK_U];
@end@
@if u_whole@
    const volatile float *before = state->h; /* volatile, or the loop becomes a call of memcpy */
    float h[HIDDEN];
@end@
@cursors@
    int i;
    for (i = 0; i < INPUTS; i++) {
        float_bits number;
@if normalized@
        number.value = (features[i] - mean[i]) * scale[i];
@end@
@if unnormalized@
        number.value = features[i];
@end@
        if (((number.bits >> 23) & 0xff) >= 127 + 64)
            return -1;
        x[i] = number.value;
    }
@if w_low_rank@
    for (i = 0; i < RANK_W; i++)
        wx[i] = @w1_sum@;
@end@
@if u_low_rank@
    for (i = 0; i < RANK_U; i++)
        uh[i] = @u1_sum@;
@end@
@if u_whole@
    for (i = 0; i < HIDDEN; i++)
        h[i] = before[i];
@end@
    for (i = 0; i < HIDDEN; i++) {
        const float p = @w_sum@ + @u_sum@;
        state->h[i] = advance(p, i, state->h[i]);
    }
    return 0;
}

@if head@
int @name@_result(const @name@_state *state, @name@_logit *logits)
{
@head_cursor@
    float best = 0.0f;
    int found = 0, i;
    for (i = 0; i < @NAME@_CLASSES; i++) {
        const float sum = @head_sum@ + head_bias[i];
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

/* Whether a number came out as it should, NaN not. */
static int is_near(float value, float golden)
{
    const float difference = value - golden;
    return difference <= @tolerance@ && difference >= -@tolerance@;
}

int @name@_selftest(void)
{
    @name@_state state;
@if head@
    float logits[@NAME@_CLASSES];
@end@
    int i;
    @name@_init(&state);
    for (i = 0; i < @golden_frames@; i++)
        if (@name@_step(&state, &golden_x[i * INPUTS]) != 0)
            return 1;
    for (i = 0; i < HIDDEN; i++)
        if (!is_near(state.h[i], golden_h[i]))
            return 1;
@if head@
    @name@_result(&state, logits);
    for (i = 0; i < @NAME@_CLASSES; i++)
        if (!is_near(logits[i], golden_logits[i]))
            return 1;
@end@
    return 0;
}

#endif /* @NAME@_NO_SELFTEST */
