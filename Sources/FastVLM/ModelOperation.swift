public import Kernels
import ModelFiles

/// One operation of a model, with its own weights, at the size at which a picture or a token runs it: what a benchmark
/// of the kernels times.
public struct ModelOperation {
    /// What the operation's arithmetic is made of.
    public enum Kind: String, Sendable {
        /// Mostly products with weights.
        case product
        case depthwise
        case attention
    }

    /// Where it stands in the model, such as `stage 2 ConvFFN`.
    public let name: String
    public let kind: Kind
    /// Its sizes, for people: rows x inputs x outputs of a product.
    public let size: String
    /// How its weights are encoded; nil without weights and for depthwise convolutions, which are float32.
    public let element: WeightElement?
    /// Multiply-adds of one run.
    public let multiplyAdds: Int
    /// Runs of it for one picture, prompt or token.
    public let count: Int
    /// Runs it once on noise.
    public let run: (Compute) -> Void
}

extension FastVLMModel {
    /// The weights that every generated token reads once: all layers' and the output head's.
    public var decodeWeights: [LinearWeights] {
        decoder.layers.flatMap { [$0.query, $0.key, $0.value, $0.output, $0.gate, $0.up, $0.down] } + [decoder.head]
    }

    /// The operations of a picture of `pixels` x `pixels`, of its prompt with `textTokens` more positions, and of one
    /// step of generation after it. Norms, activations and the stem are left out.
    public func operations(resolution pixels: Int, textTokens: Int) -> [ModelOperation] {
        let tokens = Self.visualTokens(height: pixels, width: pixels) + textTokens
        return encoderOperations(pixels) + decoderOperations(rows: tokens, context: 0, name: "prefill")
            + decoderOperations(rows: 1, context: tokens, name: "decode")
    }

    private func encoderOperations(_ pixels: Int) -> [ModelOperation] {
        var list: [ModelOperation] = []
        // The stem halves twice.
        var side = (pixels + 3) / 4
        for (index, stage) in encoder.stages.enumerated() {
            let name = "stage \(index)"
            let width = stage.width
            if let downsample = stage.downsample {
                list.append(
                    Self.downsampling("\(name) downsample", side: side, downsample.depthwise, downsample.pointwise))
                side = (side + 1) / 2
            }
            let rows = side * side
            guard let block = stage.blocks.first else { continue }
            let blocks = stage.blocks.count
            switch block.mixer {
            case .convolution(let weights):
                list.append(Self.depthwise("\(name) mixer", side: side, weights, count: blocks))
            case .attention(let attention):
                list.append(Self.product("\(name) qkv", rows: rows, [attention.qkv], count: blocks))
                list.append(
                    Self.attention(
                        "\(name) attention", rows: rows, width: width, headDim: encoder.headDim,
                        mayRound: attention.qkv.element.isQuantized, count: blocks))
                list.append(Self.product("\(name) projection", rows: rows, [attention.projection], count: blocks))
            }
            list.append(Self.convFFN("\(name) ConvFFN", side: side, block.ffn, count: blocks))
        }
        list.append(Self.depthwise("conv_exp", side: side, encoder.final.convolution, count: 1))
        list.append(Self.product("projector", rows: side * side, [projector.first], count: 1))
        return list
    }

    private func decoderOperations(rows: Int, context: Int, name: String) -> [ModelOperation] {
        let text = decoder.configuration
        var list: [ModelOperation] = []
        // The last stands for all: the first ones may be kept in more bits.
        if let layer = decoder.layers.last {
            let layers = decoder.layers.count
            list.append(
                Self.product("\(name) q, k, v", rows: rows, [layer.query, layer.key, layer.value], count: layers))
            list.append(
                Self.causal(
                    "\(name) attention", rows: rows, context: context, text, mayRound: layer.key.element.isQuantized,
                    count: layers))
            list.append(Self.product("\(name) output", rows: rows, [layer.output], count: layers))
            list.append(Self.product("\(name) gate, up", rows: rows, [layer.gate, layer.up], count: layers))
            list.append(Self.product("\(name) down", rows: rows, [layer.down], count: layers))
        }
        list.append(Self.product("\(name) head", rows: 1, [decoder.head], count: 1))
        return list
    }

    private static func product(_ name: String, rows: Int, _ weights: [LinearWeights], count: Int) -> ModelOperation {
        let inputs = weights[0].inputs
        let outputs = weights.reduce(0) { $0 + $1.outputs }
        let x = noise(rows: rows, columns: inputs)
        let tasks = weights.map { LinearTask($0, into: Matrix(rows: rows, columns: $0.outputs)) }
        return ModelOperation(
            name: name, kind: .product, size: "\(rows) x \(inputs) x \(outputs)", element: weights[0].element,
            multiplyAdds: rows * inputs * outputs, count: count, run: { $0.linear(x, tasks) })
    }

