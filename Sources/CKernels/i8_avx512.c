#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), apply_to = function)
#define FV_ISA_OF_TABLE FV_ISA_AVX512
#define FV_NAME "avx512"
#define FV_SUFFIX(name) name##__avx512
#include "i8_avx512.h"
#pragma clang attribute pop
#endif
