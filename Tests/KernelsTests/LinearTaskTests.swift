import Kernels
import Testing

/// Several layers on the same input.
@Suite struct LinearTaskTests {
    private static let inputs = 256

    /// 32 outputs of random weights, kept as 8 or 4 bits.
    private struct Layer {
        let floats: [Float]
        let weights: LinearWeights

        init(_ element: WeightElement, numbers: inout Numbers) {
            let values = numbers.floats(32 * LinearTaskTests.inputs)
            let panels = [values.prefix(values.count / 2), values.suffix(values.count / 2)]
            floats = values
            func memory(_ bytes: [UInt8]) -> AlignedMemory {
                AlignedMemory(byteCount: bytes.count) { $0.copyBytes(from: bytes) }
            }
            if element == .int8 {
                let packed = panels.map { WeightPacking.int8Panel($0, inputs: LinearTaskTests.inputs) }
                weights = LinearWeights(
                    memory(packed.flatMap { $0.values.map { UInt8(bitPattern: $0) } }), element: .int8, outputs: 32,
                    inputs: LinearTaskTests.inputs, scale: packed.flatMap(\.scales))
            } else {
                let packed = panels.map { WeightPacking.int4Panel($0, inputs: LinearTaskTests.inputs) }
                let scales = packed.flatMap { $0.scales.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] } }
                weights = LinearWeights(
                    memory(packed.flatMap(\.nibbles)), groupScales: memory(scales), element: .int4, outputs: 32,
                    inputs: LinearTaskTests.inputs)
            }
        }
    }

    /// A decoder of 4 bits keeps its sensitive layers in 8: they take the input as the 4-bit ones do.
    @Test func layersOfEightAndOfFourBitsShareTheirInput() throws {
        var numbers = Numbers(seed: 26)
        let four = Layer(.int4, numbers: &numbers)
        let eight = Layer(.int8, numbers: &numbers)
        var coarse = eight.weights
        coarse.activationGroup = 128
        let x = Matrix(rows: 3, columns: Self.inputs)
        var values = numbers.floats(3 * Self.inputs)
        // Far above the rest of its row: what shares a scale with it is lost.
        values[5] = 1000
        x.set(values)
        for set in InstructionSet.allCases.filter(\.isSupported) {
            let compute = try Compute(pool: try ThreadPool(threads: 2), instructionSet: set)
            func products(_ layers: [LinearWeights]) -> [[Float]] {
                let outs = layers.map { Matrix(rows: 3, columns: $0.outputs) }
                compute.linear(x, zip(layers, outs).map { LinearTask($0, into: $1) })
                return outs.map { $0.values() }
            }
            let alone = [products([four.weights])[0], products([coarse])[0]]
            let together = products([four.weights, coarse]), reversed = products([coarse, four.weights])
            #expect(together[0] == alone[0] && reversed == [together[1], together[0]], "\(set)")
            // The exact product of the row with the value far above: 32 inputs share its scale now, 128 alone.
            let exact = (0..<32).map { output in
                (0..<Self.inputs).reduce(0) {
                    $0 + Double(values[$1]) * Double(eight.floats[output * Self.inputs + $1])
                }
            }
            func error(_ out: [Float]) -> Double {
                zip(out, exact).reduce(0) { $0 + (Double($1.0) - $1.1) * (Double($1.0) - $1.1) }
            }
            #expect(error(together[1]) < error(alone[1]), "\(set)")
        }
    }
}
