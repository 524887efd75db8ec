import Kernels
import Testing

@Suite struct InstructionSetTests {
    @Test func nothingForcedIsTheFastest() throws {
        let fastest = try #require(InstructionSet.allCases.last { $0.isSupported })
        #expect(try InstructionSet.chosen(forced: nil) == fastest)
        #expect(try InstructionSet.chosen(forced: "") == fastest)
    }

    @Test(arguments: InstructionSet.allCases.filter(\.isSupported))
    func aSupportedSetIsTakenByItsName(_ set: InstructionSet) throws {
        #expect(try InstructionSet.chosen(forced: set.rawValue) == set)
    }

    @Test func aMisspeltSetIsRefusedWithTheNamesThatThereAre() throws {
        let error = try #require(throws: KernelError.self) { try InstructionSet.chosen(forced: "AVX-512") }
        #expect(error.code == .unsupportedInstructionSet)
        #expect(
            error.message.hasPrefix(
                "Cannot compute with FASTVLM_ISA='AVX-512': there is no such instruction set. It runs scalar"))
    }

    @Test(arguments: InstructionSet.allCases.filter { !$0.isSupported })
    func aSetOfAnotherProcessorIsRefused(_ set: InstructionSet) throws {
        let error = try #require(throws: KernelError.self) { try InstructionSet.chosen(forced: set.rawValue) }
        #expect(error.code == .unsupportedInstructionSet)
        #expect(error.message.contains("FASTVLM_ISA='\(set.rawValue)': this processor lacks it."))
    }
}
