/*
@if integer@
 * @name@, in int8 weights and 16-bit integers: see @header@.
 *
 * Bit for bit the integers of edge_sdk.exporters.mlp_integer, where each number's bits are
 * defined. A row's sum starts at its bias, which holds the half that rounds the shift. No
 * int32 overflows, whatever the inputs are: that was proved from the weights.
@end@
@if float@
 * @name@, in float32: see @header@.
 *
 * A row's sum starts at its bias and goes in order.
@end@
 */
#include "@header@"

@if integer@
/* Shifting right must keep the sign, as it does with all compilers for microcontrollers. */
typedef char @name@_shift_keeps_the_sign[(-1 >> 1) == -1 ? 1 : -1];

@end@
@constants@

@if dense@
/* `sum` and the sum of a row w (n,) with x (n,). */
static @sum@ dot(@sum@ sum, const @weight@ *w, const @activation@ *x, int32_t n)
{
    int32_t i;
    for (i = 0; i < n; i++)
        sum += @wide@w[i] * x[i];
    return sum;
}

@end@
@if sparse8@
/* Rows of pairs: a weight, and how much further on its input is than the one before. */
typedef struct rows8 {
    const @weight@ *value;
    const uint8_t *delta;
    const @count@ *count; /* pairs in a row */
} rows8;

/* `sum` and the sum of the next row with x. */
static @sum@ next8(@sum@ sum, rows8 *rows, const @activation@ *x)
{
    @count@ left = *rows->count++;
    for (; left > 0; left--) {
        x += *rows->delta++;
        sum += @wide@*rows->value++ * *x;
    }
    return sum;
}

@end@
@if sparse16@
/* Rows of pairs whose inputs are far apart: deltas of 16 bits. */
typedef struct rows16 {
    const @weight@ *value;
    const uint16_t *delta;
    const @count@ *count; /* pairs in a row */
} rows16;

/* `sum` and the sum of the next row with x. */
static @sum@ next16(@sum@ sum, rows16 *rows, const @activation@ *x)
{
    @count@ left = *rows->count++;
    for (; left > 0; left--) {
        x += *rows->delta++;
        sum += @wide@*rows->value++ * *x;
    }
    return sum;
}

@end@
@if clip@
static int32_t clip(int32_t value, int32_t low, int32_t high)
{
    return value < low ? low : value > high ? high : value;
}

@end@
@if relu@
static float relu(float value)
{
    return value > 0.0f ? value : 0.0f;
}

@end@
@if relu6@
static float relu6(float value)
{
    return value > 6.0f ? 6.0f : value > 0.0f ? value : 0.0f;
}

@end@
size_t @name@_size(void)
{
    return sizeof(@name@_state);
}

void @name@_init(@name@_state *state)
{
    volatile @sum@ *outputs = state->outputs; /* volatile, or the loop becomes a call of memset */
    int32_t i;
    for (i = 0; i < @NAME@_OUTPUTS; i++)
        outputs[i] = 0;
}

int @name@_run(@name@_state *state, const @name@_input *x)
{
@cursors@
    int32_t i;
@if float@
    for (i = 0; i < @NAME@_INPUTS; i++) {
        union {
            float value;
            uint32_t bits;
        } number;
        number.value = x[i];
        if (((number.bits >> 23) & 0xff) >= 127 + 64)
            return -1;
    }
@end@
@layers@
    return 0;
}

int @name@_result(const @name@_state *state, @name@_output *outputs)
{
    int32_t found = 0, i;
    for (i = 0; i < @NAME@_OUTPUTS; i++) {
        if (outputs != NULL)
            outputs[i] = state->outputs[i];
        if (state->outputs[i] > state->outputs[found])
            found = i;
    }
    return (int)found;
}

@if labels@
const char *@name@_label(int class_id)
{
    static const char *const labels[@NAME@_OUTPUTS] = {
@label_strings@
    };
    return class_id < 0 || class_id >= @NAME@_OUTPUTS ? "" : labels[class_id];
}

@end@
#ifndef @NAME@_NO_SELFTEST

@golden@

int @name@_selftest(@name@_state *state)
{
    int32_t i, j;
    for (i = 0; i < @golden_count@; i++) {
        if (@name@_run(state, &golden_x[i * @NAME@_INPUTS]) != 0)
            return 1;
        for (j = 0; j < @NAME@_OUTPUTS; j++) {
@if integer@
            if (state->outputs[j] != golden_outputs[i * @NAME@_OUTPUTS + j])
                return 1;
@end@
@if float@
            const float difference = state->outputs[j] - golden_outputs[i * @NAME@_OUTPUTS + j];
            if (!(difference <= @tolerance@ && difference >= -@tolerance@)) /* NaN neither */
                return 1;
@end@
        }
    }
    return 0;
}

#endif /* @NAME@_NO_SELFTEST */
