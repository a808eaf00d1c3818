/* SysTick as a counter of instructions: under QEMU's -icount each instruction takes the same
   virtual time (run.py knows how long). On a board it would count cycles. */
#ifndef COUNTER_H
#define COUNTER_H

#include <stdint.h>

#define SYSTICK_CONTROL (*(volatile uint32_t *)UINT32_C(0xe000e010))
#define SYSTICK_RELOAD (*(volatile uint32_t *)UINT32_C(0xe000e014))
#define SYSTICK_VALUE (*(volatile uint32_t *)UINT32_C(0xe000e018))
#define SYSTICK_BITS UINT32_C(0x00ffffff)

/** Let SysTick count the processor's clock down, without an interrupt. */
static inline void counter_start(void)
{
    SYSTICK_RELOAD = SYSTICK_BITS;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 5;
}

/** Now. */
static inline uint32_t counter_read(void)
{
    return SYSTICK_VALUE;
}

/** Ticks from `before` to `after`, at most 2**24 - 1. */
static inline uint32_t counter_ticks(uint32_t before, uint32_t after)
{
    return (before - after) & SYSTICK_BITS;
}

#endif
