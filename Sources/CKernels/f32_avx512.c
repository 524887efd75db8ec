#if defined(__x86_64__)
#include <immintrin.h>
#include <stdint.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define LANES 16
#define PIXELS 8
#define FV_ISA_OF_TABLE FV_ISA_AVX512
#define FV_SUFFIX(name) name##__avx512
#define FV_INTERLEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define FV_INTERLEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define FV_LOAD_F16
static inline __attribute__((always_inline)) __m512 load_f16(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
#define FV_PARTIAL_LOADS
static inline __attribute__((always_inline)) __m512 load_first(const float *p, int32_t n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline __attribute__((always_inline)) void store_first(float *p, __m512 x, int32_t n) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), x);
}
#include "f32_vector.h"
#pragma clang attribute pop
#endif
