#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LANES 8
#define PIXELS 4
#define FV_ISA_OF_TABLE FV_ISA_AVX2
#define FV_SUFFIX(name) name##__avx2
#define FV_INTERLEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define FV_INTERLEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define FV_LOAD_F16
static inline __attribute__((always_inline)) __m256 load_f16(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
#include "f32_vector.h"
#pragma clang attribute pop
#endif
