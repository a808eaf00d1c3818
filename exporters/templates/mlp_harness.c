/*
 * Runs @name@ for whoever wrote it: inputs from standard input; to standard output, after
 * each, the outputs and the largest one's id (int32). Exit status 1: the self-test failed.
 * 2: output ended early. 3: an input was refused.
 */
#include <stdio.h>

#include "@header@"

int main(void)
{
    static @name@_state state;
    static @name@_input x[@NAME@_INPUTS];
    static @name@_output outputs[@NAME@_OUTPUTS];
    int32_t class_id;
    if (@name@_selftest(&state) != 0)
        return 1;
    @name@_init(&state);
    while (fread(x, sizeof x, 1, stdin) == 1) {
        if (@name@_run(&state, x) != 0)
            return 3;
        class_id = (int32_t)@name@_result(&state, outputs);
        if (fwrite(outputs, sizeof outputs, 1, stdout) != 1 ||
            fwrite(&class_id, sizeof class_id, 1, stdout) != 1)
            return 2;
    }
    return 0;
}
