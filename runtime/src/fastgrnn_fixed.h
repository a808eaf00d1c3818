/* A FastGRNN cell in integers: what edge_sdk/fastgrnn/integer.py defines, to the bit. */
#ifndef EDGE_FASTGRNN_FIXED_H
#define EDGE_FASTGRNN_FIXED_H

#include "fastgrnn.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a state: h, (n_hidden) int16, and behind it the room of a step. */
size_t edge_fixed_state_size(const edge_fastgrnn *cell);

/* Room for one frame in a state: (n_inputs). */
int16_t *edge_fixed_frame(const edge_fastgrnn *cell, int16_t *state);

/* h = the next state, of features (n_inputs), which may lie in that room. */
void edge_fixed_step(const edge_fastgrnn *cell, int16_t *h, const int16_t *features);

/* The logit of class `id`. */
int32_t edge_fixed_logit(const edge_fastgrnn *cell, const int16_t *h, uint32_t id);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_FASTGRNN_FIXED_H */
