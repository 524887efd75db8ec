#include "isa.h"

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
// Asks the system to let this process use a part of the processor's state (Linux, Documentation/arch/x86/xstate.rst).
#define FV_ARCH_REQ_XCOMP_PERM 0x1023
#define FV_XFEATURE_TILES 18
#endif

#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
// Bits of AT_HWCAP and AT_HWCAP2 (Linux, arch/arm64/include/uapi/asm/hwcap.h).
#define FV_HWCAP_ASIMDDP (1UL << 20)
#define FV_HWCAP2_I8MM (1UL << 13)
#endif

#if defined(__x86_64__)
// The process asks once, whichever thread comes first; asking again changes nothing.
static bool tiles_are_allowed(void) {
#if defined(__linux__)
    enum { UNKNOWN, ALLOWED, REFUSED };
    static _Atomic int answer = UNKNOWN;
    if (answer == UNKNOWN) answer = syscall(SYS_arch_prctl, FV_ARCH_REQ_XCOMP_PERM, FV_XFEATURE_TILES) == 0 ? ALLOWED : REFUSED;
    return answer == ALLOWED;
#else
    return false;
#endif
}
#endif

bool fv_isa_supported(fv_isa isa) {
    switch (isa) {
    case FV_ISA_SCALAR:
        return true;
#if defined(__x86_64__)
    case FV_ISA_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    case FV_ISA_AVX512:
        return fv_isa_supported(FV_ISA_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512vnni");
    case FV_ISA_AMX:
        return fv_isa_supported(FV_ISA_AVX512) && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-int8") &&
               __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("avx512bf16") &&
               tiles_are_allowed();
#elif defined(__aarch64__) && defined(__linux__)
    case FV_ISA_NEON:
        return (getauxval(AT_HWCAP) & FV_HWCAP_ASIMDDP) != 0;
    case FV_ISA_NEON_I8MM:
        return fv_isa_supported(FV_ISA_NEON) && (getauxval(AT_HWCAP2) & FV_HWCAP2_I8MM) != 0;
#endif
    default:
        return false;
    }
}

fv_isa fv_isa_best(void) {
    for (int isa = FV_ISA_COUNT - 1; isa > FV_ISA_SCALAR; isa--) {
        if (fv_isa_supported((fv_isa)isa)) return (fv_isa)isa;
    }
    return FV_ISA_SCALAR;
}

const char *fv_isa_name(fv_isa isa) {
    switch (isa) {
    case FV_ISA_SCALAR: return "scalar";
    case FV_ISA_AVX2: return "avx2";
    case FV_ISA_AVX512: return "avx512";
    case FV_ISA_AMX: return "amx";
    case FV_ISA_NEON: return "neon";
    case FV_ISA_NEON_I8MM: return "neon-i8mm";
    }
    return "unknown";
}
