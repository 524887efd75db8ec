// What the two tables with 256-bit vectors share.
#define LANES 8
#define FV_ISA_OF_TABLE FV_ISA_AVX2
#include "i8_types.h"

INLINE vf max_(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vf min_(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vf load_half(const uint16_t *p) { return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
INLINE __m256i load_bytes(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

#define FV_ACTIVATION_CACHE (128 * 1024)
