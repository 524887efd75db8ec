import Kernels
import ModelFiles

/// The weights of the FastViTHD encoder (arXiv 2412.13303, section 3; `mci.py` in apple/ml-fastvlm).
///
/// Five stages of halving resolution: RepMixer blocks first, self-attention blocks last, 64-fold
/// downsampling in all. Depths and widths are the file's.
public struct FastViTHD: Sendable {
    /// How a block mixes pixels.
    enum TokenMixer: Sendable {
        /// RepMixer, reparameterized to one depthwise 3x3.
        case convolution(DepthwiseWeights)
        case attention(MHSA)
    }

    /// LayerNorm over channels, multi-head self-attention, projection with layer scale.
    struct MHSA: Sendable {
        let normWeight: [Float]
        let normBias: [Float]
        let qkv: LinearWeights
        let projection: LinearWeights
    }

    struct Block: Sendable {
        let mixer: TokenMixer
        let ffn: ConvFFNWeights
    }

    struct Stage: Sendable {
        let width: Int
        let downsample: (depthwise: DepthwiseWeights, pointwise: LinearWeights)?
        let position: DepthwiseWeights?
        let blocks: [Block]
    }

    struct Stem: Sendable {
        let first: [Float]
        let firstBias: [Float]
        let depthwise: DepthwiseWeights
        let pointwise: LinearWeights
    }

    /// `conv_exp` with its squeeze-excite.
    struct Final: Sendable {
        let convolution: DepthwiseWeights
        let reduce: LinearWeights
        let expand: LinearWeights
    }

    /// Both norms of the encoder and BatchNorm use 1e-5.
    static let epsilon: Float = 1e-5

    /// Channels from which on the steps between stages keep their weights as they are stored.
    private static let narrowestKept = 768

    let stem: Stem
    let stages: [Stage]
    let final: Final
    let headDim: Int

    /// Channels of the output map.
    public var outputWidth: Int { final.convolution.channels * final.convolution.multiplier }

    /// Takes the encoder's tensors from `model`.
    ///
    /// - Parameter expandsBlocks: Whether the blocks' matrices that are narrower floats become float32 once: their layers
    ///   run over many tiles of pixels. The default is true; without, it is slower and takes little memory.
    init(_ model: PreparedModel, expandsBlocks: Bool = true) throws(ModelFileError) {
        let vision = model.configuration.vision
        let widths = vision.embedDims
        let stemWidth = widths[0]
        stem = Stem(
            first: try model.transposed("vision.stem.0.weight", rows: stemWidth, columns: 27),
            firstBias: try model.vector("vision.stem.0.bias", count: stemWidth),
            depthwise: try model.depthwise("vision.stem.1", kernel: 3, stride: 2, channels: stemWidth),
            pointwise: try model.linear("vision.stem.2", outputs: stemWidth, inputs: stemWidth).expanded())
        var stages: [Stage] = []
        for (index, width) in widths.enumerated() {
            let name = "vision.stages.\(index)"
            var downsample: (depthwise: DepthwiseWeights, pointwise: LinearWeights)?
            if index > 0 {
                downsample = (
                    try model.depthwise(
                        "\(name).downsample.0", kernel: 7, stride: 2, multiplier: 2, channels: widths[index - 1]),
                    try Self.pointwise("\(name).downsample.1", width: width, model)
                )
            }
            var position: DepthwiseWeights?
            if model.optionalTensor("\(name).position.weight") != nil {
                position = try model.depthwise("\(name).position", kernel: 7, channels: width)
            }
            var blocks: [Block] = []
            for block in 0..<vision.depths[index] {
                blocks.append(try Self.block("\(name).blocks.\(block)", width: width, model, expands: expandsBlocks))
            }
            stages.append(Stage(width: width, downsample: downsample, position: position, blocks: blocks))
        }
        self.stages = stages
        let last = widths[widths.count - 1]
        let reduced = vision.squeezeWidth
        final = Final(
            convolution: try model.depthwise("vision.final.conv", kernel: 3, multiplier: 2, channels: last),
            reduce: try model.linear("vision.final.se.reduce", outputs: reduced, inputs: last * 2),
            expand: try model.linear("vision.final.se.expand", outputs: last * 2, inputs: reduced))
        headDim = vision.headDim
    }

    /// The step to the next stage. Narrow ones run over many tiles of pixels, as float32; the widest run over few pixels,
    /// where the weights pass through once however they are stored.
    private static func pointwise(
        _ name: String, width: Int, _ model: PreparedModel
    ) throws(ModelFileError) -> LinearWeights {
        let weights = try model.linear(name, outputs: width, inputs: width)
        return width < narrowestKept ? weights.expanded() : weights
    }

    private static func block(
        _ name: String, width: Int, _ model: PreparedModel, expands: Bool
    ) throws(ModelFileError) -> Block {
        func linear(_ part: String, _ outputs: Int, _ inputs: Int) throws(ModelFileError) -> LinearWeights {
            let weights = try model.linear("\(name).\(part)", outputs: outputs, inputs: inputs)
            return expands ? weights.expanded() : weights
        }
        let wide = model.configuration.vision.ffnExpansion * width
        let ffn = ConvFFNWeights(
            depthwise: try model.depthwise("\(name).ffn.conv", kernel: 7, channels: width),
            expand: try linear("ffn.fc1", wide, width),
            contract: try linear("ffn.fc2", width, wide))
        guard model.optionalTensor("\(name).attention.qkv.weight") != nil else {
            return Block(
                mixer: .convolution(try model.depthwise("\(name).mixer", kernel: 3, channels: width)), ffn: ffn)
        }
        let attention = MHSA(
            normWeight: try model.vector("\(name).attention.norm.weight", count: width),
            normBias: try model.vector("\(name).attention.norm.bias", count: width),
            qkv: try linear("attention.qkv", 3 * width, width),
            projection: try linear("attention.proj", width, width))
        return Block(mixer: .attention(attention), ffn: ffn)
    }
}
