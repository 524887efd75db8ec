public import Kernels

/// Prepared tensors as the weights that ``Kernels`` computes with.
extension PreparedModel {
    /// The linear layer `name`: `name.weight` `[outputs, inputs]` as stored (quantized with its scales), with `name.bias` and `name.scale`
    /// `[outputs]` where they exist.
    public func linear(_ name: String, outputs: Int, inputs: Int) throws(ModelFileError) -> LinearWeights {
        let weight = try tensor("\(name).weight")
        guard let storage = MatrixStorage(weight.element) else {
            throw weight.unusable(
                .tensorElementMismatch, "element \(weight.element.rawValue), expected F32, F16, BF16, I8 or U8")
        }
        try weight.expect(shape: storage.shape(outputs: outputs, inputs: inputs))
        let element: WeightElement
        var groupScales: TensorView?
        switch storage {
        case .float(.f32): element = .float32
        case .float(.f16): element = .float16
        case .float: element = .bfloat16
        case .int8: element = .int8
        case .int4:
            element = .int4
            let scales = try tensor("\(name).group_scale")
            try scales.expect(shape: WeightPacking.int4ScaleShape(outputs: outputs, inputs: inputs))
            groupScales = scales
        }
        return LinearWeights(
            weight, groupScales: groupScales, element: element, outputs: outputs, inputs: inputs,
            bias: try optionalVector("\(name).bias", count: outputs),
            scale: try optionalVector("\(name).scale", count: outputs))
    }

    /// The depthwise convolution `name`: `name.weight` `[kernel * kernel, channels]`, or `[multiplier, kernel *
    /// kernel, channels]`, and `name.bias` `[channels * multiplier]`.
    public func depthwise(
        _ name: String, kernel: Int, stride: Int = 1, multiplier: Int = 1, channels: Int
    ) throws(ModelFileError) -> DepthwiseWeights {
        let weight = try tensor("\(name).weight")
        try weight.expect(shape: (multiplier == 1 ? [] : [multiplier]) + [kernel * kernel, channels])
        return DepthwiseWeights(
            kernel: kernel, stride: stride, multiplier: multiplier, channels: channels, values: try weight.floats(),
            bias: try vector("\(name).bias", count: channels * multiplier))
    }

    /// The vector `name` of `count` values.
    public func vector(_ name: String, count: Int) throws(ModelFileError) -> [Float] {
        let tensor = try tensor(name)
        try tensor.expect(shape: [count])
        return try tensor.floats()
    }

    /// The matrix `name` `[rows, columns]`, transposed: `[columns, rows]`.
    public func transposed(_ name: String, rows: Int, columns: Int) throws(ModelFileError) -> [Float] {
        let tensor = try tensor(name)
        try tensor.expect(shape: [rows, columns])
        let values = try tensor.floats()
        return (0..<columns).flatMap { column in (0..<rows).map { values[$0 * columns + column] } }
    }

    private func optionalVector(_ name: String, count: Int) throws(ModelFileError) -> [Float]? {
        guard optionalTensor(name) != nil else { return nil }
        return try vector(name, count: count)
    }
}

extension TensorView: StoredWeights {
    /// Throws unless the tensor has `shape`.
    func expect(shape expected: [Int]) throws(ModelFileError) {
        guard shape == expected else { throw unusable(.tensorShapeMismatch, "shape \(shape), expected \(expected)") }
    }

    func unusable(_ code: ModelFileError.Code, _ what: String) -> ModelFileError {
        ModelFileError(code, "Cannot use tensor '\(name)': \(what). Run 'fastvlm model verify', or pack it again.")
    }
}
