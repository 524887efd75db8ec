#if defined(__x86_64__)
#include <immintrin.h>

// VPDPBUSD on 256-bit vectors: processors with AVX2 and without AVX-512 that have it, the small ones among them.
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#define FV_NAME "avxvnni"
#define FV_SUFFIX(name) name##__avxvnni
#include "i8_avx2.h"

// VPDPBUSD multiplies unsigned by signed bytes: the weights are made unsigned by adding 128.
#define I8_ROWS 6
#define I8_PANELS 1
#define I8_OFFSET 128
INLINE void i8_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const int8_t *w, ptrdiff_t ld_w, int32_t count,
                   vi sums[I8_ROWS][2]) {
    (void)P, (void)ld_w;
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    for (int32_t k = 0; k < count; k += 4, a += 4, w += 64) {
        __m256i b[2] = {_mm256_xor_si256(load_bytes(w), flip), _mm256_xor_si256(load_bytes(w + 32), flip)};
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++) {
            __m256i x = _mm256_set1_epi32(four(a + m * ld));
#pragma clang loop unroll(full)
            for (int v = 0; v < 2; v++) sums[m][v] = (vi)_mm256_dpbusd_avx_epi32((__m256i)sums[m][v], b[v], x);
        }
    }
}

#define I4_ROWS 3
#define I4_PANELS 1
#define I4_OFFSET 8
INLINE void i4_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const uint8_t *w, ptrdiff_t ld_w,
                   vi sums[I4_ROWS][2]) {
    (void)P, (void)ld_w;
    const __m256i low = _mm256_set1_epi8(15);
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++, a += 8, w += 64)
#pragma clang loop unroll(full)
        for (int v = 0; v < 2; v++) {
            __m256i both = load_bytes(w + 32 * v);
            __m256i b[2] = {_mm256_and_si256(both, low), _mm256_and_si256(_mm256_srli_epi16(both, 4), low)};
#pragma clang loop unroll(full)
            for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
                for (int h = 0; h < 2; h++)
                    sums[m][v] = (vi)_mm256_dpbusd_avx_epi32((__m256i)sums[m][v], b[h],
                                                             _mm256_set1_epi32(four(a + m * ld + 4 * h)));
        }
}

#include "i8_vector.h"
#pragma clang attribute pop
#endif
