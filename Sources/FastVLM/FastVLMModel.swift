import Kernels
public import ModelFiles

/// A loaded FastVLM: encoder, projector and decoder, ready for any number of sessions.
public struct FastVLMModel: Sendable {
    /// The file that it came from: configuration, tokenizer, ladder of resolutions, digest.
    public let prepared: PreparedModel
    let encoder: FastViTHD
    /// `mm_projector`: linear, GELU, linear.
    let projector: (first: LinearWeights, second: LinearWeights)
    let decoder: Qwen2
    /// Rows of the output head that the tokenizer does not know.
    let unknownTokens: [Int]

    /// Loads the model at `path`: a packed file or a folder in a public layout.
    public init(path: String) throws(ModelFileError) {
        try self.init(try PreparedModel.open(path: path))
    }

    /// Takes the weights of `prepared`.
    public init(_ prepared: PreparedModel) throws(ModelFileError) {
        self.prepared = prepared
        encoder = try FastViTHD(prepared)
        let hidden = prepared.configuration.text.hiddenSize
        projector = (
            try prepared.linear("projector.0", outputs: hidden, inputs: encoder.outputWidth).expanded(),
            try prepared.linear("projector.2", outputs: hidden, inputs: hidden).expanded()
        )
        decoder = try Qwen2(prepared)
        unknownTokens = (0..<decoder.configuration.vocabularySize).filter { !prepared.tokenizer.isKnown($0) }
        prepared.releaseReadPages()
    }

    /// The decoder positions that a picture of `height` x `width` pixels takes.
    public static func visualTokens(height: Int, width: Int) -> Int {
        ((height + 63) / 64) * ((width + 63) / 64)
    }

    /// Throws unless pictures of `pixels` x `pixels` can be run: at least one visual token, at most 4096 pixels.
    public static func validate(resolution pixels: Int) throws(FastVLMError) {
        guard (64...4096).contains(pixels) else {
            throw FastVLMError(
                .resolution,
                "Cannot run pictures of \(pixels) x \(pixels) pixels: expected 64 to 4096. Choose a resolution "
                    + "of the model's ladder (see 'fastvlm model inspect').")
        }
    }
}
