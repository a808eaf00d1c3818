/* The intrinsics of x86-64. */
#ifndef EDGE_KERNELS_INTRINSICS_H
#define EDGE_KERNELS_INTRINSICS_H

/* g++ 12 takes what these headers leave undefined on purpose for a mistake (GCC bug 105593). */
#if !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif /* EDGE_KERNELS_INTRINSICS_H */
