import Glibc
import ModelFiles
import Testing

/// Checkpoint folders in the two public layouts.
@Suite struct CheckpointFolderTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    // MARK: - Layouts

    @Test(arguments: TinyCheckpoint.Layout.allCases, TinyCheckpoint.Element.allCases)
    func everySpellingGivesTheSameModel(layout: TinyCheckpoint.Layout, element: TinyCheckpoint.Element) throws {
        let reference = try TinyCheckpoint().open(in: folder)
        let expected = try PreparedValues(reference)
        #expect(expected.floats.values.allSatisfy { $0.contains { $0 != 0 } })
        var checkpoint = TinyCheckpoint(layout: layout, element: element)
        for prefixes in [TinyCheckpoint.Prefixes.usual, .withoutModel] {
            for shardCount in [1, 3] {
                checkpoint.prefixes = prefixes
                checkpoint.shardCount = shardCount
                let model = try checkpoint.open(in: folder, as: "\(prefixes)-\(shardCount)")
                #expect(try PreparedValues(model) == expected)
                #expect(model.configuration == reference.configuration)
                #expect(model.precision.rawValue == element.rawValue.lowercased())
            }
        }
        checkpoint.isAligned = false
        checkpoint.shardCount = 1
        let odd = try checkpoint.open(in: folder, as: "odd")
        #expect(try PreparedValues(odd) == expected)
        for name in odd.tensorNames {
            let tensor = try odd.tensor(name)
            #expect(Int(bitPattern: tensor.baseAddress).isMultiple(of: tensor.element.byteCount), "\(name)")
        }
    }

    @Test func whatTheModelDoesNotUseIsNamed() throws {
        #expect(
            try TinyCheckpoint().open(in: folder, as: "a").unusedTensors
                == ["model.vision_tower.vision_tower.model.head.proj"])
        #expect(try TinyCheckpoint(layout: .transformers).open(in: folder, as: "b").unusedTensors == [])
    }

    @Test func theConfigurationIsThatOfTheFiles() throws {
        let model = try TinyCheckpoint(layout: .transformers).open(in: folder)
        #expect(
            model.configuration
                == ModelConfiguration(
                    vision: .init(
                        embedDims: [4, 8, 16, 32, 64], depths: [1, 2, 1, 1, 1],
                        attentionStages: [false, false, false, true, true],
                        positionStages: [false, false, false, true, true], squeezeWidth: 6),
                    text: .init(
                        hiddenSize: 16, intermediateSize: 24, layerCount: 2, headCount: 4, keyValueHeadCount: 2,
                        headDim: 4, vocabularySize: 320, ropeTheta: 1e6, rmsNormEpsilon: 1e-6, maxPositions: 2048)))
        #expect(model.name == "checkpoint")
        #expect(model.resolutions == [256, 512, 768, 1024])
        #expect(model.defaultResolution == 1024)
        #expect(model.source == .folder(folder["checkpoint"]))
    }

    /// Depths, widths and the places of attention and positional convolutions come from the tensors.
    @Test(arguments: TinyCheckpoint.Layout.allCases)
    func encodersOfAnyShapeAreInferred(layout: TinyCheckpoint.Layout) throws {
        let shapes: [(dims: [Int], depths: [Int], attention: [Bool], position: [Bool])] = [
            ([8], [3], [false], [false]),
            ([32, 64], [1, 12], [true, false], [true, false]),
            ([8, 16, 32], [2, 1, 11], [false, false, true], [false, true, false]),
            (
                [2, 4, 8, 16, 32, 64], [1, 1, 1, 1, 1, 2], [false, false, false, false, true, false],
                [false, false, false, true, false, true]
            ),
        ]
        for (number, shape) in shapes.enumerated() {
            var checkpoint = TinyCheckpoint(layout: layout)
            checkpoint.embedDims = shape.dims
            checkpoint.depths = shape.depths
            checkpoint.attentionStages = shape.attention
            checkpoint.positionStages = shape.position
            checkpoint.squeezeWidth = 3 + number
            let vision = try checkpoint.open(in: folder, as: "\(number)").configuration.vision
            #expect(
                vision
                    == .init(
                        embedDims: shape.dims, depths: shape.depths, attentionStages: shape.attention,
                        positionStages: shape.position, squeezeWidth: 3 + number))
        }
    }

    // MARK: - Preparation

    /// Each order and each folding against its definition.
    @Test func tensorsAreReorderedAndFolded() throws {
        let inner = try folder.makeFolder("checkpoint")
        let stored = try TinyCheckpoint(element: .f32, isFine: true).write(to: inner).compactMapValues(\.values)
        let model = try PreparedModel.open(path: folder["checkpoint"])
        let vision = "model.vision_tower.vision_tower.model."
        func source(_ name: String) throws -> [Float] { try #require(stored[name]) }

        let stem = try source(vision + "patch_embed.0.reparam_conv.weight")
        let stemPrepared = try model.tensor("vision.stem.0.weight").floats()
        for output in 0..<4 {
            for (tap, input) in product(9, 3) {
                #expect(stemPrepared[output * 27 + tap * 3 + input] == stem[(output * 3 + input) * 9 + tap])
            }
        }
        let mixer = try source(vision + "network.2.1.token_mixer.reparam_conv.weight")
        let mixerPrepared = try model.tensor("vision.stages.1.blocks.1.mixer.weight").floats()
        for (channel, tap) in product(8, 9) {
            #expect(mixerPrepared[tap * 8 + channel] == mixer[channel * 9 + tap])
        }
        let down = try source(vision + "network.3.proj.0.lkb_reparam.weight")
        let downPrepared = try model.tensor("vision.stages.2.downsample.0.weight").floats()
        for (channel, output) in product(8, 2) {
            for tap in 0..<49 {
                #expect(
                    downPrepared[(output * 49 + tap) * 8 + channel] == down[(channel * 2 + output) * 49 + tap])
            }
        }
        let ffn = vision + "network.10.0.convffn."
        let conv = try source(ffn + "conv.conv.weight")
        let norm = try ["weight", "bias", "running_mean", "running_var"].map { try source(ffn + "conv.bn." + $0) }
        let convPrepared = try model.tensor("vision.stages.4.blocks.0.ffn.conv.weight").floats()
        let biasPrepared = try model.tensor("vision.stages.4.blocks.0.ffn.conv.bias").floats()
        for channel in 0..<64 {
            let gain = Double(norm[0][channel]) / (Double(norm[3][channel]) + 1e-5).squareRoot()
            #expect(biasPrepared[channel] == Float(Double(norm[1][channel]) - Double(norm[2][channel]) * gain))
            for tap in 0..<49 {
                #expect(convPrepared[tap * 64 + channel] == Float(Double(conv[channel * 49 + tap]) * gain))
            }
        }
        for (part, scale, prepared) in [
            ("convffn.fc2", "layer_scale_2", "ffn.fc2"), ("token_mixer.proj", "layer_scale_1", "attention.proj"),
        ] {
            let block = vision + "network.10.0."
            let name = "vision.stages.4.blocks.0." + prepared
            let gamma = try source(block + scale)
            let bias = try source(block + part + ".bias")
            #expect(try model.tensor(name + ".weight").floats() == source(block + part + ".weight"))
            #expect(try model.tensor(name + ".scale").floats() == gamma)
            #expect(try model.tensor(name + ".bias").floats() == zip(bias, gamma).map(*))
        }
        #expect(try model.tensor("projector.2.bias").floats() == source("model.mm_projector.2.bias"))
        #expect(
            try model.tensor("text.layers.1.mlp.norm.weight").floats()
                == source("model.layers.1.post_attention_layernorm.weight"))
        #expect(try model.tensor("text.layers.0.attention.k.weight").shape == [8, 16])
    }

    private func product(_ first: Int, _ second: Int) -> [(Int, Int)] {
        (0..<first).flatMap { one in (0..<second).map { (one, $0) } }
    }

    @Test(arguments: [-1, -.infinity, .nan, .infinity] as [Float])
    func aVarianceThatIsNoneIsRefused(value: Float) throws {
        var checkpoint = TinyCheckpoint(element: .f32)
        checkpoint.edit = { tensors in
            for index in tensors.indices where tensors[index].name.hasSuffix("network.4.0.convffn.conv.bn.running_var")
            {
                tensors[index].stored.bytes.replaceSubrange(4..<8, with: FloatBytes.f32([value]))
            }
        }
        #expect(try errorCode { _ = try checkpoint.open(in: folder) } == .tensorValueInvalid)
    }

    // MARK: - The output head

    @Test func aStoredHeadIsUsedWhateverTheConfigurationSays() throws {
        for statesTied in [true, false] {
            let own = try TinyCheckpoint(head: .own, statesTied: statesTied).open(in: folder, as: "own-\(statesTied)")
            #expect(!own.sharesEmbedding)
            #expect(try own.tensor("text.head.weight").floats() != own.tensor("text.embedding.weight").floats())
            let copy = try TinyCheckpoint(head: .copy, statesTied: statesTied).open(
                in: folder, as: "copy-\(statesTied)")
            #expect(copy.sharesEmbedding)
            #expect(copy.unusedTensors == ["model.vision_tower.vision_tower.model.head.proj"])
        }
    }

    @Test func anAbsentHeadIsTheEmbeddingOnlyIfTheConfigurationSaysSo() throws {
        for layout in TinyCheckpoint.Layout.allCases {
            let tied = try TinyCheckpoint(layout: layout, head: .absent).open(in: folder, as: "\(layout)-tied")
            #expect(tied.sharesEmbedding)
            #expect(tied.optionalTensor("text.head.weight") == nil)
            let lying = TinyCheckpoint(layout: layout, head: .absent, statesTied: false)
            #expect(try errorCode { _ = try lying.open(in: folder, as: "\(layout)-lying") } == .tensorMissing)
        }
    }

    @Test func aHeadThatDiffersInItsLastValueIsOwn() throws {
        var checkpoint = TinyCheckpoint(head: .copy, statesTied: true)
        checkpoint.edit = { tensors in
            let last = tensors.count - 1
            tensors[last].stored.bytes[tensors[last].stored.bytes.count - 2] ^= 1
        }
        #expect(try !checkpoint.open(in: folder).sharesEmbedding)
    }

    // MARK: - Vocabulary

    @Test func aVocabularyOfAnotherSizeThanTheEmbeddingIsRefused() throws {
        let checkpoint = TinyCheckpoint(configuration: ["vocab_size": "319"])
        #expect(try errorCode { _ = try checkpoint.open(in: folder) } == .tensorShapeMismatch)
    }

    @Test(.enabled(if: TinyTokenizer.isRead, "the tokenizer is not there yet"))
    func aTokenizerMustFitTheVocabulary() throws {
        var checkpoint = TinyCheckpoint(layout: .transformers)
        checkpoint.vocabularySize = TinyTokenizer.tokenCount
        #expect(try checkpoint.open(in: folder, as: "fits").tokenizer.tokenCount == TinyTokenizer.tokenCount)
        checkpoint.vocabularySize -= 1
        #expect(try errorCode { _ = try checkpoint.open(in: folder, as: "small") } == .vocabularyMismatch)
    }

    // MARK: - Missing and wrong tensors

    private static func isUnused(_ name: String) -> Bool {
        name.hasSuffix("head.proj") || name.hasSuffix("num_batches_tracked")
    }

    /// Writes the checkpoint once for each tensor, changed by `change`, and hands each error to `check`.
    private func forEachTensor(
        of checkpoint: TinyCheckpoint, _ change: (inout [TinyCheckpoint.Tensor], Int) -> Void,
        check: (String, ModelFileError.Code) -> Void
    ) throws {
        var tensors: [TinyCheckpoint.Tensor] = []
        var original = checkpoint
        let inner = try folder.makeFolder("changed")
        let names = try original.write(to: inner)
        original.edit = { tensors = $0 }
        try original.write(to: inner)
        #expect(tensors.count == names.count)
        for index in tensors.indices where !Self.isUnused(tensors[index].name) {
            var changed = tensors
            change(&changed, index)
            try inner.write(SafetensorsBytes.file(changed.map(\.stored)), to: "model.safetensors")
            check(tensors[index].name, try errorCode { _ = try PreparedModel.open(path: inner.path) })
        }
    }

    @Test(arguments: TinyCheckpoint.Layout.allCases)
    func everyMissingTensorIsNoticed(layout: TinyCheckpoint.Layout) throws {
        try forEachTensor(of: TinyCheckpoint(layout: layout)) { tensors, index in
            tensors.remove(at: index)
        } check: { name, code in
            #expect(code == .tensorMissing, "\(name)")
        }
    }

    @Test(arguments: TinyCheckpoint.Layout.allCases)
    func everyWrongShapeIsNoticed(layout: TinyCheckpoint.Layout) throws {
        try forEachTensor(of: TinyCheckpoint(layout: layout)) { tensors, index in
            tensors[index].stored.shape.insert(1, at: 0)
        } check: { name, code in
            #expect(code == .tensorShapeMismatch, "\(name)")
        }
    }

    @Test func everyTensorOfIntegersIsNoticed() throws {
        try forEachTensor(of: TinyCheckpoint(element: .f32)) { tensors, index in
            tensors[index].stored.element = "I32"
        } check: { name, code in
            #expect(code == .tensorElementMismatch, "\(name)")
        }
    }

    @Test func checkpointsOfAnotherLayoutThanStatedAreRefused() throws {
        let checkpoint = TinyCheckpoint(configuration: ["model_type": "\"fast_vlm\"", "text_config": "{}"])
        #expect(try errorCode { _ = try checkpoint.open(in: folder, as: "a") } == .configurationInvalid)
        var renamed = TinyCheckpoint()
        renamed.edit = { tensors in
            for index in tensors.indices { tensors[index].stored.name = "x." + tensors[index].name }
        }
        #expect(try errorCode { _ = try renamed.open(in: folder, as: "b") } == .layoutUnknown)
    }

    // MARK: - The folder

    @Test func theDigestFollowsTheContent() throws {
        let digest = try TinyCheckpoint().open(in: folder, as: "a").digest
        #expect(digest.hasPrefix("headers-sha256:"))
        #expect(digest.utf8.count == "headers-sha256:".utf8.count + 64)
        #expect(try TinyCheckpoint().open(in: folder, as: "b").digest == digest)
        #expect(try TinyCheckpoint(seed: 2).open(in: folder, as: "c").digest != digest)
        #expect(try TinyCheckpoint(element: .f32).open(in: folder, as: "d").digest != digest)
        #expect(try TinyCheckpoint(configuration: ["rope_theta": "1000001"]).open(in: folder, as: "e").digest != digest)
        var changed = TinyCheckpoint()
        changed.edit = { $0[$0.count - 1].stored.bytes[0] ^= 1 }
        #expect(try changed.open(in: folder, as: "f").digest != digest)
    }

    @Test func foldersWithoutTheirFilesAreRefused() throws {
        #expect(try errorCode { _ = try PreparedModel.open(path: folder.path) } == .fileNotFound)
        #expect(try errorCode { _ = try PreparedModel.open(path: folder["none"]) } == .fileNotFound)
        let inner = try folder.makeFolder("checkpoint")
        try TinyCheckpoint().write(to: inner)
        unlink(inner["model.safetensors"])
        #expect(try errorCode { _ = try PreparedModel.open(path: inner.path) } == .fileNotFound)
        mkfifo(inner["model.safetensors"], 0o600)
        #expect(try errorCode { _ = try PreparedModel.open(path: inner.path) } == .notARegularFile)
    }

    @Test func theLicenceInTheFolderIsKept() throws {
        let inner = try folder.makeFolder("checkpoint")
        try TinyCheckpoint().write(to: inner)
        #expect(try PreparedModel.open(path: inner.path).identity.licenceText == nil)
        try inner.write("Code.", to: "LICENSE")
        #expect(try PreparedModel.open(path: inner.path).identity.licenceText == "Code.")
        try inner.write("Research only.", to: "LICENSE_MODEL")
        #expect(try PreparedModel.open(path: inner.path).identity.licenceText == "Research only.")
    }
}
