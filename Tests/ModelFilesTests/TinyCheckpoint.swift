/// A checkpoint of the real architecture with tiny sizes and random weights, in either public layout.
///
/// The names are spelled here once more, so that the tests do not believe the code that they test.
struct TinyCheckpoint {
    enum Layout: CaseIterable { case apple, transformers }
    enum Element: String, CaseIterable { case f32 = "F32", f16 = "F16", bf16 = "BF16" }
    enum Head: CaseIterable { case own, copy, absent }

    /// How the names before the parts are spelled.
    enum Prefixes { case usual, withoutModel }

    struct Tensor {
        var name: String
        var shape: [Int]
        /// Exactly what is stored, nil for a tensor of integers.
        var values: [Float]?
        var stored: SafetensorsBytes.Tensor
    }

    var layout = Layout.apple
    var element = Element.bf16
    var head = Head.own
    var prefixes = Prefixes.usual
    var seed: UInt64 = 1
    /// Whether the values use all bits of a float; the others are exact in every element.
    var isFine = false

    var embedDims = [4, 8, 16, 32, 64]
    var depths = [1, 2, 1, 1, 1]
    var attentionStages = [false, false, false, true, true]
    var positionStages = [false, false, false, true, true]
    var squeezeWidth = 6
    var hiddenSize = 16
    var intermediateSize = 24
    var layerCount = 2
    var headCount = 4
    var keyValueHeadCount = 2
    var vocabularySize = 320
    var shardCount = 1

    /// Whether the tensors lie at multiples of eight bytes, as the library writes them, or at odd places.
    var isAligned = true

    /// What `tie_word_embeddings` says; nil for the truth.
    var statesTied: Bool?

    /// Values of `config.json` to replace (or to remove, with nil), as JSON; in the transformers layout the decoder's
    /// keys go into `text_config`.
    var configuration: [String: String?] = [:]

    /// Changes the tensors before they are written.
    var edit: (inout [Tensor]) -> Void = { _ in }

    /// Writes the checkpoint and returns what it holds, by name.
    @discardableResult
    func write(to folder: TemporaryFolder) throws -> [String: Tensor] {
        var tensors = makeTensors()
        edit(&tensors)
        try folder.write(makeConfiguration(), to: "config.json")
        try TinyTokenizer.write(to: folder, layout: layout)
        if shardCount == 1 {
            let file = SafetensorsBytes.file(tensors.map(\.stored), isAligned: isAligned)
            try folder.write(file, to: "model.safetensors")
        } else {
            let size = (tensors.count + shardCount - 1) / shardCount
            var index: [String] = []
            for shard in 0..<shardCount {
                let part = tensors.dropFirst(shard * size).prefix(size)
                let name = Self.shardName(shard, of: shardCount)
                try folder.write(SafetensorsBytes.file(part.map(\.stored)), to: name)
                index += part.map { "\"\($0.name)\": \"\(name)\"" }
            }
            try folder.write(
                "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {\(index.joined(separator: ", "))}}",
                to: "model.safetensors.index.json")
        }
        return Dictionary(tensors.map { ($0.name, $0) }) { first, _ in first }
    }

    static func shardName(_ shard: Int, of count: Int) -> String {
        func digits(_ number: Int) -> String { String(String(100_000 + number).dropFirst()) }
        return "model-\(digits(shard + 1))-of-\(digits(count)).safetensors"
    }

    // MARK: - Names

    var visionPrefix: String {
        switch (layout, prefixes) {
        case (.apple, .usual): "model.vision_tower.vision_tower.model."
        case (.apple, .withoutModel): "vision_tower.vision_tower.model."
        case (.transformers, .usual): "model.vision_tower.timm_model."
        case (.transformers, .withoutModel): "vision_tower.timm_model."
        }
    }

    var projectorPrefix: String {
        switch (layout, prefixes) {
        case (.apple, .usual): "model.mm_projector."
        case (.apple, .withoutModel): "mm_projector."
        case (.transformers, .usual): "model.multi_modal_projector."
        case (.transformers, .withoutModel): "multi_modal_projector."
        }
    }

    var textPrefix: String {
        switch (layout, prefixes) {
        case (.apple, .usual): "model."
        case (.apple, .withoutModel): ""
        case (.transformers, .usual): "model.language_model."
        case (.transformers, .withoutModel): "language_model.model."
        }
    }

    var headName: String {
        layout == .transformers && prefixes == .withoutModel ? "language_model.lm_head.weight" : "lm_head.weight"
    }

    // MARK: - Tensors

