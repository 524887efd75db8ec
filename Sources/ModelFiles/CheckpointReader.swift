/// Makes prepared tensors from the tensors of a public checkpoint: reorders, folds, and checks every shape.
struct CheckpointReader {
    let files: CheckpointFiles
    let layout: CheckpointLayout
    let vision: ModelConfiguration.Vision

    /// Names of the stored tensors that were used.
    private(set) var used: Set<String> = []

    /// BatchNorm's epsilon in FastViTHD (timm and Apple's `mci.py` use PyTorch's default).
    static let batchNormEpsilon = 1e-5

    init(files: CheckpointFiles, layout: CheckpointLayout, vision: ModelConfiguration.Vision) {
        self.files = files
        self.layout = layout
        self.vision = vision
    }

    /// The prepared tensor: a view into the file for a matrix, computed in memory for everything else.
    ///
    /// - Throws: `tensorMissing`, `tensorShapeMismatch`, `tensorElementMismatch`, `tensorValueInvalid`.
    mutating func tensor(_ prepared: PreparedTensor) throws(ModelFileError) -> TensorView {
        let stored = layout.storedName(of: prepared.part, in: vision)
        let shape = prepared.shape
        let name = stored + "." + prepared.suffix.rawValue
        switch prepared.kind {
        case .matrix:
            return try view(name, shape, allowingTrailingOnes: true).aligned().renamed(prepared.name, shape: shape)
        case .vector:
            return TensorView(name: prepared.name, shape: shape, floats: try floats(name, shape))
        case .layerScale:
            return TensorView(name: prepared.name, shape: shape, floats: try scale(prepared.part, shape))
        case .scaledBias:
            var bias = try floats(name, shape)
            let scale = try scale(prepared.part, shape)
            for channel in bias.indices { bias[channel] *= scale[channel] }
            return TensorView(name: prepared.name, shape: shape, floats: bias)
        case .convolution(let kernel, let inputs):
            let weight = try floats(name, [shape[0], inputs, kernel, kernel])
            let ordered = Self.channelsLast(weight, outputs: shape[0], inputs: inputs, taps: kernel * kernel)
            return TensorView(name: prepared.name, shape: shape, floats: ordered)
        case .depthwise(let kernel, let outputs):
            let channels = shape[shape.count - 1]
            let weight = try floats(name, [channels * outputs, 1, kernel, kernel])
            let ordered = Self.tapMajor(weight, channels: channels, outputs: outputs, taps: kernel * kernel)
            return TensorView(name: prepared.name, shape: shape, floats: ordered)
        case .normalizedDepthwise(let kernel):
            let channels = shape[1]
            var weight = try floats(stored + ".conv.weight", [channels, 1, kernel, kernel])
            let gain = try batchNorm(stored + ".bn", channels: channels).gain
            let taps = kernel * kernel
            for channel in 0..<channels {
                for tap in 0..<taps {
                    let place = channel * taps + tap
                    weight[place] = Float(Double(weight[place]) * gain[channel])
                }
            }
            let ordered = Self.tapMajor(weight, channels: channels, outputs: 1, taps: taps)
            return TensorView(name: prepared.name, shape: shape, floats: ordered)
        case .normalizedBias:
            let bias = try batchNorm(stored + ".bn", channels: shape[0]).bias
            return TensorView(name: prepared.name, shape: shape, floats: bias.map { Float($0) })
        }
    }

    // MARK: - Orders

    /// [outputs, inputs, taps] -> [outputs, taps, inputs].
    static func channelsLast(_ weight: [Float], outputs: Int, inputs: Int, taps: Int) -> [Float] {
        var ordered = [Float](repeating: 0, count: weight.count)
        for output in 0..<outputs {
            for input in 0..<inputs {
                for tap in 0..<taps {
                    ordered[(output * taps + tap) * inputs + input] = weight[(output * inputs + input) * taps + tap]
                }
            }
        }
        return ordered
    }

    /// [channels * outputs, taps] -> [outputs, taps, channels]; output channel c * outputs + j reads input channel c.
    static func tapMajor(_ weight: [Float], channels: Int, outputs: Int, taps: Int) -> [Float] {
        var ordered = [Float](repeating: 0, count: weight.count)
        for channel in 0..<channels {
            for output in 0..<outputs {
                for tap in 0..<taps {
                    ordered[(output * taps + tap) * channels + channel] =
                        weight[(channel * outputs + output) * taps + tap]
                }
            }
        }
        return ordered
    }

    // MARK: - Reading

    /// BatchNorm at inference as y = gain * x + bias, in double precision.
    private mutating func batchNorm(
        _ name: String, channels: Int
    ) throws(ModelFileError) -> (gain: [Double], bias: [Double]) {
        let weight = try floats(name + ".weight", [channels])
        let bias = try floats(name + ".bias", [channels])
        let mean = try floats(name + ".running_mean", [channels])
        let variance = try floats(name + ".running_var", [channels])
        // Counts training steps; of no use, but no surprise either.
        used.insert(name + ".num_batches_tracked")
        var gains: [Double] = []
        var biases: [Double] = []
        for channel in 0..<channels {
            let spread = Double(variance[channel]) + Self.batchNormEpsilon
            guard spread > 0, spread.isFinite else {
                throw ModelFileError(
                    .tensorValueInvalid,
                    "Cannot load tensor '\(name).running_var' from '\(files.path(of: name + ".running_var"))': value "
                        + "\(variance[channel]) of channel \(channel), expected a variance.")
            }
            let gain = Double(weight[channel]) / spread.squareRoot()
            gains.append(gain)
            biases.append(Double(bias[channel]) - Double(mean[channel]) * gain)
        }
        return (gains, biases)
    }

    /// The layer scale of a block's part, stored as [C, 1, 1].
    private mutating func scale(_ part: ModelPart, _ shape: [Int]) throws(ModelFileError) -> [Float] {
        guard case .block(let stage, let index, let part) = part else {
            preconditionFailure("only blocks have layer scales")
        }
        return try floats(
            layout.storedScaleName(stage: stage, index: index, part, in: vision), shape, allowingTrailingOnes: true)
    }

    private mutating func floats(
        _ name: String, _ shape: [Int], allowingTrailingOnes: Bool = false
    ) throws(ModelFileError) -> [Float] {
        try view(name, shape, allowingTrailingOnes: allowingTrailingOnes).floats()
    }

    /// The stored tensor, which must have `shape` and be of floats; optionally dimensions of 1 may follow
    /// (a pointwise convolution is stored as [outputs, inputs, 1, 1]).
    private mutating func view(
        _ name: String, _ shape: [Int], allowingTrailingOnes: Bool = false
    ) throws(ModelFileError) -> TensorView {
        let view = try files.tensor(name)
        let matches =
            view.shape == shape
            || (allowingTrailingOnes && view.shape.starts(with: shape)
                && view.shape.dropFirst(shape.count).allSatisfy { $0 == 1 })
        guard matches else {
            throw ModelFileError(
                .tensorShapeMismatch,
                "Cannot load tensor '\(name)' from '\(files.path(of: name))': shape \(view.shape), expected \(shape).")
        }
        guard view.element.isFloat else {
            throw ModelFileError(
                .tensorElementMismatch,
                "Cannot load tensor '\(name)' from '\(files.path(of: name))': element \(view.element.rawValue), "
                    + "expected F32, F16 or BF16.")
        }
        used.insert(name)
        return view
    }
}
