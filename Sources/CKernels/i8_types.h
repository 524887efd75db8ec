// Vectors of LANES numbers and what the compiler's vector types do by themselves; included within a target.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef float vf_u __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint8_t vb __attribute__((vector_size(LANES)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float x) { return (vf){} + x; }
INLINE vf load(const float *p) { return *(const vf_u *)p; }
INLINE void store(float *p, vf x) { *(vf_u *)p = x; }
INLINE vf fma_(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
INLINE vi imax_(vi a, vi b) { return __builtin_elementwise_max(a, b); }

#ifndef FV_PARTIAL_LOADS
INLINE vf load_first(const float *p, int32_t n) {
    vf x = {};
    memcpy(&x, p, 4 * (size_t)n);
    return x;
}
INLINE void store_first(float *p, vf x, int32_t n) { memcpy(p, &x, 4 * (size_t)n); }
#endif

// The low byte of every number.
INLINE void store_bytes(int8_t *p, vu x) {
    vb bytes = __builtin_convertvector(x, vb);
    memcpy(p, &bytes, sizeof bytes);
}

// Four bytes as one number: what a dot product instruction takes from a row of activations.
INLINE int32_t four(const int8_t *p) {
    int32_t x;
    memcpy(&x, p, 4);
    return x;
}
