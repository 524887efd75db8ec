import Kernels
import Testing

/// The step between two stages of the encoder.
@Suite struct DownsampleTests {
    /// Weights that are stored as bfloat16, in memory of their own.
    private func bfloat16(_ values: [Float], outputs: Int, inputs: Int) -> LinearWeights {
        let bytes = values.flatMap { value in [UInt8((value.bitPattern >> 16) & 255), UInt8(value.bitPattern >> 24)] }
        let memory = AlignedMemory(byteCount: bytes.count) { $0.copyBytes(from: bytes) }
        return LinearWeights(
            memory, element: .bfloat16, outputs: outputs, inputs: inputs,
            bias: (0..<outputs).map { Float($0) / Float(outputs) })
    }

    /// Maps of many pixels and of few, and so many channels that the outputs are shared out in several panels.
    @Test(arguments: [(side: 32, channels: 16), (4, 16), (16, 320), (2, 320)], [1, 2, 3])
    func weightsAsTheyAreStoredGiveWhatExpandedOnesGive(
        shape: (side: Int, channels: Int), threads: Int
    ) throws {
        var numbers = Numbers(seed: 7)
        let (side, channels) = shape
        let wide = 2 * channels
        let stored = bfloat16(
            numbers.floats(wide * wide, scale: 1 / Float(wide).squareRoot()), outputs: wide, inputs: wide)
        let depthwise = DepthwiseWeights(
            kernel: 7, stride: 2, multiplier: 2, channels: channels, values: numbers.floats(2 * 49 * channels),
            bias: numbers.floats(wide))
        let input = FeatureMap(height: 2 * side, width: 2 * side, channels: channels)
        input.pixels.set(numbers.floats(4 * side * side * channels))
        let hidden = FloatStorage(count: side * side * wide)
        for set in InstructionSet.allCases.filter(\.isSupported) {
            let compute = try Compute(pool: try ThreadPool(threads: threads), instructionSet: set)
            func output(_ weights: LinearWeights) -> [Float] {
                let output = FeatureMap(height: side, width: side, channels: wide)
                compute.downsample(input, depthwise: depthwise, pointwise: weights, into: output, hidden: hidden)
                return output.pixels.values()
            }
            let expected = output(stored.expanded())
            #expect(expected.contains { abs($0) > 1 })
            #expect(difference(output(stored), expected) < 1e-5, "\(set)")
        }
    }
}
