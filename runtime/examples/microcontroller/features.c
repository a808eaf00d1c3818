/* Frames as they are in the file. */
#include "semihosting.h"
#include "source.h"

bool source_start(void)
{
    return true;
}

void source_begin(void)
{
}

bool source_next(int32_t file, model_input *frame, uint32_t *ticks)
{
    *ticks = 0;
    return semihosting_read(file, frame, MODEL_INPUTS * sizeof *frame);
}
