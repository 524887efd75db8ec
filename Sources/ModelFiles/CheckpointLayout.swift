/// The tensor names of the two public layouts, verbatim: nothing else in the project spells them.
///
/// Sources: apple/ml-fastvlm `mci.py` and its `llava_qwen2` checkpoints; `transformers` `fast_vlm` with timm's
/// `fastvit_mci3`.
struct CheckpointLayout: Sendable {
    enum Family: String, Sendable, Codable {
        /// `llava_qwen2`, as Apple publishes it.
        case apple = "llava_qwen2"
        /// `fast_vlm`, as transformers 5 saves it.
        case transformers = "fast_vlm"
    }

    /// A tensor that every checkpoint of a layout has, with the prefixes it was seen under, the usual one first.
    private struct Anchor {
        let prefixes: [String]
        let rest: String

        func prefix(in files: CheckpointFiles) throws(ModelFileError) -> String {
            if let found = prefixes.first(where: { files.contains($0 + rest) }) { return found }
            throw ModelFileError(
                .tensorMissing,
                "Cannot load tensor '\(prefixes[0] + rest)' from '\(files.directory)': it is not there. "
                    + "Fetch the checkpoint again.")
        }

        func isPresent(in files: CheckpointFiles) -> Bool {
            prefixes.contains { files.contains($0 + rest) }
        }
    }

    private struct Anchors {
        let vision: Anchor
        let projector: Anchor
        let text: Anchor
        let head: [String]

        static let apple = Anchors(
            vision: Anchor(
                prefixes: ["model.vision_tower.vision_tower.model.", "vision_tower.vision_tower.model."],
                rest: "patch_embed.0.reparam_conv.weight"),
            projector: Anchor(prefixes: ["model.mm_projector.", "mm_projector."], rest: "0.weight"),
            text: Anchor(prefixes: ["model.", ""], rest: "embed_tokens.weight"),
            head: ["lm_head.weight"])

        // Saves older than transformers 5 lack the leading `model.`, or have it after `language_model.`.
        static let transformers = Anchors(
            vision: Anchor(
                prefixes: ["model.vision_tower.timm_model.", "vision_tower.timm_model."],
                rest: "stem.0.reparam_conv.weight"),
            projector: Anchor(
                prefixes: ["model.multi_modal_projector.", "multi_modal_projector."], rest: "linear_1.weight"),
            text: Anchor(
                prefixes: ["model.language_model.", "language_model.model.", "language_model."],
                rest: "embed_tokens.weight"),
            head: ["lm_head.weight", "language_model.lm_head.weight"])

        var all: [Anchor] { [vision, projector, text] }
    }

    let family: Family
    let visionPrefix: String
    let projectorPrefix: String
    let textPrefix: String

    /// The output head's name, if it is stored.
    let storedHead: String?

    /// Finds which spelling of `family`'s names the checkpoint uses.
    ///
    /// - Throws: `layoutUnknown` if the names belong to neither this layout nor any spelling of it; `tensorMissing`.
    init(family: Family, files: CheckpointFiles) throws(ModelFileError) {
        let anchors: Anchors = family == .apple ? .apple : .transformers
        guard anchors.all.contains(where: { $0.isPresent(in: files) }) else {
            throw ModelFileError(
                .layoutUnknown,
                "Cannot open the checkpoint '\(files.directory)': its configuration says '\(family.rawValue)', but "
                    + "none of that layout's tensors is there (for example "
                    + "'\(anchors.vision.prefixes[0] + anchors.vision.rest)').")
        }
        self.family = family
        visionPrefix = try anchors.vision.prefix(in: files)
        projectorPrefix = try anchors.projector.prefix(in: files)
        textPrefix = try anchors.text.prefix(in: files)
        storedHead = anchors.head.first { files.contains($0) }
    }

