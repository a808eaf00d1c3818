/* Steps a generated model through sequences and writes what came out.

   input.bin:   for each sequence uint16 n_frames, then what source_next reads for each.
   answers.bin: for each frame an `answer`, the frame, MODEL_INPUTS int16, and the state,
                MODEL_HIDDEN int16.
   summary.bin: one `summary`.
   All little-endian. One frame is in memory at a time, as on a device that listens. */
#include <stdbool.h>
#include <stdint.h>

#include "counter.h"
#include "model.h"
#include "semihosting.h"
#include "source.h"
#include "start.h"

#define LOOP_TURNS UINT32_C(1000)

typedef struct answer {
    uint32_t source_ticks; /* of SysTick, for making the frame, */
    uint32_t step_ticks;   /* for model_step, */
    uint32_t result_ticks; /* and for model_result */
    int32_t class_id;
    int32_t logits[MODEL_CLASSES];
} answer;

typedef struct summary {
    uint32_t inputs, hidden, classes;
    uint32_t state_bytes;
    uint32_t stack_bytes, stack_used_bytes;
    uint32_t loop_instructions, loop_ticks; /* what is known, and what the counter says */
} summary;

static model_state state;
static model_input frame[MODEL_INPUTS];
static answer told;

/* Ticks of a loop of 2 * LOOP_TURNS instructions: checks the counter. */
static uint32_t loop_ticks(void)
{
    uint32_t turns = LOOP_TURNS;
    const uint32_t before = counter_read();
    __asm__ volatile(".syntax unified\n1: subs %0, #1\n bne 1b" : "+l"(turns) : : "cc");
    return counter_ticks(before, counter_read());
}

static bool tell_step(int32_t answers)
{
    const uint32_t before = counter_read();
    const int status = model_step(&state, frame);
    const uint32_t between = counter_read();
    told.class_id = model_result(&state, told.logits);
    told.result_ticks = counter_ticks(between, counter_read());
    told.step_ticks = counter_ticks(before, between);
    return status == 0 && semihosting_write(answers, &told, sizeof told) &&
           semihosting_write(answers, frame, sizeof frame) &&
           semihosting_write(answers, state.h, sizeof state.h);
}

static bool tell_sequences(int32_t input, int32_t answers)
{
    uint16_t n_frames;
    while (semihosting_read(input, &n_frames, sizeof n_frames)) {
        model_init(&state);
        source_begin();
        for (uint16_t i = 0; i < n_frames; i++)
            if (!source_next(input, frame, &told.source_ticks) || !tell_step(answers))
                return false;
    }
    return true;
}

static bool tell_summary(int32_t file)
{
    const summary all = {
        .inputs = MODEL_INPUTS,
        .hidden = MODEL_HIDDEN,
        .classes = MODEL_CLASSES,
        .state_bytes = sizeof state,
        .stack_bytes = stack_size(),
        .stack_used_bytes = stack_used(),
        .loop_instructions = 2 * LOOP_TURNS,
        .loop_ticks = loop_ticks(),
    };
    return semihosting_write(file, &all, sizeof all);
}

#define OPEN(name, mode) semihosting_open(name, sizeof(name) - 1, mode)

int main(void)
{
    counter_start();
    const int32_t input = OPEN("input.bin", SEMIHOSTING_READ);
    const int32_t answers = OPEN("answers.bin", SEMIHOSTING_WRITE);
    const int32_t summary_file = OPEN("summary.bin", SEMIHOSTING_WRITE);
    if (input < 0 || answers < 0 || summary_file < 0 || !source_start())
        return 1;
    const bool well = tell_sequences(input, answers) && tell_summary(summary_file);
    return well && semihosting_close(answers) && semihosting_close(summary_file) ? 0 : 1;
}
