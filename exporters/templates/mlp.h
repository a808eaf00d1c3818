/*
 * @name@: @layers_count@ from @inputs@ numbers to @outputs@.
 * Written by edge_sdk.exporters.mlp_to_c; change the model, not this file.
 *
@facts@
 *
 * Of each layer the smaller of two forms is stored, by bytes: dense rows, or pairs of a value
 * and how many columns further on it is (a delta of 8 or 16 bits; where a gap is wider, pairs
 * of value 0 bridge it). The bytes are those of the weights.
 *
@layer_facts@
 *
 * The caller owns the state; any number of threads may use states of their own. No pointer
 * may be NULL but where said. No heap, no globals but constants, no libc;
 * @arithmetic@.
 */
#ifndef @NAME@_H
#define @NAME@_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define @NAME@_INPUTS @inputs@
#define @NAME@_OUTPUTS @outputs@
@if integer@
#define @NAME@_INPUT_BITS @input_bits@ /* an input v stands for v / 2^bits */
#define @NAME@_OUTPUT_BITS @output_bits@ /* so does an output */
@end@

typedef @activation@ @name@_input;
typedef @sum@ @name@_output;

typedef struct @name@_state {
@scratch@
    @sum@ outputs[@NAME@_OUTPUTS]; /* of the last input */
} @name@_state;

/* Bytes of a state, for whoever can not say sizeof. */
size_t @name@_size(void);

/* Set the outputs to 0. */
void @name@_init(@name@_state *state);

@if integer@
/* Compute the outputs of x (@NAME@_INPUTS,). Values beyond a range saturate. Returns 0. */
@end@
@if float@
/*
 * Compute the outputs of x (@NAME@_INPUTS,). Returns 0, or -1 where a number of x is NaN,
 * infinite, or 2^64 and beyond; the state is then as it was.
 */
@end@
int @name@_run(@name@_state *state, const @name@_input *x);

/*
 * Return the largest output's id, the lowest on ties.
 * `outputs` has room for @NAME@_OUTPUTS, or is NULL.
 */
int @name@_result(const @name@_state *state, @name@_output *outputs);

@if labels@
/* The name of an output in UTF-8, "" for an id out of range. */
const char *@name@_label(int class_id);

@end@
#ifndef @NAME@_NO_SELFTEST /* defined, it leaves the golden vectors out of the program */
@if integer@
/* Return 0 if the golden vectors inside come out bit for bit, else 1. Writes to `state`. */
@end@
@if float@
/* Return 0 if the golden vectors inside come out within @tolerance@, else 1. Writes to `state`. */
@end@
int @name@_selftest(@name@_state *state);
#endif

#ifdef __cplusplus
}
#endif

#endif /* @NAME@_H */
