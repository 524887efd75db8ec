import FoundationEssentials

/// What `config.json` of a public checkpoint says, in either layout; keys that do not matter are ignored.
struct CheckpointConfiguration: Sendable {
    let family: CheckpointLayout.Family
    let text: ModelConfiguration.Text
    /// True if the configuration says that the output head is the embedding. It is sometimes wrong.
    let isTied: Bool
    /// What the configuration claims of the encoder; the tensors decide, and must agree.
    let encoderOutputWidth: Int?
    let encoderWidths: [Int]?
    let encoderDepths: [Int]?

    /// Largest `config.json` that is read: 1 MiB.
    static let maximumByteCount = 1 << 20

    /// Reads and checks the configuration at `path`.
    ///
    /// - Throws: `configurationInvalid` for a missing key or a wrong value, `configurationUnsupported` for a
    ///   feature that this program does not compute; both name key, value and what is allowed.
    init(path: String) throws(ModelFileError) {
        try self.init(json: OpenedFile.contents(of: path, limit: Self.maximumByteCount), path: path)
    }

    init(json: [UInt8], path: String) throws(ModelFileError) {
        let subject = "'\(path)'"
        let file: ConfigurationFile = try decodeJSON(json, subject: subject, code: .configurationInvalid)
        let check = RangeCheck(subject: subject)
        let unsupported = { (problem: String) in
            ModelFileError(.configurationUnsupported, "Cannot use the configuration of \(subject): \(problem).")
        }
        let textual: TextConfigurationFile
        switch file.modelType {
        case "llava_qwen2":
            family = .apple
            textual = try decodeJSON(json, subject: subject, code: .configurationInvalid)
            if let type = file.mmProjectorType, type != "mlp2x_gelu" {
                throw unsupported("mm_projector_type is '\(type)', expected 'mlp2x_gelu'")
            }
            encoderOutputWidth = file.mmHiddenSize
            encoderWidths = nil
            encoderDepths = nil
        case "fast_vlm":
            family = .transformers
            guard let nested = file.textConfig else { throw check.failure("text_config is missing") }
            textual = nested
            if let type = nested.modelType, type != "qwen2" {
                throw unsupported("text_config.model_type is '\(type)', expected 'qwen2'")
            }
            if let act = file.projectorHiddenAct, act != "gelu" {
                throw unsupported("projector_hidden_act is '\(act)', expected 'gelu'")
            }
            encoderOutputWidth = file.visionConfig?.hiddenSize
            encoderWidths = file.visionConfig?.modelArgs?.embedDims
            encoderDepths = file.visionConfig?.modelArgs?.layers
        case let other:
            throw unsupported(
                "model_type is \(other.map { "'\($0)'" } ?? "missing"), expected 'llava_qwen2' or 'fast_vlm'")
        }
        guard file.quantizationConfig == nil else {
            throw unsupported("quantization_config is there, expected float weights")
        }
        text = try textual.checked(check, unsupported: unsupported)
        isTied = (file.tieWordEmbeddings ?? false) || (textual.tieWordEmbeddings ?? false)
    }

    /// Checks what the file claims of the encoder against what the tensors say.
    func checkEncoder(_ vision: ModelConfiguration.Vision, path: String) throws(ModelFileError) {
        let check = RangeCheck(subject: "'\(path)'")
        if let width = encoderOutputWidth, width != vision.outputWidth {
            let key = family == .apple ? "mm_hidden_size" : "vision_config.hidden_size"
            throw check.failure("\(key) is \(width), expected \(vision.outputWidth) as in the tensors")
        }
        if let widths = encoderWidths, widths != vision.embedDims {
            throw check.failure(
                "vision_config.model_args.embed_dims is \(widths), expected \(vision.embedDims) as in the tensors")
        }
        if let depths = encoderDepths, depths != vision.depths {
            throw check.failure(
                "vision_config.model_args.layers is \(depths), expected \(vision.depths) as in the tensors")
        }
    }
}

// MARK: - Mirrors of the files

/// The top level of `config.json`; in Apple's layout the decoder's keys stand beside these.
private struct ConfigurationFile: Decodable {
    struct Vision: Decodable {
        struct Arguments: Decodable {
            var embedDims: [Int]?
            var layers: [Int]?
        }
        var hiddenSize: Int?
        var modelArgs: Arguments?
    }
    /// Something whose presence alone matters.
    struct Anything: Decodable {
        init(from decoder: any Decoder) {}
    }
    var modelType: String?
    var textConfig: TextConfigurationFile?
    var visionConfig: Vision?
    var mmHiddenSize: Int?
    var mmProjectorType: String?
    var projectorHiddenAct: String?
    var tieWordEmbeddings: Bool?
    var quantizationConfig: Anything?
}

/// The decoder's keys.
private struct TextConfigurationFile: Decodable {
    struct Rope: Decodable {
        var ropeTheta: Double?
        var ropeType: String?
        var type: String?
    }
    var modelType: String?
    var hiddenSize: Int?
    var intermediateSize: Int?
    var numHiddenLayers: Int?
    var numAttentionHeads: Int?
    var numKeyValueHeads: Int?
    var headDim: Int?
    var vocabSize: Int?
    var ropeTheta: Double?
    var ropeParameters: Rope?
    var ropeScaling: Rope?
    var rmsNormEps: Double?
    var maxPositionEmbeddings: Int?
    var hiddenAct: String?
    var useSlidingWindow: Bool?
    var tieWordEmbeddings: Bool?

    func checked(
        _ check: RangeCheck, unsupported: (String) -> ModelFileError
    ) throws(ModelFileError) -> ModelConfiguration.Text {
        func required<Value>(_ value: Value?, _ key: String) throws(ModelFileError) -> Value {
            guard let value else { throw check.failure("\(key) is missing") }
            return value
        }
        if let hiddenAct, hiddenAct != "silu" {
            throw unsupported("hidden_act is '\(hiddenAct)', expected 'silu'")
        }
        if useSlidingWindow == true {
            throw unsupported("use_sliding_window is true, expected false")
        }
        for rope in [ropeParameters, ropeScaling] {
            if let type = rope?.ropeType ?? rope?.type, type != "default" {
                throw unsupported("the rope type is '\(type)', expected 'default'")
            }
        }
        let hidden = try required(hiddenSize, "hidden_size")
        let heads = try required(numAttentionHeads, "num_attention_heads")
        try check("hidden_size", hidden, 1...65_536)
        try check("num_attention_heads", heads, 1...1_024)
        guard headDim != nil || hidden.isMultiple(of: heads) else {
            throw check.failure("hidden_size is \(hidden), expected a multiple of num_attention_heads (\(heads))")
        }
        return ModelConfiguration.Text(
            hiddenSize: hidden,
            intermediateSize: try required(intermediateSize, "intermediate_size"),
            layerCount: try required(numHiddenLayers, "num_hidden_layers"),
            headCount: heads,
            keyValueHeadCount: try required(numKeyValueHeads, "num_key_value_heads"),
            headDim: headDim ?? hidden / heads,
            vocabularySize: try required(vocabSize, "vocab_size"),
            ropeTheta: try required(ropeParameters?.ropeTheta ?? ropeTheta, "rope_theta"),
            rmsNormEpsilon: try required(rmsNormEps, "rms_norm_eps"),
            maxPositions: try required(maxPositionEmbeddings, "max_position_embeddings"))
    }
}
