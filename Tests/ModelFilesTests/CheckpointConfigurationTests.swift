import ModelFiles
import Testing

/// What `config.json` may say.
@Suite struct CheckpointConfigurationTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func code(_ key: String, _ value: String?, _ layout: TinyCheckpoint.Layout) throws -> ModelFileError.Code {
        let checkpoint = TinyCheckpoint(layout: layout, configuration: [key: value])
        return try errorCode { _ = try checkpoint.open(in: folder, as: "\(layout)-\(key)-\(value?.hashValue ?? 0)") }
    }

    @Test(arguments: TinyCheckpoint.Layout.allCases)
    func noRequiredKeyIsGuessed(layout: TinyCheckpoint.Layout) throws {
        for key in [
            "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "vocab_size", "max_position_embeddings", "rms_norm_eps",
            layout == .apple ? "rope_theta" : "rope_parameters",
        ] {
            #expect(try code(key, nil, layout) == .configurationInvalid, "\(key)")
            #expect(try code(key, "null", layout) == .configurationInvalid, "\(key)")
            #expect(try code(key, "\"1\"", layout) == .configurationInvalid, "\(key)")
        }
    }

    @Test(arguments: [
        ("hidden_size", "0"), ("hidden_size", "-16"), ("hidden_size", "65537"), ("hidden_size", "1e300"),
        ("hidden_size", "16.5"), ("hidden_size", "18"), ("intermediate_size", "0"), ("intermediate_size", "1048577"),
        ("num_hidden_layers", "0"), ("num_hidden_layers", "1025"), ("num_attention_heads", "0"),
        ("num_attention_heads", "9223372036854775807"), ("num_attention_heads", "3"), ("num_key_value_heads", "0"),
        ("num_key_value_heads", "3"), ("num_key_value_heads", "8"), ("head_dim", "3"), ("head_dim", "0"),
        ("vocab_size", "0"), ("vocab_size", "99999999999"), ("max_position_embeddings", "0"), ("rope_theta", "0"),
        ("rope_theta", "1e13"), ("rms_norm_eps", "0"), ("rms_norm_eps", "1"), ("rms_norm_eps", "-1e-6"),
        ("mm_hidden_size", "64"),
    ])
    func valuesOutOfRangeAreRefused(key: String, value: String) throws {
        #expect(try code(key, value, .apple) == .configurationInvalid)
    }

    @Test(arguments: [
        ("model_type", "\"llava_llama\""), ("model_type", nil), ("mm_projector_type", "\"linear\""),
        ("hidden_act", "\"gelu\""), ("use_sliding_window", "true"), ("rope_scaling", "{\"type\": \"yarn\"}"),
        ("rope_scaling", "{\"rope_type\": \"linear\"}"), ("quantization_config", "{\"bits\": 4}"),
    ])
    func whatIsNotComputedIsRefusedByName(key: String, value: String?) throws {
        #expect(try code(key, value, .apple) == .configurationUnsupported)
    }

    @Test func otherDecodersAndRotationsAreRefused() throws {
        #expect(try code("model_type", "\"llama\"", .transformers) == .configurationUnsupported)
        let rope = "{\"rope_theta\": 1000000.0, \"rope_type\": \"yarn\"}"
        #expect(try code("rope_parameters", rope, .transformers) == .configurationUnsupported)
    }

    @Test func unknownKeysAreIgnored() throws {
        let checkpoint = TinyCheckpoint(configuration: ["quite_new": "{\"deep\": [1, {\"a\": null}]}"])
        #expect(try checkpoint.open(in: folder).configuration.text.hiddenSize == 16)
    }

    @Test func theEncoderMustBeAsStated() throws {
        for (index, model) in ["{\"embed_dims\": [4, 8, 16, 32, 65]}", "{\"layers\": [1, 2, 1, 1]}"].enumerated() {
            let inner = try folder.makeFolder("\(index)")
            try TinyCheckpoint(layout: .transformers).write(to: inner)
            let text = String(decoding: try inner.read("config.json"), as: UTF8.self)
            let arguments = "{\"embed_dims\": [4, 8, 16, 32, 64], \"layers\": [1, 2, 1, 1, 1]}"
            let parts = text.split(separator: arguments, maxSplits: 1, omittingEmptySubsequences: false)
            try #require(parts.count == 2)
            try inner.write(parts[0] + model + parts[1], to: "config.json")
            #expect(try errorCode { _ = try PreparedModel.open(path: inner.path) } == .configurationInvalid)
        }
    }

    @Test(arguments: ["", "{", "[]", "null", "{}}", "\u{FEFF}x", "{\"hidden_size\": 1"])
    func whatIsNoObjectIsRefused(text: String) throws {
        let inner = try folder.makeFolder("checkpoint")
        try TinyCheckpoint().write(to: inner)
        try inner.write(text, to: "config.json")
        let expected: [ModelFileError.Code] = [.configurationInvalid, .configurationUnsupported]
        #expect(expected.contains(try errorCode { _ = try PreparedModel.open(path: inner.path) }))
    }

    @Test func depthAndSizeAreBounded() throws {
        let inner = try folder.makeFolder("checkpoint")
        try TinyCheckpoint().write(to: inner)
        try inner.write(String(repeating: "{\"a\":", count: 200_000), to: "config.json")
        #expect(try errorCode { _ = try PreparedModel.open(path: inner.path) } == .configurationInvalid)
        try inner.write("{}" + String(repeating: " ", count: (1 << 20) - 1), to: "config.json")
        #expect(try errorCode { _ = try PreparedModel.open(path: inner.path) } == .fileTooLarge)
    }
}
