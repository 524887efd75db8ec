import Kernels
import Testing

@Suite struct BLASTests {
    @Test func runsTheCoreThatTheProcessorDeserves() throws {
        let diagnosis = try BLAS.shared().diagnosis
        #expect(!diagnosis.core.isEmpty)
        #expect(diagnosis.warning == nil)
    }

    @Test func aCoreForASmallerProcessorIsReplaced() {
        #expect(BLAS.core(forced: nil, present: "Haswell", instructionSet: .avx512) == "SkylakeX")
        #expect(BLAS.core(forced: nil, present: "Prescott", instructionSet: .avx2) == "Haswell")
        #expect(BLAS.core(forced: nil, present: nil, instructionSet: .avx512) == "SkylakeX")
    }

    @Test func aCoreThatFitsOrIsForcedStays() {
        #expect(BLAS.core(forced: nil, present: "cooperlake", instructionSet: .avx512) == "cooperlake")
        #expect(BLAS.core(forced: "Haswell", present: nil, instructionSet: .avx512) == "Haswell")
        #expect(BLAS.core(forced: nil, present: "NEOVERSEN1", instructionSet: .neon) == "NEOVERSEN1")
        #expect(BLAS.core(forced: nil, present: nil, instructionSet: .scalar) == nil)
    }

    @Test func aPoorFitIsReported() throws {
        let warning = try #require(BLAS.warning(core: "Prescott", instructionSet: .avx512))
        #expect(warning.contains("Prescott") && warning.contains("SkylakeX"))
        #expect(BLAS.warning(core: "SKYLAKEX", instructionSet: .avx512) == nil)
        #expect(BLAS.warning(core: "anything", instructionSet: .scalar) == nil)
    }
}
