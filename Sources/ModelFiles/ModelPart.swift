/// One weight-carrying step of the model; `PreparedTensor` and `CheckpointLayout` spell it each in its own way.
enum ModelPart: Hashable, Sendable {
    enum BlockPart: String, Sendable {
        case mixer
        case attentionNorm = "attention.norm"
        case attentionQKV = "attention.qkv"
        case attentionProjection = "attention.proj"
        case ffnConv = "ffn.conv"
        case ffnExpand = "ffn.fc1"
        case ffnContract = "ffn.fc2"
    }

    enum LayerPart: String, Sendable {
        case attentionNorm = "attention.norm"
        case query = "attention.q"
        case key = "attention.k"
        case value = "attention.v"
        case attentionOutput = "attention.o"
        case mlpNorm = "mlp.norm"
        case gate = "mlp.gate"
        case up = "mlp.up"
        case down = "mlp.down"
    }

    case stem(Int)
    /// The grouped (0) and the pointwise (1) convolution before `stage`.
    case downsample(stage: Int, Int)
    case position(stage: Int)
    case block(stage: Int, index: Int, BlockPart)
    case finalConv
    case squeezeReduce
    case squeezeExpand
    /// The two linear steps of the projector, 0 and 2; a GELU is between them.
    case projector(Int)
    case embedding
    case layer(Int, LayerPart)
    case norm
    case head

    /// The name before `.weight`, `.bias` and `.scale` in a `PreparedModel`.
    var preparedName: String {
        switch self {
        case .stem(let step): "vision.stem.\(step)"
        case .downsample(let stage, let step): "vision.stages.\(stage).downsample.\(step)"
        case .position(let stage): "vision.stages.\(stage).position"
        case .block(let stage, let index, let part): "vision.stages.\(stage).blocks.\(index).\(part.rawValue)"
        case .finalConv: "vision.final.conv"
        case .squeezeReduce: "vision.final.se.reduce"
        case .squeezeExpand: "vision.final.se.expand"
        case .projector(let step): "projector.\(step)"
        case .embedding: "text.embedding"
        case .layer(let index, let part): "text.layers.\(index).\(part.rawValue)"
        case .norm: "text.norm"
        case .head: "text.head"
        }
    }
}
