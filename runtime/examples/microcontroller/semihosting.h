/* Files of the host, through the debugger or the emulator (Arm's "Semihosting for AArch32 and
   AArch64"). A firmware that calls these stops at the first call where nobody listens. */
#ifndef SEMIHOSTING_H
#define SEMIHOSTING_H

#include <stdbool.h>
#include <stdint.h>

typedef enum semihosting_mode {
    SEMIHOSTING_READ = 1, /* "rb" */
    SEMIHOSTING_WRITE = 5 /* "wb" */
} semihosting_mode;

/** Open a file in the emulator's working folder. @return A handle, or -1. */
int32_t semihosting_open(const char *name, uint32_t name_length, semihosting_mode mode);

/** @return Whether all `n_bytes` came; at the end of the file fewer do. */
bool semihosting_read(int32_t file, void *bytes, uint32_t n_bytes);

/** @return Whether all `n_bytes` were written. */
bool semihosting_write(int32_t file, const void *bytes, uint32_t n_bytes);

/** @return Whether the file was closed well. */
bool semihosting_close(int32_t file);

/** End the emulator, with status 0 or 1. */
__attribute__((noreturn)) void semihosting_exit(bool well);

#endif
