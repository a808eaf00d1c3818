/* Frames by the core's log-mel front end, from samples that come a hop at a time. */
#include "counter.h"
#include "edge_runtime.h"
#include "front_end.h"
#include "semihosting.h"
#include "source.h"

static edge_logmel logmel;
static uint32_t workspace[FRONT_END_WORDS];
static int16_t block[FRONT_END_HOP]; /* a driver of a microphone would fill it */

bool source_start(void)
{
    return front_end.n_bands == MODEL_INPUTS &&
           edge_logmel_init(&logmel, &front_end, workspace, sizeof workspace) == EDGE_OK;
}

void source_begin(void)
{
    edge_logmel_reset(&logmel);
}

bool source_next(int32_t file, model_input *frame, uint32_t *ticks)
{
    size_t n_frames = 0, n_used;
    *ticks = 0;
    while (n_frames == 0) {
        if (!semihosting_read(file, block, sizeof block))
            return false;
        const uint32_t before = counter_read();
        const edge_status status =
            edge_logmel_push(&logmel, block, FRONT_END_HOP, frame, 1, &n_frames, &n_used);
        *ticks += counter_ticks(before, counter_read());
        if (status != EDGE_OK || n_used != FRONT_END_HOP)
            return false;
    }
    return true;
}
