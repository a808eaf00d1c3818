/* Start of a Cortex-M without an operating system or a libc: see start.c and firmware.ld. */
#ifndef START_H
#define START_H

#include <stdint.h>

/** Bytes reserved for the stack. */
uint32_t stack_size(void);

/** Bytes of the stack written at any time since reset; stack_size() may mean an overflow. */
uint32_t stack_used(void);

#endif
