import Glibc
import ModelFiles
import Testing

/// What packing keeps, and what the file looks like.
@Suite struct PackedModelTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func pack(
        _ model: PreparedModel, _ precision: ModelPrecision, as name: String = "model.fastvlm",
        identity: ModelIdentity? = nil
    ) throws -> PreparedModel {
        try PackedModel.write(from: model, to: folder[name], precision: precision, identity: identity)
        return try PreparedModel.open(path: folder[name])
    }

    // MARK: - Memory

    /// What is copied at the start is not kept in memory a second time.
    @Test func whatWasReadIsGivenBackAndReadAgain() throws {
        let model = try pack(TinyCheckpoint().open(in: folder), .bf16)
        let path = folder["model.fastvlm"]
        let values = try PreparedValues(model)
        #expect(try residentBytes(path) > 0)
        model.releaseReadPages()
        #expect(try residentBytes(path) == 0)
        #expect(try PreparedValues(model) == values)
        #expect(try withExtendedLifetime(model) { try residentBytes(path) } > 0)
    }

    /// Bytes of the file at `path` that lie in this process's memory.
    private func residentBytes(_ path: String) throws -> Int {
        let file = try #require(fopen("/proc/self/smaps", "r"))
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 8192)
        var isMapping = false
        var bytes = 0
        while fgets(&line, Int32(line.count), file) != nil {
            let fields = String(cString: line).split { $0 == " " || $0 == "\n" }
            if fields.count > 4, fields[0].contains("-") { isMapping = fields.last.map(String.init) == path }
            if isMapping, fields.first == "Rss:" { bytes += (Int(fields[1]) ?? 0) * 1024 }
        }
        return bytes
    }

    // MARK: - Values

    @Test(arguments: TinyCheckpoint.Layout.allCases, TinyCheckpoint.Element.allCases)
    func float32FoldsTheLayerScalesAndKeepsTheRest(
        layout: TinyCheckpoint.Layout, element: TinyCheckpoint.Element
    ) throws {
        var checkpoint = TinyCheckpoint(layout: layout, element: element)
        checkpoint.isFine = element == .f32
        let source = try checkpoint.open(in: folder)
        let packed = try pack(source, .f32)
        var expected = try PreparedValues(source)
        var foldCount = 0
        for name in source.tensorNames where name.hasSuffix(".scale") {
            let matrix = String(name.dropLast(5)) + "weight"
            let scale = try #require(expected.floats[name])
            expected.floats[name] = nil
            expected.shapes[name] = nil
            let columns = try #require(expected.shapes[matrix]?.last)
            let values = try #require(expected.floats[matrix])
            expected.floats[matrix] = values.indices.map { values[$0] * scale[$0 / columns] }
            foldCount += 1
        }
        #expect(foldCount == 8)
        #expect(try PreparedValues(packed) == expected)
        #expect(try packed.tensorNames.allSatisfy { try packed.tensor($0).element == .f32 })
        #expect(packed.precision == .f32)
    }

    @Test(arguments: TinyCheckpoint.Layout.allCases)
    func bfloat16KeepsWhatWasStoredSo(layout: TinyCheckpoint.Layout) throws {
        let source = try TinyCheckpoint(layout: layout, element: .bf16).open(in: folder)
        let packed = try pack(source, .bf16)
        #expect(try PreparedValues(packed) == PreparedValues(source))
        for name in packed.tensorNames {
            #expect(try packed.tensor(name).element == source.tensor(name).element, "\(name)")
        }
        #expect(packed.precision == .bf16)
    }

    /// Matrices become the nearest bfloat16, ties to even; everything else keeps all its bits.
    @Test func bfloat16RoundsTheMatricesOfFloat32() throws {
        let source = try TinyCheckpoint(element: .f32, isFine: true).open(in: folder)
        let packed = try pack(source, .bf16)
        #expect(packed.tensorNames == source.tensorNames)
        var roundedCount = 0
        for name in source.tensorNames {
            let before = try source.tensor(name).floats()
            let after = try packed.tensor(name)
            guard after.element == .bf16 else {
                #expect(try after.floats() == before, "\(name)")
                continue
            }
            roundedCount += 1
            for (value, rounded) in zip(before, try after.floats()) {
                let below = Float(bitPattern: value.bitPattern & 0xFFFF_0000)
                let above = Float(bitPattern: below.bitPattern + 0x1_0000)
                let (down, up) = ((value - below).magnitude, (above - value).magnitude)
                let isEven = below.bitPattern & 0x1_0000 == 0
                let nearest = down < up || (down == up && isEven) ? below : above
                #expect(rounded == nearest, "\(name): \(value)")
            }
        }
        // Every matrix, none of the vectors and convolutions.
        #expect(roundedCount == source.tensorNames.count { $0.hasSuffix(".weight") && isMatrix($0) })
    }

    private func isMatrix(_ name: String) -> Bool {
        ![
            "norm.weight", "mixer.weight", "ffn.conv.weight", "final.conv.weight", "position.weight",
            "downsample.0.weight",
        ]
        .contains { name.hasSuffix($0) } && !name.hasPrefix("vision.stem.0") && !name.hasPrefix("vision.stem.1")
    }

    @Test func tiesGoToTheEvenNeighbour() throws {
        var checkpoint = TinyCheckpoint(element: .f32)
        let ties: [Float] = [0x1.01p0, 0x1.03p0, -0x1.01p0, -0x1.03p0, 0x1.010002p0, 0, -0.0]
        checkpoint.edit = { tensors in
            for place in tensors.indices where tensors[place].name == "lm_head.weight" {
                tensors[place].stored.bytes.replaceSubrange(0..<28, with: FloatBytes.f32(ties))
            }
        }
        let packed = try pack(checkpoint.open(in: folder), .bf16)
        let head = try packed.tensor("text.head.weight").floats()
        #expect(
            Array(head.prefix(7)).map(\.bitPattern)
                == [1, 0x1.04p0, -1, -0x1.04p0, 0x1.02p0, 0, -0.0 as Float].map(\.bitPattern))
    }

    @Test func packingAPackedModelIsPackingItsSource() throws {
        let source = try TinyCheckpoint().open(in: folder)
        let half = try pack(source, .bf16, as: "half.fastvlm")
        let direct = try pack(source, .f32, as: "direct.fastvlm")
        #expect(try PreparedValues(pack(half, .f32, as: "twice.fastvlm")) == PreparedValues(direct))
        // What is folded stays folded.
        let back = try pack(direct, .bf16, as: "back.fastvlm")
        #expect(back.tensorNames == direct.tensorNames)
        #expect(try back.tensor("text.head.weight").floats() == source.tensor("text.head.weight").floats())
    }

    @Test func theSameModelGivesTheSameBytes() throws {
        let source = try TinyCheckpoint().open(in: folder)
        let first = try pack(source, .bf16, as: "a.fastvlm")
        let second = try pack(source, .bf16, as: "b.fastvlm")
        #expect(first.digest == second.digest)
        #expect(try folder.read("a.fastvlm") == folder.read("b.fastvlm"))
        #expect(try pack(source, .f32, as: "c.fastvlm").digest != first.digest)
        let other = try TinyCheckpoint(seed: 2).open(in: folder, as: "other")
        #expect(try pack(other, .bf16, as: "d.fastvlm").digest != first.digest)
    }

    // MARK: - What else it carries

    @Test(arguments: TinyCheckpoint.Head.allCases)
    func theHeadIsStoredOnlyIfItIsOwn(head: TinyCheckpoint.Head) throws {
        let packed = try pack(TinyCheckpoint(head: head).open(in: folder), .bf16)
        #expect(packed.sharesEmbedding == (head != .own))
        #expect(try SafetensorsFile(path: folder["model.fastvlm"]).contains("text.head.weight") == (head == .own))
    }

    @Test func configurationAndIdentityAreKept() throws {
        let inner = try folder.makeFolder("My Model")
        try TinyCheckpoint().write(to: inner)
        try inner.write("Research only.\n\"Quoted\" \\ \u{1}é", to: "LICENSE")
        let source = try PreparedModel.open(path: inner.path)
        let packed = try pack(source, .f32)
        #expect(packed.configuration == source.configuration)
        #expect(packed.identity == source.identity)
        #expect(packed.name == "My Model")
        #expect(packed.identity.licenceText == "Research only.\n\"Quoted\" \\ \u{1}é")
        #expect(packed.source == .packedFile(folder["model.fastvlm"]))
        #expect(packed.unusedTensors == [])
        #expect(packed.tokenizer.tokenCount == source.tokenizer.tokenCount)
        #expect(packed.tokenizer.compactBytes() == source.tokenizer.compactBytes())
    }

    @Test func theIdentityCanBeGiven() throws {
        let identity = ModelIdentity(
            name: "Tiny gate", resolutions: [64, 128], defaultResolution: 64, licence: "CC0-1.0", licenceText: "Free.")
        let packed = try pack(TinyCheckpoint().open(in: folder), .f32, identity: identity)
        #expect(packed.identity == identity)
        #expect(packed.name == "Tiny gate")
        #expect(packed.resolutions == [64, 128])
        #expect(packed.defaultResolution == 64)
        #expect(packed.licence == "CC0-1.0")
    }

    @Test func whereItWasFetchedFromIsKept() throws {
        var identity = ModelIdentity(name: "Tiny gate", resolutions: [64])
        identity.origin = ModelOrigin(
            source: "https://hub.example/a/b", revision: String(repeating: "0", count: 40), licenceAccepted: true,
            files: [
                ModelOrigin.File(
                    name: "config.json", byteCount: 3, sha256: String(repeating: "a", count: 64), checkedBy: "size")
            ])
        #expect(try pack(TinyCheckpoint().open(in: folder), .f32, identity: identity).identity == identity)
        #expect(try PackedModel.describe(path: folder["model.fastvlm"]).origin == identity.origin)
    }

    @Test func theAccuracyAtEachResolutionIsKeptAndChecked() throws {
        var identity = ModelIdentity(name: "Tiny gate", resolutions: [64, 128])
        identity.accuracy = [
            ResolutionAccuracy(pixels: 64, general: 40, text: 10.5),
            ResolutionAccuracy(pixels: 128, general: 50, presence: 60),
        ]
        let source = try TinyCheckpoint().open(in: folder)
        #expect(try pack(source, .f32, identity: identity).identity.accuracy == identity.accuracy)

        func refusal(_ change: (inout [ResolutionAccuracy]) -> Void) -> String? {
            var changed = identity
            change(&changed.accuracy!)
            return #expect(throws: ModelFileError.self) {
                try pack(source, .f32, as: "refused.fastvlm", identity: changed)
            }?
            .message
        }
        #expect(refusal { $0.removeLast() }?.contains("[64]") == true)
        #expect(refusal { $0[1].pixels = 64 }?.contains("[64, 64]") == true)
        #expect(refusal { $0[0].text = -1 }?.contains("'text' at 64") == true)
        #expect(refusal { $0[1].general = .infinity }?.contains("'general' at 128") == true)

        // Pictures in tiles come after the others, and each tile has one of their sizes.
        let tiled = ResolutionAccuracy(pixels: 256, tiles: 2, general: 55)
        identity.accuracy?.append(tiled)
        let packed = try pack(source, .f32, as: "tiled.fastvlm", identity: identity)
        #expect(packed.identity.accuracy == identity.accuracy && packed.resolutions == [64, 128])
        #expect(refusal { $0[2].pixels = 192 }?.contains("2 x 2 tiles of 192 pixels") == true)
        #expect(refusal { $0[2].pixels = 129 }?.contains("129 pixels") == true)
        #expect(refusal { $0[2].tiles = 1 }?.contains("expected 2 to 4") == true)
        #expect(refusal { $0[2].tiles = -1 }?.contains("expected 2 to 4") == true)
        #expect(refusal { $0.append(tiled) }?.contains("twice") == true)
        #expect(refusal { $0[2].tiles = nil }?.contains("[64, 128, 256]") == true)
    }

    // MARK: - The format

    @Test func itIsAStrictSafetensorsFileWithAlignedTensors() throws {
        let source = try TinyCheckpoint(layout: .transformers).open(in: folder)
        for precision in [ModelPrecision.f32, .bf16] {
            let packed = try pack(source, precision, as: "\(precision).fastvlm")
            let file = try SafetensorsFile(path: folder["\(precision).fastvlm"])
            #expect(file.metadata["format"] == "fastvlm.model")
            #expect(file.metadata["version"] == "1.0")
            #expect(file.metadata["digest"] == packed.digest)
            #expect(file.metadata["precision"] == precision.rawValue)
            #expect(file.metadata["source_digest"] == source.digest)
            #expect(file.metadata["source_name"] == "checkpoint")
            let pads = file.names.filter { $0.hasPrefix("__pad.") }
            #expect(Set(file.names) == Set(packed.tensorNames + pads + ["tokenizer"]))
            #expect(!pads.isEmpty)
            for name in file.names {
                let tensor = try file.tensor(name)
                if pads.contains(name) {
                    #expect(tensor.element == .u8 && tensor.byteCount < 64)
                    #expect(tensor.withUnsafeBytes { $0.allSatisfy { $0 == 0 } })
                } else {
                    // Mappings start at a page.
                    #expect(Int(bitPattern: tensor.baseAddress).isMultiple(of: 64), "\(name)")
                }
            }
        }
    }

    @Test func theSummaryIsTrue() throws {
        let source = try TinyCheckpoint().open(in: folder)
        let path = folder["model.fastvlm"]
        let summary = try PackedModel.write(from: source, to: path, precision: .bf16)
        #expect(summary.path == path)
        #expect(summary.precision == .bf16)
        #expect(try summary.byteCount == folder.read("model.fastvlm").count)
        #expect(try summary.digest == PreparedModel.open(path: path).digest)
        #expect(try PackedModel.verify(path: path) == summary)
    }

    @Test func descriptionsTellEverything() throws {
        let checkpoint = TinyCheckpoint(layout: .transformers)
        let inner = try folder.makeFolder("checkpoint")
        let stored = try checkpoint.write(to: inner)
        let source = try PreparedModel.open(path: inner.path)
        let packed = try pack(source, .f32)
        let ofFolder = try PackedModel.describe(path: inner.path)
        let ofFile = try PackedModel.describe(path: folder["model.fastvlm"])
        #expect(ofFolder.form == .folder)
        #expect(ofFile.form == .packedFile)
        #expect(ofFile.name == "checkpoint")
        #expect(ofFile.digest == packed.digest)
        #expect(ofFile.formatVersion == "1.0")
        #expect(ofFile.sourceName == "checkpoint")
        #expect(ofFile.sourceDigest == source.digest)
        #expect(ofFolder.sourceDigest == nil)
        #expect(try ofFile.byteCount == folder.read("model.fastvlm").count)
        #expect(try ofFolder.byteCount == inner.read("model.safetensors").count)
        #expect(ofFile.tensors.map(\.name) == packed.tensorNames)
        #expect(ofFile.configuration == source.configuration)
        #expect(ofFile.resolutions.map(\.visualTokens) == [16, 64, 144, 256])
        #expect(ofFile.tokenCount == source.tokenizer.tokenCount)
        #expect(ofFile.precision == .f32)
        #expect(ofFolder.precision == .bf16)

        // The stored weights, BatchNorm's four vectors counted as the one bias that they leave.
        func count(_ prefix: String) -> Int {
            stored.values.filter { tensor in
                tensor.name.hasPrefix(prefix)
                    && !["bn.weight", "bn.running_mean", "bn.running_var", "num_batches_tracked"].contains {
                        tensor.name.hasSuffix($0)
                    }
            }.reduce(0) { $0 + ($1.values?.count ?? 0) }
        }
        for description in [ofFolder, ofFile] {
            #expect(description.parameters.vision == count(checkpoint.visionPrefix))
            #expect(description.parameters.projector == count(checkpoint.projectorPrefix))
            #expect(description.parameters.text == count(checkpoint.textPrefix) + count("lm_head."))
            let parts = description.parameters
            #expect(parts.total == parts.vision + parts.projector + parts.text)
        }
        #expect(try ofFile.json().contains("\"default_resolution\":1024"))
    }
}
