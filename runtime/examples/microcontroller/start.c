#include "start.h"

#include <stddef.h>

#include "semihosting.h"

/* Addresses, from firmware.ld. */
extern uint32_t stack_bottom[], stack_top[];
extern uint32_t data_start[], data_end[], bss_start[], bss_end[];
extern const uint32_t data_load[];

extern int main(void);
void reset(void);
void fault(void);
void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int byte, size_t n);

typedef union vector {
    uint32_t *stack;
    void (*handler)(void);
} vector;

/* What a Cortex-M reads first: the stack, then a handler for each of its own exceptions. The
   firmware enables no interrupt, so there are no others. */
__attribute__((section(".vectors"), used)) static const vector vectors[16] = {
    {.stack = stack_top},   {.handler = reset},     {.handler = fault}, /* NMI */
    {.handler = fault}, /* HardFault */
    {.handler = fault}, /* MemManage */
    {.handler = fault}, /* BusFault */
    {.handler = fault}, /* UsageFault */
    {.handler = NULL},      {.handler = NULL},      {.handler = NULL},  {.handler = NULL},
    {.handler = fault}, /* SVCall */
    {.handler = fault}, /* DebugMonitor */
    {.handler = NULL},
    {.handler = fault}, /* PendSV */
    {.handler = fault}, /* SysTick: its interrupt stays off */
};

#define PAINT UINT32_C(0x57ac57ac)

void reset(void)
{
    uint32_t *here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    for (uint32_t *word = stack_bottom; word < here; word++)
        *word = PAINT;
    const uint32_t *load = data_load;
    for (uint32_t *word = data_start; word < data_end; word++)
        *word = *load++;
    for (uint32_t *word = bss_start; word < bss_end; word++)
        *word = 0;
    semihosting_exit(main() == 0);
}

void fault(void)
{
    semihosting_exit(false);
}

uint32_t stack_size(void)
{
    return (uint32_t)(stack_top - stack_bottom) * (uint32_t)sizeof(uint32_t);
}

uint32_t stack_used(void)
{
    const volatile uint32_t *word = stack_bottom;
    while (word < stack_top && *word == PAINT)
        word++;
    return (uint32_t)(stack_top - word) * (uint32_t)sizeof(uint32_t);
}

/* A compiler may call these two in any C code. There is no libc to bring them. */
void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    uint8_t *out = to;
    const uint8_t *in = from;
    while (n-- > 0)
        *out++ = *in++;
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    uint8_t *out = to;
    while (n-- > 0)
        *out++ = (uint8_t)byte;
    return to;
}
