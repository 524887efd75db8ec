#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define FV_NAME "avx2"
#define FV_SUFFIX(name) name##__avx2
#include "i8_avx2.h"

// VPMADDUBSW adds two products of an unsigned and a signed byte in 16 bits, which 255 * 127 * 2 would
// saturate: so the magnitudes of the activations are multiplied by the weights under the activations' signs.
#define I8_ROWS 4
#define I8_PANELS 1
#define I8_OFFSET 0
INLINE void i8_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const int8_t *w, ptrdiff_t ld_w, int32_t count,
                   vi sums[I8_ROWS][2]) {
    (void)P, (void)ld_w;
    const __m256i ones = _mm256_set1_epi16(1);
    for (int32_t k = 0; k < count; k += 4, a += 4, w += 64) {
        __m256i b[2] = {load_bytes(w), load_bytes(w + 32)};
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++) {
            __m256i x = _mm256_set1_epi32(four(a + m * ld)), magnitude = _mm256_abs_epi8(x);
#pragma clang loop unroll(full)
            for (int v = 0; v < 2; v++) {
                __m256i pairs = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(b[v], x));
                sums[m][v] += (vi)_mm256_madd_epi16(pairs, ones);
            }
        }
    }
}

// Weights of 0 ... 15 are unsigned as they are, and 32 inputs of them fit in 16 bits: 8 * 2 * 15 * 127 = 30480.
#define I4_ROWS 3
#define I4_PANELS 1
#define I4_OFFSET 8
INLINE void i4_dot(const int R, const int P, const int8_t *a, ptrdiff_t ld, const uint8_t *w, ptrdiff_t ld_w,
                   vi sums[I4_ROWS][2]) {
    (void)P, (void)ld_w;
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256i pairs[I4_ROWS][2];
    for (int m = 0; m < R; m++) pairs[m][0] = pairs[m][1] = _mm256_setzero_si256();
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++, a += 8, w += 64)
#pragma clang loop unroll(full)
        for (int v = 0; v < 2; v++) {
            __m256i both = load_bytes(w + 32 * v);
            __m256i b[2] = {_mm256_and_si256(both, low), _mm256_and_si256(_mm256_srli_epi16(both, 4), low)};
#pragma clang loop unroll(full)
            for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
                for (int h = 0; h < 2; h++) {
                    __m256i x = _mm256_set1_epi32(four(a + m * ld + 4 * h));
                    pairs[m][v] = _mm256_add_epi16(pairs[m][v], _mm256_maddubs_epi16(b[h], x));
                }
        }
    for (int m = 0; m < R; m++)
        for (int v = 0; v < 2; v++) sums[m][v] += (vi)_mm256_madd_epi16(pairs[m][v], ones);
}

#include "i8_vector.h"
#pragma clang attribute pop
#endif
