/// Name, shape and making of one tensor of a `PreparedModel`: the list of them is the contract with the engine.
struct PreparedTensor: Sendable {
    /// What the tensor is, which says how it is made from a checkpoint and how it is stored.
    enum Kind: Sendable, Equatable {
        /// A big matrix [outputs, inputs]; keeps its element. True if a layer scale may stand beside it.
        case matrix(scaled: Bool)
        /// A vector, f32.
        case vector
        /// A vector that is multiplied by the part's layer scale, f32.
        case scaledBias
        /// The part's layer scale, f32; absent if it is folded into the matrix.
        case layerScale
        /// A dense k x k convolution [outputs, k*k*inputs], columns (ky*k+kx)*inputs+input, f32.
        case convolution(kernel: Int, inputs: Int)
        /// A depthwise k x k convolution, [k*k, C], or [2, k*k, C] for two outputs a channel, f32.
        case depthwise(kernel: Int, outputs: Int)
        /// The same for one output, with the BatchNorm that follows folded in.
        case normalizedDepthwise(kernel: Int)
        /// The bias that folding the BatchNorm gives, f32.
        case normalizedBias
    }

    enum Suffix: String, Sendable {
        case weight, bias, scale
    }

    let part: ModelPart
    let suffix: Suffix
    let shape: [Int]
    let kind: Kind

    var name: String { part.preparedName + "." + suffix.rawValue }

    /// The name of the part's layer scale.
    var scaleName: String { part.preparedName + "." + Suffix.scale.rawValue }

    /// The name of the scales of the part's groups of 4-bit weights.
    var groupScaleName: String { part.preparedName + ".group_scale" }

    /// Matrices keep the element they are stored with; everything else is f32.
    var isMatrix: Bool {
        if case .matrix = kind { true } else { false }
    }
}

extension ModelConfiguration {
    /// Every tensor of a model of this architecture, in the order in which the engine meets them.
    ///
    /// - Parameter hasHead: false if the output head is the embedding.
    func preparedTensors(hasHead: Bool) -> [PreparedTensor] {
        var list = PreparedTensorList()
        appendEncoder(to: &list)
        list.linear(.projector(0), text.hiddenSize, vision.outputWidth)
        list.linear(.projector(2), text.hiddenSize, text.hiddenSize)
        appendDecoder(to: &list, hasHead: hasHead)
        return list.tensors
    }

    private func appendEncoder(to list: inout PreparedTensorList) {
        let first = vision.embedDims[0]
        list.convolution(.stem(0), outputs: first, kernel: 3, inputs: 3)
        list.depthwise(.stem(1), channels: first, kernel: 3, outputs: 1)
        list.linear(.stem(2), first, first)
        for stage in 0..<vision.stageCount {
            let width = vision.embedDims[stage]
            if stage > 0 {
                list.depthwise(
                    .downsample(stage: stage, 0), channels: vision.embedDims[stage - 1], kernel: 7, outputs: 2)
                list.linear(.downsample(stage: stage, 1), width, width)
            }
            if vision.positionStages[stage] {
                list.depthwise(.position(stage: stage), channels: width, kernel: 7, outputs: 1)
            }
            for index in 0..<vision.depths[stage] {
                appendBlock(stage: stage, index: index, width: width, to: &list)
            }
        }
        let last = vision.embedDims[vision.stageCount - 1]
        list.depthwise(.finalConv, channels: last, kernel: 3, outputs: 2)
        list.linear(.squeezeReduce, vision.squeezeWidth, vision.outputWidth)
        list.linear(.squeezeExpand, vision.outputWidth, vision.squeezeWidth)
    }

