/* Where frames come from: features.c reads them, samples.c makes them from what a microphone
   hears. A firmware has one of the two. */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "model.h"

/** Prepare; once. @return Whether it could. */
bool source_start(void);

/** Begin a sequence. */
void source_begin(void);

/**
 * Bring the next frame of the sequence.
 *
 * @param file        Open, at what the frame needs next.
 * @param[out] frame  (MODEL_INPUTS).
 * @param[out] ticks  Of SysTick, for making the frame; reading the file is not among them.
 * @return Whether all of it was there.
 */
bool source_next(int32_t file, model_input *frame, uint32_t *ticks);

#endif
