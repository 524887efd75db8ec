#if defined(__aarch64__)
#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)
#define FV_ISA_OF_TABLE FV_ISA_NEON_I8MM
#define FV_NAME "neon-i8mm"
#define FV_SUFFIX(name) name##__neon_i8mm
#define I8_ROWS 4
#include "i8_neon.h"

// SMMLA multiplies two rows of eight inputs by two outputs of eight inputs, twice the work of SDOT.
INLINE void i8_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const int8_t *w, ptrdiff_t ld_w, int32_t count,
                   vi sums[I8_ROWS][4]) {
    (void)P, (void)ld_w;
    if (R == 1) { // one row would leave half of SMMLA unused
        i8_dot_rows(R, a, ld, w, count, sums);
        return;
    }
    int32x4_t squares[I8_ROWS / 2][8]; // [row pair][output pair]: row 0 by both outputs, then row 1
#pragma clang loop unroll(full)
    for (int i = 0; i < R / 2; i++)
#pragma clang loop unroll(full)
        for (int j = 0; j < 8; j++) squares[i][j] = vdupq_n_s32(0);
    for (int32_t k = 0; k < count; k += 8, a += 8, w += 128) {
        int8x16_t x[I8_ROWS / 2];
#pragma clang loop unroll(full)
        for (int i = 0; i < R / 2; i++) x[i] = vcombine_s8(vld1_s8(a + 2 * i * ld), vld1_s8(a + (2 * i + 1) * ld));
#pragma clang loop unroll(full)
        for (int v = 0; v < 4; v++) {
            int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(w + 16 * v)), second = vreinterpretq_s32_s8(vld1q_s8(w + 64 + 16 * v));
            int8x16_t b0 = vreinterpretq_s8_s32(vzip1q_s32(first, second)), b1 = vreinterpretq_s8_s32(vzip2q_s32(first, second));
#pragma clang loop unroll(full)
            for (int i = 0; i < R / 2; i++) {
                squares[i][2 * v] = vmmlaq_s32(squares[i][2 * v], x[i], b0);
                squares[i][2 * v + 1] = vmmlaq_s32(squares[i][2 * v + 1], x[i], b1);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < R / 2; i++)
#pragma clang loop unroll(full)
        for (int v = 0; v < 4; v++) {
            int64x2_t left = vreinterpretq_s64_s32(squares[i][2 * v]), right = vreinterpretq_s64_s32(squares[i][2 * v + 1]);
            sums[2 * i][v] += (vi)vreinterpretq_s32_s64(vzip1q_s64(left, right));
            sums[2 * i + 1][v] += (vi)vreinterpretq_s32_s64(vzip2q_s64(left, right));
        }
}

#include "i8_vector.h"
#pragma clang attribute pop
#endif
