/*
 * What the kernels of a FastGRNN cell begin with. They are written once for
 * vectors of any width; for what is said before they are included see kernels_mrl.h.
 */
#include "fastgrnn.h"
#include "fastgrnn_math.h"

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif

#if defined(__GNUC__) && !defined(__clang__)
#define EDGE_F_UNROLL _Pragma("GCC unroll 16")
#else
#define EDGE_F_UNROLL
#endif
#if defined(__GNUC__)
#define EDGE_F_ALWAYS __attribute__((always_inline))
#else
#define EDGE_F_ALWAYS
#endif
#define EDGE_F_INLINE static inline EDGE_F_ALWAYS EDGE_F_TARGET