    private func appendBlock(stage: Int, index: Int, width: Int, to list: inout PreparedTensorList) {
        func part(_ part: ModelPart.BlockPart) -> ModelPart { .block(stage: stage, index: index, part) }
        if vision.attentionStages[stage] {
            list.vector(part(.attentionNorm), .weight, width)
            list.vector(part(.attentionNorm), .bias, width)
            list.matrix(part(.attentionQKV), 3 * width, width)
            list.scaledLinear(part(.attentionProjection), width, width)
        } else {
            list.depthwise(part(.mixer), channels: width, kernel: 3, outputs: 1)
        }
        list.normalizedDepthwise(part(.ffnConv), channels: width, kernel: 7)
        list.linear(part(.ffnExpand), vision.ffnExpansion * width, width)
        list.scaledLinear(part(.ffnContract), width, vision.ffnExpansion * width)
    }

    private func appendDecoder(to list: inout PreparedTensorList, hasHead: Bool) {
        list.matrix(.embedding, text.vocabularySize, text.hiddenSize)
        for index in 0..<text.layerCount {
            func part(_ part: ModelPart.LayerPart) -> ModelPart { .layer(index, part) }
            list.vector(part(.attentionNorm), .weight, text.hiddenSize)
            list.linear(part(.query), text.queryWidth, text.hiddenSize)
            list.linear(part(.key), text.keyValueWidth, text.hiddenSize)
            list.linear(part(.value), text.keyValueWidth, text.hiddenSize)
            list.matrix(part(.attentionOutput), text.hiddenSize, text.queryWidth)
            list.vector(part(.mlpNorm), .weight, text.hiddenSize)
            list.matrix(part(.gate), text.intermediateSize, text.hiddenSize)
            list.matrix(part(.up), text.intermediateSize, text.hiddenSize)
            list.matrix(part(.down), text.hiddenSize, text.intermediateSize)
        }
        list.vector(.norm, .weight, text.hiddenSize)
        if hasHead {
            list.matrix(.head, text.vocabularySize, text.hiddenSize)
        }
    }
}

/// Collects the tensors of one part after another.
private struct PreparedTensorList {
    var tensors: [PreparedTensor] = []

    mutating func add(_ part: ModelPart, _ suffix: PreparedTensor.Suffix, _ shape: [Int], _ kind: PreparedTensor.Kind) {
        tensors.append(PreparedTensor(part: part, suffix: suffix, shape: shape, kind: kind))
    }

    mutating func matrix(_ part: ModelPart, _ outputs: Int, _ inputs: Int) {
        add(part, .weight, [outputs, inputs], .matrix(scaled: false))
    }

    mutating func vector(_ part: ModelPart, _ suffix: PreparedTensor.Suffix, _ count: Int) {
        add(part, suffix, [count], .vector)
    }

    mutating func linear(_ part: ModelPart, _ outputs: Int, _ inputs: Int) {
        matrix(part, outputs, inputs)
        vector(part, .bias, outputs)
    }

    mutating func scaledLinear(_ part: ModelPart, _ outputs: Int, _ inputs: Int) {
        add(part, .weight, [outputs, inputs], .matrix(scaled: true))
        add(part, .bias, [outputs], .scaledBias)
        add(part, .scale, [outputs], .layerScale)
    }

    mutating func convolution(_ part: ModelPart, outputs: Int, kernel: Int, inputs: Int) {
        add(part, .weight, [outputs, kernel * kernel * inputs], .convolution(kernel: kernel, inputs: inputs))
        vector(part, .bias, outputs)
    }

    mutating func depthwise(_ part: ModelPart, channels: Int, kernel: Int, outputs: Int) {
        let taps = [kernel * kernel, channels]
        add(part, .weight, outputs == 1 ? taps : [outputs] + taps, .depthwise(kernel: kernel, outputs: outputs))
        vector(part, .bias, channels * outputs)
    }

    mutating func normalizedDepthwise(_ part: ModelPart, channels: Int, kernel: Int) {
        add(part, .weight, [kernel * kernel, channels], .normalizedDepthwise(kernel: kernel))
        add(part, .bias, [channels], .normalizedBias)
    }
}
