#include "i8_tables.h"

const fv_quant_kernels *fv_quant_kernels_for(fv_isa isa) {
    const fv_quant_kernels *best = 0;
    for (int32_t i = 0; fv_quant_kernels_at(i); i++)
        if (fv_quant_kernels_at(i)->isa == isa) best = fv_quant_kernels_at(i);
    return best;
}

// A table's instruction set is what its processor must have at least; some need more.
static bool runs(const fv_quant_kernels *table) {
    if (!fv_isa_supported(table->isa)) return false;
#if defined(__x86_64__)
    if (table == &fv_quant_kernels__avxvnni) return __builtin_cpu_supports("avxvnni");
#endif
    return true;
}

const fv_quant_kernels *fv_quant_kernels_at(int32_t index) {
    static const fv_quant_kernels *const tables[] = {
        &fv_quant_kernels__scalar,
#if defined(__x86_64__)
        &fv_quant_kernels__avx2, &fv_quant_kernels__avxvnni, &fv_quant_kernels__avx512,
        &fv_quant_kernels__amx,
#elif defined(__aarch64__)
        &fv_quant_kernels__neon, &fv_quant_kernels__neon_i8mm,
#endif
    };
    for (int32_t i = 0; index >= 0 && i < (int32_t)(sizeof tables / sizeof *tables); i++)
        if (runs(tables[i]) && index-- == 0) return tables[i];
    return 0;
}