    private static func depthwise(_ name: String, side: Int, _ weights: DepthwiseWeights, count: Int) -> ModelOperation
    {
        let x = noise(side: side, channels: weights.channels)
        let out = weights.outputSize(side)
        let channels = weights.channels * weights.multiplier
        let map = FeatureMap(height: out, width: out, channels: channels)
        return ModelOperation(
            name: name, kind: .depthwise, size: "\(out) x \(out) x \(channels), \(weights.kernel) x \(weights.kernel)",
            element: nil, multiplyAdds: out * out * channels * weights.kernel * weights.kernel, count: count,
            run: { $0.depthwise(x, weights, into: map) })
    }

    private static func downsampling(
        _ name: String, side: Int, _ first: DepthwiseWeights, _ pointwise: LinearWeights
    ) -> ModelOperation {
        let x = noise(side: side, channels: first.channels)
        let out = first.outputSize(side)
        let channels = pointwise.outputs
        let map = FeatureMap(height: out, width: out, channels: channels)
        let hidden = FloatStorage(count: out * out * pointwise.inputs)
        return ModelOperation(
            name: name, kind: .product, size: "\(out) x \(out) x \(channels)", element: pointwise.element,
            multiplyAdds: out * out * channels * (first.kernel * first.kernel + pointwise.inputs), count: 1,
            run: { $0.downsample(x, depthwise: first, pointwise: pointwise, into: map, hidden: hidden) })
    }

    private static func convFFN(_ name: String, side: Int, _ weights: ConvFFNWeights, count: Int) -> ModelOperation {
        let channels = weights.expand.inputs
        let wide = weights.expand.outputs
        let x = noise(side: side, channels: channels)
        let map = FeatureMap(height: side, width: side, channels: channels)
        let hidden = FloatStorage(count: side * side * (channels + wide))
        return ModelOperation(
            name: name, kind: .product, size: "\(side * side) x \(channels) x \(wide)", element: weights.expand.element,
            multiplyAdds: side * side * channels * (49 + 2 * wide), count: count,
            run: { $0.convFFN(x, weights, into: map, hidden: hidden) })
    }

    private static func attention(_ name: String, rows: Int, width: Int, headDim: Int, mayRound: Bool, count: Int)
        -> ModelOperation
    {
        let qkv = noise(rows: rows, columns: 3 * width)
        let out = Matrix(rows: rows, columns: width)
        return ModelOperation(
            name: name, kind: .attention, size: "\(rows) x \(rows), \(width / headDim) heads of \(headDim)",
            element: nil,
            multiplyAdds: 2 * rows * rows * width, count: count,
            run: { $0.selfAttention(qkv, headDim: headDim, mayRound: mayRound, into: out) })
    }

    private static func causal(
        _ name: String, rows: Int, context: Int, _ text: ModelConfiguration.Text, mayRound: Bool, count: Int
    ) -> ModelOperation {
        let query = noise(rows: rows, columns: text.queryWidth)
        let keys = noise(rows: context + rows, columns: text.keyValueWidth)
        let values = noise(rows: context + rows, columns: text.keyValueWidth)
        let out = Matrix(rows: rows, columns: text.queryWidth)
        let pairs = rows * context + rows * (rows + 1) / 2
        return ModelOperation(
            name: name, kind: .attention,
            size: "\(rows) x \(context + rows), \(text.headCount) heads of \(text.headDim)",
            element: nil, multiplyAdds: 2 * pairs * text.queryWidth, count: count,
            run: {
                $0.causalAttention(
                    query, keys: keys, values: values, headDim: text.headDim, mayRound: mayRound, into: out)
            })
    }

    private static func noise(side: Int, channels: Int) -> FeatureMap {
        let map = FeatureMap(height: side, width: side, channels: channels)
        map.pixels.set(noise(side * side * channels))
        return map
    }

    private static func noise(rows: Int, columns: Int) -> Matrix {
        let matrix = Matrix(rows: rows, columns: columns)
        matrix.set(noise(rows * columns))
        return matrix
    }

    /// Values in -1...1, the same each time.
    private static func noise(_ count: Int) -> [Float] {
        var state: UInt32 = 1
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return Float(state >> 8) / Float(1 << 23) - 1
        }
    }
}
