#if defined(__aarch64__)
// NEON is part of every AArch64 processor: no target attribute is needed for float32.
#define LANES 4
#define PIXELS 8
#define FV_ISA_OF_TABLE FV_ISA_NEON
#define FV_SUFFIX(name) name##__neon
#define FV_INTERLEAVE_LOW 0, 4, 1, 5
#define FV_INTERLEAVE_HIGH 2, 6, 3, 7
#include "f32_vector.h"
#endif
