// The kernels of AVX-512, with 8-bit products of many rows in the tile registers of AMX.
#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8"))), apply_to = function)
#define FV_ISA_OF_TABLE FV_ISA_AMX
#define FV_NAME "amx"
#define FV_SUFFIX(name) name##__amx
#define FV_TILES
#define FV_ATTENTION fv_bf16_attention__amx
#define FV_ACTIVATION_CACHE (640 * 1024) // the second-level cache has 2 MB wherever there are tiles
#include "i8_avx512.h"
#pragma clang attribute pop
#endif
