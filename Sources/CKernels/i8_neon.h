// What the NEON tables share. Weights lie as the dot product instructions take them: 16 bytes are four
// outputs of four inputs each.
#define LANES 4
#include "i8_types.h"

INLINE vf max_(vf a, vf b) { return (vf)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE vf min_(vf a, vf b) { return (vf)vminq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE vf load_half(const uint16_t *p) { return (vf)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

#define I8_PANELS 1
#define I8_OFFSET 0

// R rows by SDOT.
INLINE void i8_dot_rows(const int R, const int8_t *a, ptrdiff_t ld, const int8_t *w, int32_t count, vi sums[I8_ROWS][4]) {
    for (int32_t k = 0; k < count; k += 4, a += 4, w += 64) {
        int8x16_t b[4];
#pragma clang loop unroll(full)
        for (int v = 0; v < 4; v++) b[v] = vld1q_s8(w + 16 * v);
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++) {
            int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four(a + m * ld)));
#pragma clang loop unroll(full)
            for (int v = 0; v < 4; v++) sums[m][v] = (vi)vdotq_s32((int32x4_t)sums[m][v], b[v], x);
        }
    }
}

#define I4_ROWS 3
#define I4_PANELS 1
#define I4_OFFSET 8
INLINE void i4_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const uint8_t *w, ptrdiff_t ld_w,
                   vi sums[I4_ROWS][4]) {
    (void)P, (void)ld_w;
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++, a += 8, w += 64) {
        int8x16_t x[2][I4_ROWS];
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++)
            for (int h = 0; h < 2; h++) x[h][m] = vreinterpretq_s8_s32(vdupq_n_s32(four(a + m * ld + 4 * h)));
#pragma clang loop unroll(full)
        for (int v = 0; v < 4; v++) {
            uint8x16_t both = vld1q_u8(w + 16 * v);
            int8x16_t low = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
            int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
#pragma clang loop unroll(full)
            for (int m = 0; m < R; m++) {
                int32x4_t sum = vdotq_s32((int32x4_t)sums[m][v], low, x[0][m]);
                sums[m][v] = (vi)vdotq_s32(sum, high, x[1][m]);
            }
        }
    }
}

#define FV_ACTIVATION_CACHE (128 * 1024)
