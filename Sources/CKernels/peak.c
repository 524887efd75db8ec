#include "peak.h"
#include "i8_tables.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// Runs SUMS independent chains of `step`, enough to hide its latency, and counts `operations` for each. The
// empty assembly keeps each sum in a register and makes the compiler believe that it is needed.
#define CHAINS(name, features, type, constraint, SUMS, zero, step, operations)                     \
    features static uint64_t name(int64_t rounds) {                                                \
        type sums[SUMS];                                                                           \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < SUMS; i++) sums[i] = zero;          \
        type a = zero, b = zero;                                                                   \
        __asm__ volatile("" : "+" constraint(a), "+" constraint(b));                               \
        for (int64_t round = 0; round < rounds; round++) {                                         \
            _Pragma("clang loop unroll(full)") for (int i = 0; i < SUMS; i++) {                    \
                step;                                                                              \
                __asm__ volatile("" : "+" constraint(sums[i]));                                    \
            }                                                                                      \
        }                                                                                          \
        return (uint64_t)rounds * SUMS * (operations);                                             \
    }

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define AVXVNNI __attribute__((target("avx2,avxvnni")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vnni")))
CHAINS(i8__avx2, AVX2, __m256i, "x", 12, _mm256_setzero_si256(),
       sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, _mm256_sign_epi8(b, sums[i])), b)), 64)
CHAINS(i8__avxvnni, AVXVNNI, __m256i, "x", 12, _mm256_setzero_si256(), sums[i] = _mm256_dpbusd_avx_epi32(sums[i], a, b), 64)
CHAINS(i8__avx512, AVX512, __m512i, "v", 24, _mm512_setzero_si512(), sums[i] = _mm512_dpbusd_epi32(sums[i], a, b), 128)

// Six sums of 16 x 16 in tiles, of 64 inputs each.
__attribute__((target("amx-tile,amx-int8"))) static uint64_t i8__amx(int64_t rounds) {
    fv_tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) shapes.bytes[i] = 64, shapes.rows[i] = 16;
    _tile_loadconfig(&shapes);
    _tile_zero(6);
    _tile_zero(7);
    for (int64_t round = 0; round < rounds; round++) {
        _tile_dpbssd(0, 6, 7);
        _tile_dpbssd(1, 6, 7);
        _tile_dpbssd(2, 6, 7);
        _tile_dpbssd(3, 6, 7);
        _tile_dpbssd(4, 6, 7);
        _tile_dpbssd(5, 6, 7);
    }
    _tile_release();
    return (uint64_t)rounds * 6 * 2 * 16 * 16 * 64;
}

CHAINS(f32__avx2, AVX2, __m256, "x", 12, _mm256_setzero_ps(), sums[i] = _mm256_fmadd_ps(a, b, sums[i]), 16)
CHAINS(f32__avx512, AVX512, __m512, "v", 24, _mm512_setzero_ps(), sums[i] = _mm512_fmadd_ps(a, b, sums[i]), 32)
#elif defined(__aarch64__)
#define DOTPROD __attribute__((target("dotprod")))
#define I8MM __attribute__((target("dotprod,i8mm")))
CHAINS(i8__neon, DOTPROD, int32x4_t, "w", 24, vdupq_n_s32(0),
       sums[i] = vdotq_s32(sums[i], vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)), 32)
CHAINS(i8__neon_i8mm, I8MM, int32x4_t, "w", 24, vdupq_n_s32(0),
       sums[i] = vmmlaq_s32(sums[i], vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)), 64)
CHAINS(f32__neon, , float32x4_t, "w", 24, vdupq_n_f32(0), sums[i] = vfmaq_f32(sums[i], a, b), 8)
#endif

uint64_t fv_peak_i8(fv_isa isa, int64_t rounds) {
    const fv_quant_kernels *table = fv_quant_kernels_for(isa);
    if (!table || rounds < 1) return 0;
#if defined(__x86_64__)
    if (table == &fv_quant_kernels__avxvnni) return i8__avxvnni(rounds);
    if (isa == FV_ISA_AMX) return i8__amx(rounds);
    if (isa == FV_ISA_AVX512) return i8__avx512(rounds);
    if (isa == FV_ISA_AVX2) return i8__avx2(rounds);
#elif defined(__aarch64__)
    if (isa == FV_ISA_NEON_I8MM) return i8__neon_i8mm(rounds);
    if (isa == FV_ISA_NEON) return i8__neon(rounds);
#endif
    return 0;
}

uint64_t fv_peak_f32(fv_isa isa, int64_t rounds) {
    if (!fv_isa_supported(isa) || rounds < 1) return 0;
#if defined(__x86_64__)
    if (isa == FV_ISA_AVX512 || isa == FV_ISA_AMX) return f32__avx512(rounds);
    if (isa == FV_ISA_AVX2) return f32__avx2(rounds);
#elif defined(__aarch64__)
    if (isa != FV_ISA_SCALAR) return f32__neon(rounds);
#endif
    return 0;
}

uint64_t fv_read_memory(const void *memory, size_t bytes) {
    typedef uint64_t words __attribute__((vector_size(64)));
    words sums[4] = {{0}};
    const uint8_t *p = memory;
    size_t i = 0;
    for (; i + sizeof sums <= bytes; i += sizeof sums)
#pragma clang loop unroll(full)
        for (int k = 0; k < 4; k++) {
            words next;
            memcpy(&next, p + i + 64 * k, sizeof next);
            sums[k] += next;
        }
    uint64_t sum = 0;
    for (; i < bytes; i++) sum += p[i];
    words all = sums[0] + sums[1] + sums[2] + sums[3];
    for (int k = 0; k < 8; k++) sum += all[k];
    return sum;
}
