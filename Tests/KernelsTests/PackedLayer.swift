import Kernels

/// Random weights, kept as 8 or 4 bits.
struct PackedLayer {
    let floats: [Float]
    var weights: LinearWeights

    /// - Parameter outputs: A multiple of 16.
    init(_ element: WeightElement, outputs: Int, inputs: Int, numbers: inout Numbers) {
        let values = numbers.floats(outputs * inputs)
        floats = values
        let panels = stride(from: 0, to: values.count, by: 16 * inputs).map { values[$0..<$0 + 16 * inputs] }
        func memory(_ bytes: [UInt8]) -> AlignedMemory {
            AlignedMemory(byteCount: bytes.count) { $0.copyBytes(from: bytes) }
        }
        if element == .int8 {
            let packed = panels.map { WeightPacking.int8Panel($0, inputs: inputs) }
            weights = LinearWeights(
                memory(packed.flatMap { $0.values.map { UInt8(bitPattern: $0) } }), element: .int8, outputs: outputs,
                inputs: inputs, scale: packed.flatMap(\.scales))
        } else {
            let packed = panels.map { WeightPacking.int4Panel($0, inputs: inputs) }
            let scales = packed.flatMap { $0.scales.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] } }
            weights = LinearWeights(
                memory(packed.flatMap(\.nibbles)), groupScales: memory(scales), element: .int4, outputs: outputs,
                inputs: inputs)
        }
    }
}
