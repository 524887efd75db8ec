#ifndef FASTVLM_ISA_H
#define FASTVLM_ISA_H

#include <stdbool.h>

// The instruction sets that kernels are written for, each a superset of the one before it on its
// architecture. FV_ISA_SCALAR is portable C and the reference for all the others.
typedef enum fv_isa {
    FV_ISA_SCALAR = 0,
    FV_ISA_AVX2,     // AVX2, FMA, F16C
    FV_ISA_AVX512,   // AVX-512 F, BW, DQ, VL and VNNI
    FV_ISA_AMX,      // ... and BF16, with AMX INT8 and BF16
    FV_ISA_NEON,     // ARMv8.2 with dot product
    FV_ISA_NEON_I8MM // ... and the 8-bit matrix product
} fv_isa;

enum { FV_ISA_COUNT = FV_ISA_NEON_I8MM + 1 };

// Whether this processor runs kernels of `isa`.
bool fv_isa_supported(fv_isa isa);

// The last supported entry of fv_isa: the one to use unless a test forces another.
fv_isa fv_isa_best(void);

// "scalar", "avx2", "avx512", "amx", "neon" or "neon-i8mm".
const char *fv_isa_name(fv_isa isa);

#endif
