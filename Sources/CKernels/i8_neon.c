#if defined(__aarch64__)
#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#define FV_ISA_OF_TABLE FV_ISA_NEON
#define FV_NAME "neon"
#define FV_SUFFIX(name) name##__neon
#define I8_ROWS 6
#include "i8_neon.h"

INLINE void i8_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const int8_t *w, ptrdiff_t ld_w, int32_t count,
                   vi sums[I8_ROWS][4]) {
    (void)P, (void)ld_w;
    i8_dot_rows(R, a, ld, w, count, sums);
}

#include "i8_vector.h"
#pragma clang attribute pop
#endif
