internal import CKernels

/// How quantized weights lie in a model file: in panels that serve every instruction set (`quant_kernels.h`).
public enum WeightPacking {
    /// Outputs that lie together.
    public static let panel = Int(FV_PANEL)
    /// Inputs that share a scale in 4-bit weights; rows of all quantized weights are padded to a multiple.
    public static let group = Int(FV_GROUP)
    /// The most inputs of a layer whose sums are certain to fit 32 bits.
    public static let maximumInputs = Int(FV_QUANT_MAX_INPUTS)

    /// The shape of the 8-bit values of weights `[outputs, inputs]`.
    public static func int8Shape(outputs: Int, inputs: Int) -> [Int] {
        [panels(outputs), padded(inputs) / 4, panel, 4]
    }

    /// The shape of the bytes of 4-bit weights `[outputs, inputs]`, two values a byte.
    public static func int4Shape(outputs: Int, inputs: Int) -> [Int] {
        [panels(outputs), padded(inputs) / group, 4, panel, 4]
    }

    /// The shape of the groups' scales of 4-bit weights, float16.
    public static func int4ScaleShape(outputs: Int, inputs: Int) -> [Int] {
        [panels(outputs), padded(inputs) / group, panel]
    }

    private static func panels(_ outputs: Int) -> Int { (outputs + panel - 1) / panel }
    private static func padded(_ inputs: Int) -> Int { (inputs + group - 1) / group * group }

    /// Quantizes the rows of `weights`, at most one panel of them, each `inputs` long.
    ///
    /// - Returns: The panel's values, and the scale of each row.
    public static func int8Panel(_ weights: ArraySlice<Float>, inputs: Int) -> (values: [Int8], scales: [Float]) {
        let rows = weights.count / max(inputs, 1)
        precondition(rows <= panel && rows * inputs == weights.count, "at most one panel of whole rows")
        var values = [Int8](repeating: 0, count: padded(inputs) * panel)
        var scales = [Float](repeating: 0, count: rows)
        // Unsafe: C reads the rows during the call only; their number was checked.
        weights.withUnsafeBufferPointer {
            fv_i8_pack($0.baseAddress, inputs, Int32(rows), Int32(inputs), 0, 1, &values, &scales)
        }
        return (values, scales)
    }

    /// Quantizes the rows of `weights`, at most one panel of them, each `inputs` long.
    ///
    /// - Returns: The panel's bytes, and the scales of its groups as float16.
    public static func int4Panel(_ weights: ArraySlice<Float>, inputs: Int) -> (nibbles: [UInt8], scales: [UInt16]) {
        let rows = weights.count / max(inputs, 1)
        precondition(rows <= panel && rows * inputs == weights.count, "at most one panel of whole rows")
        var nibbles = [UInt8](repeating: 0, count: padded(inputs) * panel / 2)
        var scales = [UInt16](repeating: 0, count: padded(inputs) / group * panel)
        weights.withUnsafeBufferPointer {
            fv_i4_pack($0.baseAddress, inputs, Int32(rows), Int32(inputs), 0, 1, &nibbles, &scales)
        }
        return (nibbles, scales)
    }
}