    /// The name before `.weight` and `.bias` in the checkpoint, given where the encoder's stages are.
    ///
    /// For a ConvFFN's convolution it is the name before `.conv.weight` and `.bn.…`.
    func storedName(of part: ModelPart, in vision: ModelConfiguration.Vision) -> String {
        let isApple = family == .apple
        switch part {
        case .stem(let step):
            return visionPrefix + (isApple ? "patch_embed" : "stem") + ".\(step).reparam_conv"
        case .downsample(let stage, let step):
            let place = isApple ? "network.\(networkIndex(stage, in: vision).downsample)" : "stages.\(stage).downsample"
            return visionPrefix + place + (isApple && step == 0 ? ".proj.0.lkb_reparam" : ".proj.\(step).reparam_conv")
        case .position(let stage):
            let place = isApple ? "network.\(networkIndex(stage, in: vision).position)" : "stages.\(stage).pos_emb"
            return visionPrefix + place + ".reparam_conv"
        case .block(let stage, let index, let part):
            return blockName(stage: stage, index: index, in: vision) + "." + storedName(of: part)
        case .finalConv:
            return visionPrefix + (isApple ? "conv_exp" : "final_conv") + ".reparam_conv"
        case .squeezeReduce:
            return visionPrefix + (isApple ? "conv_exp.se.reduce" : "final_conv.se.fc1")
        case .squeezeExpand:
            return visionPrefix + (isApple ? "conv_exp.se.expand" : "final_conv.se.fc2")
        case .projector(let step):
            return projectorPrefix + (isApple ? "\(step)" : "linear_\(step == 0 ? 1 : 2)")
        case .embedding:
            return textPrefix + "embed_tokens"
        case .layer(let index, let part):
            return textPrefix + "layers.\(index)." + storedName(of: part)
        case .norm:
            return textPrefix + "norm"
        case .head:
            return storedHead.map { String($0.dropLast(".weight".count)) } ?? "lm_head"
        }
    }

    /// The name of the layer scale after an attention's or a ConvFFN's last product.
    func storedScaleName(stage: Int, index: Int, _ part: ModelPart.BlockPart, in vision: ModelConfiguration.Vision)
        -> String
    {
        // A RepMixer block has one scale, an attention block one for each half.
        let number = vision.attentionStages[stage] ? (part == .attentionProjection ? "_1" : "_2") : ""
        return blockName(stage: stage, index: index, in: vision) + ".layer_scale" + number
            + (family == .apple ? "" : ".gamma")
    }

    // MARK: - Encoder

    private func blockName(stage: Int, index: Int, in vision: ModelConfiguration.Vision) -> String {
        visionPrefix
            + (family == .apple
                ? "network.\(networkIndex(stage, in: vision).blocks).\(index)" : "stages.\(stage).blocks.\(index)")
    }

    private func storedName(of part: ModelPart.BlockPart) -> String {
        let ffn = family == .apple ? "convffn" : "mlp"
        return switch part {
        case .mixer: "token_mixer.reparam_conv"
        case .attentionNorm: "norm"
        case .attentionQKV: "token_mixer.qkv"
        case .attentionProjection: "token_mixer.proj"
        case .ffnConv: ffn + ".conv"
        case .ffnExpand: ffn + ".fc1"
        case .ffnContract: ffn + ".fc2"
        }
    }

    /// Apple's `network` is one flat list: before each stage but the first a downsampling, then, where the stage
    /// has one, a positional convolution, then the stage's blocks.
    private func networkIndex(
        _ stage: Int, in vision: ModelConfiguration.Vision
    ) -> (downsample: Int, position: Int, blocks: Int) {
        var next = 0
        for earlier in 0..<stage {
            next += (earlier > 0 ? 1 : 0) + (vision.positionStages[earlier] ? 1 : 0) + 1
        }
        let position = next + (stage > 0 ? 1 : 0)
        return (next, position, position + (vision.positionStages[stage] ? 1 : 0))
    }

    // MARK: - Decoder

    private func storedName(of part: ModelPart.LayerPart) -> String {
        switch part {
        case .attentionNorm: "input_layernorm"
        case .query: "self_attn.q_proj"
        case .key: "self_attn.k_proj"
        case .value: "self_attn.v_proj"
        case .attentionOutput: "self_attn.o_proj"
        case .mlpNorm: "post_attention_layernorm"
        case .gate: "mlp.gate_proj"
        case .up: "mlp.up_proj"
        case .down: "mlp.down_proj"
        }
    }
}
