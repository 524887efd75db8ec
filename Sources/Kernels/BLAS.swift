internal import CKernels
internal import COpenBLAS
internal import Glibc

/// OpenBLAS, loaded on the first float32 matrix product.
///
/// The library picks its kernels once, when it is loaded, from a table of processors that it knows. Debian
/// 12's 0.3.21 takes newer server processors for a "Prescott" and is then five times slower. So the choice
/// is made here, from what the processor can do, through `OPENBLAS_CORETYPE`. A value of that variable in the
/// environment is kept only if it fits the processor: it is often left there for another program, and one
/// for a smaller processor halves the speed. `FASTVLM_OPENBLAS_CORETYPE` wins over everything. What the
/// library then says it runs is checked, and ``Diagnosis/warning`` tells when it is a poor fit.
public struct BLAS: Sendable {
    /// What was loaded.
    public struct Diagnosis: Sendable, Equatable {
        /// The kernels in use, as the library names them, for example `SkylakeX`.
        public let core: String
        /// The library's own description of its build.
        public let build: String
        /// Why it will be slow and what to do, or `nil` where all is well.
        public let warning: String?
    }

    public let diagnosis: Diagnosis
    let sgemm: fastvlm_cblas_sgemm_fn

    private static let loaded = Result { () throws(KernelError) in try BLAS() }

    /// The library, loaded at most once in a process. Throws ``KernelError`` where it is missing.
    public static func shared() throws(KernelError) -> BLAS {
        try loaded.get()
    }

    /// The cores of OpenBLAS that use all of the widest vectors of `set`.
    static func suitableCores(_ set: InstructionSet) -> [String] {
        switch set {
        case .avx512, .amx: ["SkylakeX", "Cooperlake", "SapphireRapids"]
        case .avx2: ["Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"]
        case .scalar, .neon, .neonI8MM: []
        }
    }

    /// The core to ask the library for, or nil to let it choose.
    ///
    /// - Parameters:
    ///   - forced: What the user wants this program to use.
    ///   - present: What the environment says to all programs.
    public static func core(forced: String?, present: String?, instructionSet: InstructionSet) -> String? {
        if let forced { return forced }
        let suitable = suitableCores(instructionSet)
        if let present, suitable.isEmpty || fits(present, suitable) { return present }
        return suitable.first
    }

    private static func fits(_ core: String, _ suitable: [String]) -> Bool {
        suitable.contains { $0.lowercased() == core.lowercased() }
    }

    private static func environment(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    private init() throws(KernelError) {
        let best = InstructionSet.best
        if let core = Self.core(
            forced: Self.environment("FASTVLM_OPENBLAS_CORETYPE"), present: Self.environment("OPENBLAS_CORETYPE"),
            instructionSet: best)
        {
            setenv("OPENBLAS_CORETYPE", core, 1)
        }
        // Our own pool runs the threads; the library must not start any.
        setenv("OPENBLAS_NUM_THREADS", "1", 1)
        let names = ["libopenblas.so.0", "libopenblas.so"]
        guard let library = names.lazy.compactMap({ dlopen($0, RTLD_NOW | RTLD_LOCAL) }).first else {
            let reason = dlerror().map { String(cString: $0) } ?? "not found"
            throw KernelError(
                .blasUnavailable, "Cannot load OpenBLAS (\(names[0])): \(reason). Install libopenblas0.")
        }
        func symbol<F>(_ name: String, as type: F.Type) throws(KernelError) -> F {
            guard let address = dlsym(library, name) else {
                throw KernelError(
                    .blasUnavailable,
                    "Cannot use OpenBLAS: it has no function '\(name)'. Install Debian's libopenblas0.")
            }
            // Unsafe: `dlsym` gives an address without a type; `type` is the one in the header that the library was built
            // with.
            return unsafeBitCast(address, to: type)
        }
        sgemm = try symbol("cblas_sgemm", as: fastvlm_cblas_sgemm_fn.self)
        let setThreads = try symbol("openblas_set_num_threads", as: fastvlm_openblas_set_num_threads_fn.self)
        let coreName = try symbol("openblas_get_corename", as: fastvlm_openblas_get_corename_fn.self)
        let config = try symbol("openblas_get_config", as: fastvlm_openblas_get_config_fn.self)
        setThreads(1)
        let core = coreName().map { String(cString: $0) } ?? "unknown"
        diagnosis = Diagnosis(
            core: core, build: config().map { String(cString: $0) } ?? "unknown",
            warning: Self.warning(core: core, instructionSet: best))
    }

    /// What to tell the user when the library runs kernels for `core` on a processor with `instructionSet`.
    public static func warning(core: String, instructionSet: InstructionSet) -> String? {
        let suitable = suitableCores(instructionSet)
        guard let first = suitable.first, !fits(core, suitable) else { return nil }
        return "OpenBLAS runs kernels for '\(core)' although this processor has \(instructionSet.rawValue): float32 "
            + "models will be several times slower. Unset FASTVLM_OPENBLAS_CORETYPE, or set it to \(first)."
    }
}