    private func makeTensors() -> [Tensor] {
        var list = TensorList(checkpoint: self, numbers: SeededNumbers(seed: seed))
        addEncoder(to: &list)
        let width = 2 * (embedDims.last ?? 0)
        let (first, second) = layout == .apple ? ("0", "2") : ("linear_1", "linear_2")
        list.linear(projectorPrefix + first, [hiddenSize, width])
        list.linear(projectorPrefix + second, [hiddenSize, hiddenSize])
        addDecoder(to: &list)
        return list.tensors
    }

    private func addEncoder(to list: inout TensorList) {
        let isApple = layout == .apple
        let stem = visionPrefix + (isApple ? "patch_embed" : "stem")
        let first = embedDims[0]
        list.linear("\(stem).0.reparam_conv", [first, 3, 3, 3])
        list.linear("\(stem).1.reparam_conv", [first, 1, 3, 3])
        list.linear("\(stem).2.reparam_conv", [first, first, 1, 1])
        var network = 0
        for (stage, width) in embedDims.enumerated() {
            if stage > 0 {
                let name = visionPrefix + (isApple ? "network.\(network)" : "stages.\(stage).downsample")
                list.linear("\(name).proj.0.\(isApple ? "lkb_reparam" : "reparam_conv")", [width, 1, 7, 7])
                list.linear("\(name).proj.1.reparam_conv", [width, width, 1, 1])
                network += 1
            }
            if positionStages[stage] {
                let name = visionPrefix + (isApple ? "network.\(network)" : "stages.\(stage).pos_emb")
                list.linear("\(name).reparam_conv", [width, 1, 7, 7])
                network += 1
            }
            for block in 0..<depths[stage] {
                let name = visionPrefix + (isApple ? "network.\(network)" : "stages.\(stage).blocks") + ".\(block)"
                addBlock(name, width: width, hasAttention: attentionStages[stage], to: &list)
            }
            network += 1
        }
        let last = embedDims[embedDims.count - 1]
        let final = visionPrefix + (isApple ? "conv_exp" : "final_conv")
        list.linear("\(final).reparam_conv", [2 * last, 1, 3, 3])
        list.linear("\(final).se.\(isApple ? "reduce" : "fc1")", [squeezeWidth, 2 * last, 1, 1])
        list.linear("\(final).se.\(isApple ? "expand" : "fc2")", [2 * last, squeezeWidth, 1, 1])
        if isApple {
            // Stored, but not used; of no random values, so that those that follow are the same in both layouts.
            let zeros = [Float](repeating: 0, count: 8 * last)
            list.tensors.append(Self.tensor(visionPrefix + "head.proj", [2 * last, 4], zeros, element))
        }
    }

    private func addBlock(_ name: String, width: Int, hasAttention: Bool, to list: inout TensorList) {
        let gamma = layout == .apple ? "" : ".gamma"
        if hasAttention {
            list.add("\(name).norm.weight", [width])
            list.add("\(name).norm.bias", [width])
            list.add("\(name).token_mixer.qkv.weight", [3 * width, width])
            list.linear("\(name).token_mixer.proj", [width, width])
            list.add("\(name).layer_scale_1\(gamma)", [width, 1, 1])
            list.add("\(name).layer_scale_2\(gamma)", [width, 1, 1])
        } else {
            list.linear("\(name).token_mixer.reparam_conv", [width, 1, 3, 3])
            list.add("\(name).layer_scale\(gamma)", [width, 1, 1])
        }
        let ffn = "\(name).\(layout == .apple ? "convffn" : "mlp")"
        list.add("\(ffn).conv.conv.weight", [width, 1, 7, 7])
        list.add("\(ffn).conv.bn.weight", [width])
        list.add("\(ffn).conv.bn.bias", [width])
        list.add("\(ffn).conv.bn.running_mean", [width])
        list.add("\(ffn).conv.bn.running_var", [width], isPositive: true)
        list.count("\(ffn).conv.bn.num_batches_tracked")
        list.linear("\(ffn).fc1", [4 * width, width, 1, 1])
        list.linear("\(ffn).fc2", [width, 4 * width, 1, 1])
    }

