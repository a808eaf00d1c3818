/*
 * @name@: a FastGRNN of @inputs@ features a frame and a state of @hidden@@of_classes@.
 * Written by edge_sdk.exporters.to_c; change the model, not this file.
 *
@facts@
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

#define @NAME@_INPUTS @inputs@ /* features in a frame */
#define @NAME@_HIDDEN @hidden@ /* numbers in the state */
@if head@
#define @NAME@_CLASSES @classes@
@end@
@if integer@
#define @NAME@_INPUT_BITS @input_bits@ /* a feature v stands for v / 2^bits */
#define @NAME@_STATE_BITS @state_bits@ /* so does a number of the state, */
@end@
@if integer_head@
#define @NAME@_LOGIT_BITS @logit_bits@ /* and a logit */
@end@

typedef @input@ @name@_input; /* a feature as the front end makes it; normalization is inside */
@if head@
typedef @logit@ @name@_logit;
@end@

typedef struct @name@_state {
    @input@ h[@NAME@_HIDDEN];
} @name@_state;

/* Begin a sequence. */
void @name@_init(@name@_state *state);

@if integer@
/* Take one frame, x (@NAME@_INPUTS,). Values beyond a range saturate. Returns 0. */
@end@
@if float@
/*
 * Take one frame, x (@NAME@_INPUTS,). Returns 0, or -1 where a feature is NaN, infinite, or
 * beyond 2^64 when normalized; the state is then as it was.
 */
@end@
int @name@_step(@name@_state *state, const @name@_input *x);

@if head@
/*
 * Return the class after the frames so far, the lowest id on ties.
 * `logits` has room for @NAME@_CLASSES, or is NULL.
 */
int @name@_result(const @name@_state *state, @name@_logit *logits);

/* The name of a class in UTF-8, "" for an id out of range. */
const char *@name@_label(int class_id);

@end@
#ifndef @NAME@_NO_SELFTEST /* defined, it leaves the golden vectors out of the program */
@if integer@
/* Return 0 if the golden vectors inside come out bit for bit, else 1. */
@end@
@if float@
/* Return 0 if the golden vectors inside come out within @tolerance@, else 1. */
@end@
int @name@_selftest(void);
#endif

#ifdef __cplusplus
}
#endif

#endif /* @NAME@_H */
