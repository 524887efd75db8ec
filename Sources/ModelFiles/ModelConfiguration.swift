/// The architecture of one model: every width and depth that the engine needs.
public struct ModelConfiguration: Sendable, Equatable, Codable {
    /// FastViTHD: stages of RepMixer or attention blocks (arXiv 2412.13303, section 3).
    public struct Vision: Sendable, Equatable, Codable {
        /// Channels of each stage; the stem gives the first.
        public var embedDims: [Int]
        /// Blocks in each stage.
        public var depths: [Int]
        /// True for the stages whose blocks mix by self-attention rather than by depthwise convolution.
        public var attentionStages: [Bool]
        /// True for the stages that start with a depthwise 7x7 positional convolution.
        public var positionStages: [Bool]
        /// Channels of an attention head. FastViTHD uses 32.
        public var headDim: Int
        /// Hidden channels of a ConvFFN for each of its channels. FastViTHD uses 4.
        public var ffnExpansion: Int
        /// Hidden channels of the squeeze-excite step after the last stage.
        public var squeezeWidth: Int

        public init(
            embedDims: [Int], depths: [Int], attentionStages: [Bool], positionStages: [Bool], headDim: Int = 32,
            ffnExpansion: Int = 4, squeezeWidth: Int
        ) {
            self.embedDims = embedDims
            self.depths = depths
            self.attentionStages = attentionStages
            self.positionStages = positionStages
            self.headDim = headDim
            self.ffnExpansion = ffnExpansion
            self.squeezeWidth = squeezeWidth
        }

        public var stageCount: Int { embedDims.count }

        /// Channels of the feature map that the projector reads: twice the last stage's.
        public var outputWidth: Int { 2 * (embedDims.last ?? 0) }
    }

    /// The Qwen2 decoder.
    public struct Text: Sendable, Equatable, Codable {
        public var hiddenSize: Int
        public var intermediateSize: Int
        public var layerCount: Int
        public var headCount: Int
        public var keyValueHeadCount: Int
        /// Channels of a head; `hiddenSize / headCount` in every public size.
        public var headDim: Int
        /// Rows of the embedding as stored: the tokenizer may know fewer ids.
        public var vocabularySize: Int
        public var ropeTheta: Double
        public var rmsNormEpsilon: Double
        /// Longest sequence, in tokens, that the model was made for.
        public var maxPositions: Int

        public init(
            hiddenSize: Int, intermediateSize: Int, layerCount: Int, headCount: Int, keyValueHeadCount: Int,
            headDim: Int, vocabularySize: Int, ropeTheta: Double, rmsNormEpsilon: Double, maxPositions: Int
        ) {
            self.hiddenSize = hiddenSize
            self.intermediateSize = intermediateSize
            self.layerCount = layerCount
            self.headCount = headCount
            self.keyValueHeadCount = keyValueHeadCount
            self.headDim = headDim
            self.vocabularySize = vocabularySize
            self.ropeTheta = ropeTheta
            self.rmsNormEpsilon = rmsNormEpsilon
            self.maxPositions = maxPositions
        }

        /// Channels of all query heads.
        public var queryWidth: Int { headCount * headDim }

        /// Channels of all key (or value) heads.
        public var keyValueWidth: Int { keyValueHeadCount * headDim }
    }

    public var vision: Vision
    public var text: Text

    public init(vision: Vision, text: Text) {
        self.vision = vision
        self.text = text
    }

    /// Input pixels, in each direction, for one position of the feature map: 4 in the stem, 2 before each further
    /// stage; 64 for FastViTHD.
    public var visualDownsampling: Int { 4 << max(0, vision.stageCount - 1) }

    /// Rows that a picture of `width` x `height` pixels takes in the decoder's sequence; every step of the encoder
    /// that halves rounds up.
    public func visualTokenCount(width: Int, height: Int) -> Int {
        let step = visualDownsampling
        return ((width + step - 1) / step) * ((height + step - 1) / step)
    }
}
