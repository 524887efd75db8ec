import Kernels

/// Runs ``FastViTHD`` on pictures of one size, in memory that it plans once.
final class FastViTHDEncoder {
    /// The size of the picture, in pixels.
    let height: Int
    let width: Int
    private let model: FastViTHD
    private let maps: (FloatStorage, FloatStorage)
    private let hidden: FloatStorage
    private let qkv: FloatStorage
    /// Multiply-accumulates of the stem, of each block with what stands before it, and of the end.
    private let work: [Double]

    init(_ model: FastViTHD, height: Int, width: Int) {
        self.model = model
        self.height = height
        self.width = width
        var largest = 0
        var largestHidden = 0
        var largestQKV = 0
        var size = (height: Self.halved(height), width: Self.halved(width))
        for (index, stage) in model.stages.enumerated() {
            size = (Self.halved(size.height), Self.halved(size.width))
            let values = size.height * size.width * stage.width
            let isLast = index == model.stages.count - 1
            largest = max(largest, isLast ? max(values, size.height * size.width * model.outputWidth) : values)
            // Wide maps exist whole only where there are fewer pixels than the tiles of `convFFN` pay for;
            // untouched memory of the others is never backed.
            let wide = stage.blocks.map { $0.ffn.expand.outputs }.max() ?? 0
            largestHidden = max(largestHidden, size.height * size.width * (stage.width + wide))
            if stage.blocks.contains(where: { if case .attention = $0.mixer { true } else { false } }) {
                largestQKV = max(largestQKV, values * 4)
            }
        }
        maps = (FloatStorage(count: largest), FloatStorage(count: largest))
        hidden = FloatStorage(count: largestHidden)
        qkv = FloatStorage(count: largestQKV)
        work = Self.work(model, height: height, width: width)
    }

    /// What each part costs, in the order of the checkpoints.
    private static func work(_ model: FastViTHD, height: Int, width: Int) -> [Double] {
        var size = (height: halved(halved(height)), width: halved(halved(width)))
        var pixels: Double { Double(size.height) * Double(size.width) }
        let first = Double(model.stages[0].width)
        var work = [pixels * first * (4 * 27 + 9 + first)]
        for stage in model.stages {
            let channels = Double(stage.width)
            var before = 0.0
            if stage.downsample != nil {
                size = (halved(size.height), halved(size.width))
                before += pixels * channels * (49 + channels)
            }
            if stage.position != nil { before += pixels * channels * 49 }
            for block in stage.blocks {
                let wide = Double(block.ffn.expand.outputs)
                let mixer: Double
                switch block.mixer {
                case .convolution: mixer = 9
                case .attention: mixer = 4 * channels + 2 * pixels
                }
                work.append(before + pixels * channels * (mixer + 49 + 2 * wide))
                before = 0
            }
        }
        work.append(pixels * Double(model.outputWidth) * 9)
        return work
    }

    /// Stride 2 with padding gives `ceil(n / 2)`.
    private static func halved(_ n: Int) -> Int { (n + 1) / 2 }

    /// The output map `[ceil(height/64), ceil(width/64), channels]` of `picture` `[height, width, 3]`, valid
    /// until the next call.
    ///
    /// - Parameters:
    ///   - checkpoint: Called before each block with the share of the whole work that is done, 0...1; what it throws
    ///     ends the run.
    ///   - observe: Called with the name and map of each part, for traces.
    ///   - observeExpansion: Called with the input of each ConvFFN's expansion, for calibration.
    func run(
        _ picture: FeatureMap, compute: Compute, checkpoint: (_ done: Double) throws(FastVLMError) -> Void,
        observe: ((String, FeatureMap) -> Void)?,
        observeExpansion: ((_ stage: Int, _ block: Int, FeatureMap) -> Void)? = nil
    ) throws(FastVLMError) -> FeatureMap {
        precondition(picture.height == height && picture.width == width && picture.channels == 3)
        var (current, spare) = maps
        var size = (height: Self.halved(Self.halved(height)), width: Self.halved(Self.halved(width)))
        func map(_ storage: FloatStorage, _ channels: Int) -> FeatureMap {
            FeatureMap(storage, height: size.height, width: size.width, channels: channels)
        }
        var x = map(current, model.stages[0].width)
        let total = work.reduce(0, +)
        var done = 0.0
        var part = 0
        func advance() throws(FastVLMError) {
            try checkpoint(done / total)
            if part < work.count { done += work[part] }
            part += 1
        }
        try advance()
        compute.stem(
            picture, first: model.stem.first, firstBias: model.stem.firstBias, depthwise: model.stem.depthwise,
            pointwise: model.stem.pointwise, into: x)
        observe?("stem", x)
        for (index, stage) in model.stages.enumerated() {
            if let downsample = stage.downsample {
                size = (Self.halved(size.height), Self.halved(size.width))
                let smaller = map(spare, stage.width)
                compute.downsample(
                    x, depthwise: downsample.depthwise, pointwise: downsample.pointwise, into: smaller, hidden: hidden)
                swap(&current, &spare)
                x = smaller
            }
            if let position = stage.position {
                let placed = map(spare, stage.width)
                compute.depthwise(x, position, into: placed)
                swap(&current, &spare)
                x = placed
            }
            for (number, block) in stage.blocks.enumerated() {
                try advance()
                // The mixer writes the other map, the ConvFFN comes back to this one.
                let mixed = map(spare, stage.width)
                switch block.mixer {
                case .convolution(let weights): compute.depthwise(x, weights, into: mixed)
                case .attention(let attention): attend(x, attention, into: mixed, compute)
                }
                if let observeExpansion {
                    let input = FeatureMap(hidden, height: x.height, width: x.width, channels: x.channels)
                    compute.depthwise(mixed, block.ffn.depthwise, into: input)
                    observeExpansion(index, number, input)
                }
                compute.convFFN(mixed, block.ffn, into: x, hidden: hidden)
            }
            observe?("stage\(index)", x)
        }
        try advance()
        let output = map(spare, model.outputWidth)
        compute.depthwise(x, model.final.convolution, into: output)
        compute.squeezeExciteGELU(output, reduce: model.final.reduce, expand: model.final.expand)
        observe?("final_conv", output)
        return output
    }

    /// `out = x + scale * projection(attention(LayerNorm(x)))`.
    private func attend(_ x: FeatureMap, _ weights: FastViTHD.MHSA, into out: FeatureMap, _ compute: Compute) {
        let pixels = x.pixels.rows
        let projected = Matrix(qkv, rows: pixels, columns: 3 * x.channels)
        let attended = Matrix(qkv, offset: pixels * 3 * x.channels, rows: pixels, columns: x.channels)
        compute.layerNorm(
            x.pixels, weight: weights.normWeight, bias: weights.normBias, epsilon: FastViTHD.epsilon, into: attended)
        compute.linear(attended, weights.qkv, into: projected)
        compute.selfAttention(
            projected, headDim: model.headDim, mayRound: weights.qkv.element.isQuantized, into: attended)
        compute.linear(attended, weights.projection, into: out.pixels, ending: LinearEnding(residual: x.pixels))
    }
}
