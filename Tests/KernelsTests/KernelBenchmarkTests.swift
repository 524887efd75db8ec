import CKernels
import Kernels
import Testing

@Suite struct KernelBenchmarkTests {
    @Test func vectorInstructionsHaveAPeakAndPortableCodeHasNone() throws {
        let pool = try ThreadPool(threads: 1)
        for set in InstructionSet.allCases.filter(\.isSupported) {
            // Several, of which the best count: another program takes its share of a single one.
            let tries = (0..<(set == .scalar ? 1 : 5)).map { _ in KernelBenchmark(pool: pool, instructionSet: set) }
            if set == .scalar {
                #expect(tries[0].int8Peak == nil && tries[0].floatPeak == nil)
                continue
            }
            let int8 = try #require(tries.compactMap(\.int8Peak).max())
            let float = try #require(tries.compactMap(\.floatPeak).max())
            // Any processor with these instructions does billions a second, and more of the narrower numbers where one
            // instruction multiplies and adds them. AVX2 takes two, which Zen 1 does a little slower than floats.
            #expect(float > 1, "\(set)")
            #expect(int8 > (set == .avx2 ? 0.8 : 1) * float, "\(set)")
        }
    }

    @Test func operationsOfAPeakGrowWithItsRounds() {
        for isa in vectorSets {
            let one = fv_peak_i8(isa, 1)
            #expect(one > 0)
            #expect(fv_peak_i8(isa, 1000) == 1000 * one)
            #expect(fv_peak_f32(isa, 1000) == 1000 * fv_peak_f32(isa, 1))
            #expect(fv_peak_i8(isa, 0) == 0 && fv_peak_f32(isa, -1) == 0)
        }
        for isa in (0..<UInt32(FV_ISA_COUNT)).map({ fv_isa(rawValue: $0) }) where !fv_isa_supported(isa) {
            #expect(fv_peak_i8(isa, 1) == 0 && fv_peak_f32(isa, 1) == 0)
        }
    }

    @Test(arguments: [0, 1, 7, 63, 64, 255, 256, 257, 511, 512, 1000])
    func everyByteIsRead(_ count: Int) {
        // An unaligned start, and canaries on both sides that must not count.
        var bytes = [UInt8](repeating: 0, count: count + 600)
        for i in bytes.indices { bytes[i] = i < 3 || i >= 3 + count ? 0xff : 0 }
        func sum() -> UInt64 { bytes.withUnsafeBytes { fv_read_memory($0.baseAddress! + 3, count) } }
        #expect(sum() == 0)
        for i in 0..<count {
            bytes[3 + i] = 1
            #expect(sum() != 0, "byte \(i) of \(count)")
            bytes[3 + i] = 0
        }
    }

    @Test func weightsOfEveryEncodingAreCountedAndRead() throws {
        let most = KernelBenchmark(pool: try ThreadPool(threads: 2))
        let floats = LinearWeights([Float](repeating: 1, count: 32 * 64), outputs: 32, inputs: 64)
        #expect(KernelBenchmark.byteCount(of: [floats, floats]) == 2 * 32 * 64 * 4)
        let memory = AlignedMemory(byteCount: 32 * 64) { $0.initializeMemory(as: UInt8.self, repeating: 0) }
        let int8 = LinearWeights(
            memory, element: .int8, outputs: 32, inputs: 64, scale: [Float](repeating: 1, count: 32))
        let int4 = LinearWeights(memory, groupScales: memory, element: .int4, outputs: 32, inputs: 64)
        #expect(KernelBenchmark.byteCount(of: [int8]) == 32 * 64)
        #expect(KernelBenchmark.byteCount(of: [int4]) == 32 * 64 / 2 + 32 * 2 * 2)
        #expect(most.readingTime(of: [int8, int4, floats], runs: 1) > 0)
        #expect(most.readingTime(of: [], runs: 1) >= 0)
    }
}
