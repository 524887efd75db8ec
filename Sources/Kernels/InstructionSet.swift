internal import CKernels

/// The instruction sets that kernels exist for. ``scalar`` is portable C and the reference for the others.
public enum InstructionSet: String, Sendable, CaseIterable, Codable {
    case scalar
    case avx2
    case avx512
    case neon
    case neonI8MM = "neon-i8mm"

    /// Whether this processor runs them.
    public var isSupported: Bool { fv_isa_supported(isa) }

    /// The fastest that this processor runs.
    public static var best: InstructionSet {
        let best = fv_isa_best()
        return allCases.first { $0.isa == best } ?? .scalar
    }

    var isa: fv_isa {
        switch self {
        case .scalar: FV_ISA_SCALAR
        case .avx2: FV_ISA_AVX2
        case .avx512: FV_ISA_AVX512
        case .neon: FV_ISA_NEON
        case .neonI8MM: FV_ISA_NEON_I8MM
        }
    }
}
