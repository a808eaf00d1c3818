/*
 * What an x86-64 processor and its system can run, asked without libgcc: its
 * CPU model needs a constructor of its own and is absent where code is linked
 * without a standard library.
 */
#ifndef EDGE_KERNELS_X86_H
#define EDGE_KERNELS_X86_H

#if defined(__GNUC__) && defined(__x86_64__)

#include <cpuid.h>
#include <stdint.h>

/* Bits of CPUID leaf 7, EBX and ECX. */
#define EDGE_X86_7B_BMI1 (1u << 3)
#define EDGE_X86_7B_AVX2 (1u << 5)
#define EDGE_X86_7B_AVX512F (1u << 16)
#define EDGE_X86_7B_AVX512VL (1u << 31)
#define EDGE_X86_7C_VNNI (1u << 11)
#define EDGE_X86_7C_VPOPCNTDQ (1u << 14)

/* Registers that the system saves when it switches tasks: bits of XCR0. */
#define EDGE_X86_YMM 0x06u
#define EDGE_X86_ZMM 0xe6u

/* Whether leaf 7 has all of `ebx` and `ecx`, and the system saves `registers`. */
static inline int edge_x86_has(uint32_t ebx, uint32_t ecx, uint32_t registers)
{
    const uint32_t osxsave_and_popcnt = (1u << 27) | (1u << 23);
    unsigned int a, b, c, d;
    uint32_t saved, saved_high;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & osxsave_and_popcnt) != osxsave_and_popcnt) {
        return 0;
    }
    __asm__("xgetbv" : "=a"(saved), "=d"(saved_high) : "c"(0));
    (void)saved_high;
    if ((saved & registers) != registers || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
        return 0;
    }
    return (b & ebx) == ebx && (c & ecx) == ecx;
}

#endif
#endif /* EDGE_KERNELS_X86_H */
