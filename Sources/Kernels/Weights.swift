internal import CKernels

/// How a stored matrix element is encoded.
public enum WeightElement: Sendable, Equatable {
    case float32
    case float16
    case bfloat16
    /// 8-bit numbers with a scale an output, in panels (`fv_i8_weights`).
    case int8
    /// 4-bit numbers with a scale a group of inputs, in panels (`fv_i4_weights`).
    case int4

    /// Whether products are computed with 8-bit activations.
    public var isQuantized: Bool { self == .int8 || self == .int4 }

    /// Bytes of one element that is a float.
    var byteCount: Int { self == .float32 ? 4 : 2 }

    /// How the kernels call an element that is a float.
    var code: fv_element {
        switch self {
        case .float32: FV_F32
        case .float16: FV_F16
        case .bfloat16: FV_BF16
        case .int8, .int4: preconditionFailure("no float")
        }
    }
}

/// Memory with weights, which is never written: a part of a mapped file, or a copy.
public protocol StoredWeights: Sendable {
    /// The first byte: stable for as long as this value, or a copy of it, lives.
    var baseAddress: UnsafeRawPointer { get }
}

/// A linear layer's weights `[outputs, inputs]` as they lie in a model file: floats row-major, quantized ones in panels.
public struct LinearWeights: Sendable {
    private let values: any StoredWeights
    private let scalesOfGroups: (any StoredWeights)?
    public let element: WeightElement
    public let outputs: Int
    public let inputs: Int
    /// Inputs whose 8-bit activations share a scale, a multiple of 32. The default, nil, is a whole row, which is the
    /// fastest; activations of which a few are far above the rest need less. 4-bit weights always take 32.
    public var activationGroup: Int?
    /// Added to every output, `[outputs]`.
    public var bias: [Float]?
    /// Multiplies every product before the bias is added, `[outputs]`.
    public var scale: [Float]?

    /// Weights that lie in `values`, `outputs * inputs` of them.
    ///
    /// - Parameters:
    ///   - groupScales: The groups' scales, float16, of 4-bit weights only.
    ///   - scale: Required with 8-bit weights.
    public init(
        _ values: any StoredWeights, groupScales: (any StoredWeights)? = nil, element: WeightElement, outputs: Int,
        inputs: Int, bias: [Float]? = nil, scale: [Float]? = nil
    ) {
        precondition(element != .int8 || scale != nil, "8-bit weights without a scale")
        precondition((element == .int4) == (groupScales != nil), "4-bit weights and their groups' scales")
        precondition(bias.map { $0.count == outputs } ?? true, "bias of \(outputs) outputs")
        precondition(scale.map { $0.count == outputs } ?? true, "scale of \(outputs) outputs")
        self.values = values
        scalesOfGroups = groupScales
        self.element = element
        self.outputs = outputs
        self.inputs = inputs
        self.bias = bias
        self.scale = scale
    }

    /// Float32 weights with memory of their own: a copy of `values` `[outputs, inputs]`.
    public init(_ values: [Float], outputs: Int, inputs: Int, bias: [Float]? = nil, scale: [Float]? = nil) {
        precondition(values.count == outputs * inputs, "\(values.count) values for [\(outputs), \(inputs)]")
        self.init(
            AlignedMemory(values), element: .float32, outputs: outputs, inputs: inputs, bias: bias, scale: scale)
    }

    // Unsafe: kernels read weights where they lie, without a copy; this value holds what they lie in.
    var base: UnsafeRawPointer { values.baseAddress }
    /// Of 4-bit weights.
    var groupScales: UnsafeRawPointer? { scalesOfGroups?.baseAddress }

    /// Whether many small products can be made with them without expanding them each time.
    var fitsTiles: Bool { element == .float32 || element.isQuantized }

    /// Whether they are 8-bit weights for activations with one scale a row.
    var scalesWholeRows: Bool { element == .int8 && activationGroup == nil }

    /// As the 8-bit kernels take them.
    var int8: fv_i8_weights {
        fv_i8_weights(panels: base.assumingMemoryBound(to: Int8.self), outputs: Int32(outputs), inputs: Int32(inputs))
    }

    /// As the 4-bit kernels take them.
    var int4: fv_i4_weights {
        fv_i4_weights(
            nibbles: base.assumingMemoryBound(to: UInt8.self),
            scales: groupScales?.assumingMemoryBound(to: UInt16.self),
            outputs: Int32(outputs), inputs: Int32(inputs))
    }

    /// The same layer with its weights as float32, in memory of their own, if they are narrower floats.
    ///
    /// For layers that run over and over on many small tiles, where expanding a panel each time would
    /// cost more than the memory.
    public func expanded() -> LinearWeights {
        guard element != .float32, !element.isQuantized else { return self }
        let count = outputs * inputs
        let memory = AlignedMemory(byteCount: count * MemoryLayout<Float>.stride) { target in
            let floats = target.bindMemory(to: Float.self).baseAddress
            fv_f32_kernels_for(InstructionSet.best.isa).pointee.expand(base, element.code, floats, count)
        }
        return LinearWeights(
            memory, element: .float32, outputs: outputs, inputs: inputs, bias: bias, scale: scale)
    }
}

/// A depthwise convolution's weights, padded by `kernel / 2`.
public struct DepthwiseWeights: Sendable {
    /// Side of the window, in pixels: 3 or 7.
    public let kernel: Int
    /// 1 or 2; the output has `ceil(n / stride)` rows and columns.
    public let stride: Int
    /// Outputs of each input channel, 1 or 2.
    public let multiplier: Int
    /// Input channels.
    public let channels: Int
    let values: [Float]
    let bias: [Float]

    /// - Parameters:
    ///   - values: `[multiplier, kernel * kernel, channels]`.
    ///   - bias: `[channels * multiplier]`.
    public init(kernel: Int, stride: Int, multiplier: Int, channels: Int, values: [Float], bias: [Float]) {
        precondition(values.count == multiplier * kernel * kernel * channels, "depthwise weights")
        precondition(bias.count == channels * multiplier, "depthwise bias")
        self.kernel = kernel
        self.stride = stride
        self.multiplier = multiplier
        self.channels = channels
        self.values = values
        self.bias = bias
    }

    /// Rows or columns of the output for `n` of the input.
    public func outputSize(_ n: Int) -> Int { (n + stride - 1) / stride }
}
