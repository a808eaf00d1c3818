#include "semihosting.h"

enum { SYS_OPEN = 0x01, SYS_CLOSE = 0x02, SYS_WRITE = 0x05, SYS_READ = 0x06, SYS_EXIT = 0x18 };

/* Reasons of SYS_EXIT. */
#define STOPPED_RUN_TIME_ERROR UINT32_C(0x20023)
#define STOPPED_APPLICATION_EXIT UINT32_C(0x20026)

/* Operation in r0, its argument in r1, the answer in r0. */
static uint32_t call(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static uint32_t call_with(uint32_t operation, uint32_t first, uint32_t second, uint32_t third)
{
    const volatile uint32_t block[3] = {first, second, third};
    return call(operation, (uint32_t)(uintptr_t)block);
}

int32_t semihosting_open(const char *name, uint32_t name_length, semihosting_mode mode)
{
    return (int32_t)call_with(SYS_OPEN, (uint32_t)(uintptr_t)name, mode, name_length);
}

bool semihosting_read(int32_t file, void *bytes, uint32_t n_bytes)
{
    /* The answer is how many bytes are missing. */
    return call_with(SYS_READ, (uint32_t)file, (uint32_t)(uintptr_t)bytes, n_bytes) == 0;
}

bool semihosting_write(int32_t file, const void *bytes, uint32_t n_bytes)
{
    return call_with(SYS_WRITE, (uint32_t)file, (uint32_t)(uintptr_t)bytes, n_bytes) == 0;
}

bool semihosting_close(int32_t file)
{
    return call_with(SYS_CLOSE, (uint32_t)file, 0, 0) == 0;
}

void semihosting_exit(bool well)
{
    for (;;)
        call(SYS_EXIT, well ? STOPPED_APPLICATION_EXIT : STOPPED_RUN_TIME_ERROR);
}
