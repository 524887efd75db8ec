import Kernels
import Testing

/// Several layers on the same input.
@Suite struct LinearTaskTests {
    private static let inputs = 256

    /// A decoder of 4 bits keeps its sensitive layers in 8: they take the input as the 4-bit ones do.
    @Test func layersOfEightAndOfFourBitsShareTheirInput() throws {
        var numbers = Numbers(seed: 26)
        let four = PackedLayer(.int4, outputs: 32, inputs: Self.inputs, numbers: &numbers)
        let eight = PackedLayer(.int8, outputs: 32, inputs: Self.inputs, numbers: &numbers)
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
