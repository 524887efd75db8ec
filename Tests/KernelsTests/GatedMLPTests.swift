import Kernels
import Testing

/// The decoder's MLP, fused, against its layers one after the other.
@Suite struct GatedMLPTests {
    enum Kind: CaseIterable {
        case eightBits, eightBitsWithOneScale, fourBits, floats
    }

    @Test(arguments: Kind.allCases)
    func fusedIsExactlyOneAfterTheOther(kind: Kind) throws {
        let (inputs, wide) = (160, 384)
        var numbers = Numbers(seed: 51)
        func layer(_ outputs: Int, _ inputs: Int) -> LinearWeights {
            if kind == .floats {
                return LinearWeights(numbers.floats(outputs * inputs), outputs: outputs, inputs: inputs)
            }
            let element = kind == .fourBits ? WeightElement.int4 : .int8
            var weights = PackedLayer(element, outputs: outputs, inputs: inputs, numbers: &numbers).weights
            if kind == .eightBits && inputs == wide { weights.activationGroup = 128 }
            return weights
        }
        let (gate, up, down) = (layer(wide, inputs), layer(wide, inputs), layer(inputs, wide))
        let weight = numbers.floats(inputs)
        for set in InstructionSet.allCases.filter(\.isSupported) {
            let compute = try Compute(pool: try ThreadPool(threads: 2), instructionSet: set)
            for rows in [1, 64, 65, 130, 257] {
                let x = Matrix(rows: rows, columns: inputs)
                x.set(numbers.floats(rows * inputs, scale: 2))
                let hidden = [Matrix(rows: rows, columns: wide), Matrix(rows: rows, columns: wide)]
                let (gateTask, upTask) = (LinearTask(gate, into: hidden[0]), LinearTask(up, into: hidden[1]))
                func run(_ body: (_ normed: Matrix, _ down: LinearTask) -> Void) -> (normed: [Float], out: [Float]) {
                    let (normed, out) = (Matrix(rows: rows, columns: inputs), Matrix(rows: rows, columns: inputs))
                    body(normed, LinearTask(down, into: out, ending: LinearEnding(residual: x)))
                    return (normed.values(), out.values())
                }
                let fused = run {
                    compute.gatedMLP(
                        rmsNorm: x, weight: weight, epsilon: 1e-6, through: $0, gate: gateTask, up: upTask, $1)
                }
                let apart = run {
                    compute.linear(rmsNorm: x, weight: weight, epsilon: 1e-6, through: $0, [gateTask, upTask])
                    compute.linear(gated: hidden[0], hidden[1], $1)
                }
                #expect(fused.normed == apart.normed && fused.out == apart.out, "\(set), \(rows) rows")
                #expect(fused.out != x.values(), "\(set), \(rows) rows: nothing was added")
            }
        }
    }
}
