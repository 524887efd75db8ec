/// Multiply-adds that some part of a model's work takes, from its widths and depths alone.
///
/// Norms, activations and other work that grows with single values is left out: it is below 1 %.
public struct ModelArithmetic: Sendable, Equatable {
    /// Convolutions that mix colours and pixels at once: the stem's first.
    public var dense = 0
    /// Convolutions of each channel by itself.
    public var depthwise = 0
    /// Products with weights: 1x1 convolutions and linear layers.
    public var products = 0
    /// Products of queries with keys, and of their weights with values.
    public var attention = 0

    public var total: Int { dense + depthwise + products + attention }

    public init(dense: Int = 0, depthwise: Int = 0, products: Int = 0, attention: Int = 0) {
        self.dense = dense
        self.depthwise = depthwise
        self.products = products
        self.attention = attention
    }

    public static func + (a: ModelArithmetic, b: ModelArithmetic) -> ModelArithmetic {
        ModelArithmetic(
            dense: a.dense + b.dense, depthwise: a.depthwise + b.depthwise, products: a.products + b.products,
            attention: a.attention + b.attention)
    }
}

extension ModelConfiguration {
    /// Encoder and projector of a picture of `width` x `height` pixels, each 1...8192.
    public func visionArithmetic(width: Int, height: Int) -> ModelArithmetic {
        var sum = ModelArithmetic()
        var size = (width: width, height: height)
        func halve() { size = ((size.width + 1) / 2, (size.height + 1) / 2) }
        var pixels: Int { size.width * size.height }
        // The stem: 3x3 from RGB, depthwise 3x3, 1x1.
        let first = vision.embedDims.first ?? 0
        halve()
        sum.dense += pixels * 27 * first
        halve()
        sum.depthwise += pixels * 9 * first
        sum.products += pixels * first * first
        for (stage, channels) in vision.embedDims.enumerated() {
            if stage > 0 {
                halve()
                // 7x7 to two outputs a channel, then 1x1.
                sum.depthwise += pixels * 49 * channels
                sum.products += pixels * channels * channels
            }
            if vision.positionStages[stage] { sum.depthwise += pixels * 49 * channels }
            let blocks = vision.depths[stage]
            if vision.attentionStages[stage] {
                sum.products += blocks * pixels * 4 * channels * channels
                sum.attention += blocks * 2 * pixels * pixels * channels
            } else {
                sum.depthwise += blocks * pixels * 9 * channels
            }
            sum.depthwise += blocks * pixels * 49 * channels
            sum.products += blocks * pixels * 2 * vision.ffnExpansion * channels * channels
        }
        // conv_exp with its squeeze-excite, then the projector.
        sum.depthwise += pixels * 9 * vision.outputWidth
        sum.products += 2 * vision.outputWidth * vision.squeezeWidth
        sum.products += pixels * text.hiddenSize * (vision.outputWidth + text.hiddenSize)
        return sum
    }

    /// The decoder reading `tokens` positions after `context` earlier ones, the output head on the last one included:
    /// a prompt, or with one token a step of generation.
    public func textArithmetic(tokens: Int, context: Int = 0) -> ModelArithmetic {
        let weights = text.hiddenSize * (2 * text.queryWidth + 2 * text.keyValueWidth + 3 * text.intermediateSize)
        // Position i of the new ones sees context + i + 1 positions.
        let pairs = tokens * context + tokens * (tokens + 1) / 2
        return ModelArithmetic(
            products: tokens * text.layerCount * weights + text.vocabularySize * text.hiddenSize,
            attention: text.layerCount * 2 * pairs * text.queryWidth)
    }
}