    private func addDecoder(to list: inout TensorList) {
        list.add("\(textPrefix)embed_tokens.weight", [vocabularySize, hiddenSize])
        let keyValueWidth = hiddenSize / headCount * keyValueHeadCount
        for layer in 0..<layerCount {
            let name = "\(textPrefix)layers.\(layer)"
            list.add("\(name).input_layernorm.weight", [hiddenSize])
            list.linear("\(name).self_attn.q_proj", [hiddenSize, hiddenSize])
            list.linear("\(name).self_attn.k_proj", [keyValueWidth, hiddenSize])
            list.linear("\(name).self_attn.v_proj", [keyValueWidth, hiddenSize])
            list.add("\(name).self_attn.o_proj.weight", [hiddenSize, hiddenSize])
            list.add("\(name).post_attention_layernorm.weight", [hiddenSize])
            list.add("\(name).mlp.gate_proj.weight", [intermediateSize, hiddenSize])
            list.add("\(name).mlp.up_proj.weight", [intermediateSize, hiddenSize])
            list.add("\(name).mlp.down_proj.weight", [hiddenSize, intermediateSize])
        }
        list.add("\(textPrefix)norm.weight", [hiddenSize])
        switch head {
        case .own: list.add(headName, [vocabularySize, hiddenSize])
        case .copy: list.copy("\(textPrefix)embed_tokens.weight", as: headName)
        case .absent: break
        }
    }

    /// Draws the tensors one after another: the same values in both layouts and every element.
    private struct TensorList {
        let checkpoint: TinyCheckpoint
        var numbers: SeededNumbers
        var tensors: [Tensor] = []

        mutating func linear(_ name: String, _ shape: [Int]) {
            add(name + ".weight", shape)
            add(name + ".bias", [shape[0]])
        }

        mutating func add(_ name: String, _ shape: [Int], isPositive: Bool = false) {
            let values = (0..<shape.reduce(1, *)).map { _ in value(isPositive: isPositive) }
            tensors.append(TinyCheckpoint.tensor(name, shape, values, checkpoint.element))
        }

        mutating func count(_ name: String) {
            let stored = SafetensorsBytes.Tensor(
                name: name, element: "I64", shape: [], bytes: [UInt8](repeating: 0, count: 8))
            tensors.append(Tensor(name: name, shape: [], values: nil, stored: stored))
        }

        mutating func copy(_ original: String, as name: String) {
            guard var tensor = tensors.first(where: { $0.name == original }) else { return }
            tensor.name = name
            tensor.stored.name = name
            tensors.append(tensor)
        }

        private mutating func value(isPositive: Bool) -> Float {
            var value = isPositive ? 0.5 + numbers.unit() : 2 * numbers.unit() - 1
            if !checkpoint.isFine { value = (value * 64).rounded() / 64 }
            return value
        }
    }

    static func tensor(_ name: String, _ shape: [Int], _ values: [Float], _ element: Element) -> Tensor {
        let bytes =
            switch element {
            case .f32: FloatBytes.f32(values)
            case .f16: FloatBytes.f16(values)
            case .bf16: FloatBytes.bf16(values)
            }
        return Tensor(
            name: name, shape: shape, values: values,
            stored: SafetensorsBytes.Tensor(name: name, element: element.rawValue, shape: shape, bytes: bytes))
    }

    // MARK: - config.json

    private func makeConfiguration() -> String {
        let tied = "\(statesTied ?? (head == .absent))"
        var text = [
            "hidden_size": "\(hiddenSize)", "intermediate_size": "\(intermediateSize)",
            "num_hidden_layers": "\(layerCount)", "num_attention_heads": "\(headCount)",
            "num_key_value_heads": "\(keyValueHeadCount)", "vocab_size": "\(vocabularySize)",
            "max_position_embeddings": "2048", "rms_norm_eps": "1e-06", "hidden_act": "\"silu\"",
            "use_sliding_window": "false", "sliding_window": "null",
        ]
        let width = 2 * (embedDims.last ?? 0)
        switch layout {
        case .apple:
            text["rope_theta"] = "1000000.0"
            text["model_type"] = "\"llava_qwen2\""
            text["mm_hidden_size"] = "\(width)"
            text["mm_projector_type"] = "\"mlp2x_gelu\""
            text["tie_word_embeddings"] = tied
            replace(&text)
            return Self.object(text)
        case .transformers:
            text["rope_parameters"] = "{\"rope_theta\": 1000000.0, \"rope_type\": \"default\"}"
            text["model_type"] = "\"qwen2\""
            replace(&text)
            return Self.object([
                "model_type": "\"fast_vlm\"", "projector_hidden_act": "\"gelu\"", "tie_word_embeddings": tied,
                "text_config": Self.object(text),
                "vision_config": Self.object([
                    "hidden_size": "\(width)",
                    "model_args": Self.object(["embed_dims": "\(embedDims)", "layers": "\(depths)"]),
                ]),
            ])
        }
    }

    private func replace(_ values: inout [String: String]) {
        for (key, value) in configuration { values[key] = value }
    }

    private static func object(_ members: [String: String]) -> String {
        "{" + members.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ", ") + "}"
    }
}
