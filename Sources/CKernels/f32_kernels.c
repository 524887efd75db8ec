#include "f32_tables.h"

const fv_f32_kernels *fv_f32_kernels_for(fv_isa isa) {
    if (!fv_isa_supported(isa)) return 0;
    switch (isa) {
    case FV_ISA_SCALAR: return &fv_f32_kernels__scalar;
#if defined(__x86_64__)
    case FV_ISA_AVX2: return &fv_f32_kernels__avx2;
    case FV_ISA_AVX512:
    case FV_ISA_AMX: return &fv_f32_kernels__avx512; // tiles hold no float32
#elif defined(__aarch64__)
    case FV_ISA_NEON:
    case FV_ISA_NEON_I8MM: return &fv_f32_kernels__neon; // i8mm adds nothing to float32
#endif
    default: return 0;
    }
}

ptrdiff_t fv_attention_scratch(int32_t keys, int32_t head_dim) {
    ptrdiff_t padded = ((ptrdiff_t)keys + 63) / 64 * 64;
    return padded * head_dim + padded * (((ptrdiff_t)head_dim + 15) / 16 * 16) + 8 * padded;
}
