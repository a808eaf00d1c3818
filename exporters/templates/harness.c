/*
 * Runs @name@ on sequences for whoever wrote it: from standard input, for each sequence,
 * its number of frames (int32) and its features; to standard output, after each frame, the
 * state@and_logits@. Exit status 1: the self-test failed. 2: input or output ended
 * early. 3: a frame was refused.
 */
#include <stdio.h>

#include "@header@"

int main(void)
{
    @name@_state state;
    @name@_input x[@NAME@_INPUTS];
@if head@
    @name@_logit logits[@NAME@_CLASSES];
    int32_t class_id;
@end@
    int32_t left;
    if (@name@_selftest() != 0)
        return 1;
    while (fread(&left, sizeof left, 1, stdin) == 1) {
        @name@_init(&state);
        for (; left > 0; left--) {
            if (fread(x, sizeof x, 1, stdin) != 1)
                return 2;
            if (@name@_step(&state, x) != 0)
                return 3;
            if (fwrite(&state, sizeof state, 1, stdout) != 1)
                return 2;
@if head@
            class_id = (int32_t)@name@_result(&state, logits);
            if (fwrite(logits, sizeof logits, 1, stdout) != 1 ||
                fwrite(&class_id, sizeof class_id, 1, stdout) != 1)
                return 2;
@end@
        }
    }
    return 0;
}
