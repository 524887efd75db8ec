internal import CKernels
internal import Glibc

/// The instruction sets that kernels exist for. ``scalar`` is portable C and the reference for the others.
public enum InstructionSet: String, Sendable, CaseIterable, Codable {
    case scalar
    case avx2
    case avx512
    case amx
    case neon
    case neonI8MM = "neon-i8mm"

    /// Whether this processor runs them.
    public var isSupported: Bool { fv_isa_supported(isa) }

    /// The one to use: the fastest that this processor runs, or what `FASTVLM_ISA` in the environment names, which is
    /// for tests, comparisons and diagnosis: `scalar`, `avx2`, `avx512`, `amx`, `neon` or `neon-i8mm`.
    ///
    /// The variable is read once, when this is first asked for. One that this processor cannot follow changes nothing
    /// here; every ``Compute`` then fails with what is wrong with it.
    public static var best: InstructionSet { (try? chosen.get()) ?? fastest }

    /// Throws ``KernelError`` where `FASTVLM_ISA` names no instruction set, or one that this processor lacks.
    public static func validateEnvironment() throws(KernelError) { _ = try chosen.get() }

    private static let chosen = Result { () throws(KernelError) in
        try chosen(forced: getenv("FASTVLM_ISA").map { String(cString: $0) })
    }

    private static var fastest: InstructionSet {
        let best = fv_isa_best()
        return allCases.first { $0.isa == best } ?? .scalar
    }

    /// What ``best`` is where the environment says `forced`: nil or empty for the fastest.
    ///
    /// Throws ``KernelError`` where `forced` is misspelt or not supported.
    public static func chosen(forced: String?) throws(KernelError) -> InstructionSet {
        guard let forced, !forced.isEmpty else { return fastest }
        guard let set = InstructionSet(rawValue: forced), set.isSupported else {
            let known =
                InstructionSet(rawValue: forced) == nil ? "there is no such instruction set" : "this processor lacks it"
            throw KernelError(
                .unsupportedInstructionSet,
                "Cannot compute with FASTVLM_ISA='\(forced)': \(known). It runs \(supportedNames). Name one of them, or unset "
                    + "the variable to use the fastest.")
        }
        return set
    }

    /// The names of those that this processor runs.
    static var supportedNames: String { allCases.filter(\.isSupported).map(\.rawValue).joined(separator: ", ") }

    var isa: fv_isa {
        switch self {
        case .scalar: FV_ISA_SCALAR
        case .avx2: FV_ISA_AVX2
        case .avx512: FV_ISA_AVX512
        case .amx: FV_ISA_AMX
        case .neon: FV_ISA_NEON
        case .neonI8MM: FV_ISA_NEON_I8MM
        }
    }
}
