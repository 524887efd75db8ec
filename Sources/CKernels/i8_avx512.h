// The kernels for AVX-512 with VNNI; the including file sets the target, FV_SUFFIX, FV_ISA_OF_TABLE and FV_NAME.
#define LANES 16
#define FV_PARTIAL_LOADS
#include "i8_types.h"

INLINE vf max_(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vf min_(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vf load_first(const float *p, int32_t n) { return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
INLINE void store_first(float *p, vf x, int32_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x); }
INLINE vf load_half(const uint16_t *p) { return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

// VPDPBUSD multiplies unsigned by signed bytes: the weights are made unsigned by adding 128.
#define I8_ROWS 8
#define I8_PANELS 3
#define I8_OFFSET 128
#define I8_GROUP_ROWS 6
#define I8_GROUP_PANELS 2
INLINE void i8_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const int8_t *w, ptrdiff_t ld_w, int32_t count,
                   vi sums[I8_ROWS][I8_PANELS]) {
    const __m512i flip = _mm512_set1_epi8((char)0x80);
    for (int32_t k = 0; k < count; k += 4, a += 4, w += 64) {
        __m512i b[I8_PANELS];
#pragma clang loop unroll(full)
        for (int p = 0; p < P; p++) b[p] = _mm512_xor_si512(_mm512_loadu_si512(w + p * ld_w), flip);
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++) {
            __m512i x = _mm512_set1_epi32(four(a + m * ld));
#pragma clang loop unroll(full)
            for (int p = 0; p < P; p++) sums[m][p] = (vi)_mm512_dpbusd_epi32((__m512i)sums[m][p], b[p], x);
        }
    }
}

#define I4_ROWS 6
#define I4_PANELS 2
#define I4_OFFSET 8
INLINE void i4_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const uint8_t *w, ptrdiff_t ld_w,
                   vi sums[I4_ROWS][I4_PANELS]) {
    const __m512i low = _mm512_set1_epi8(15);
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++, a += 8, w += 64) {
        __m512i b[2][I4_PANELS];
#pragma clang loop unroll(full)
        for (int p = 0; p < P; p++) {
            __m512i both = _mm512_loadu_si512(w + p * ld_w);
            b[0][p] = _mm512_and_si512(both, low);
            b[1][p] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
            for (int h = 0; h < 2; h++) {
                __m512i x = _mm512_set1_epi32(four(a + m * ld + 4 * h));
#pragma clang loop unroll(full)
                for (int p = 0; p < P; p++) sums[m][p] = (vi)_mm512_dpbusd_epi32((__m512i)sums[m][p], b[h][p], x);
            }
    }
}

#ifndef FV_ACTIVATION_CACHE
#define FV_ACTIVATION_CACHE (256 * 1024)
#endif
#include "i8_vector.h"
