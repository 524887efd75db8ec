import ModelFiles
import Testing

/// Packed files that are damaged, foreign, newer, or lie.
@Suite struct PackedModelDamageTests {
    let folder: TemporaryFolder
    let original: [UInt8]

    init() throws {
        folder = try TemporaryFolder()
        var checkpoint = TinyCheckpoint(head: .absent)
        checkpoint.embedDims = [8, 16, 32]
        checkpoint.depths = [1, 1, 1]
        checkpoint.attentionStages = [false, false, true]
        checkpoint.positionStages = [false, false, true]
        checkpoint.layerCount = 1
        let model = try checkpoint.open(in: folder)
        try PackedModel.write(from: model, to: folder["model.fastvlm"], precision: .bf16)
        original = try folder.read("model.fastvlm")
    }

    private var headerLength: Int { original.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) } }
    private var header: String { String(decoding: original[8..<(8 + headerLength)], as: UTF8.self) }
    private var path: String { folder["changed.fastvlm"] }

    private func write(_ bytes: [UInt8]) throws {
        try folder.write(bytes, to: "changed.fastvlm")
    }

    private func openCode(_ bytes: [UInt8]) throws -> ModelFileError.Code {
        try write(bytes)
        return try errorCode { _ = try PreparedModel.open(path: path) }
    }

    /// The file with each `old` in its header replaced by `new`, and the header padded anew.
    private func replacing(_ old: String, _ new: String) throws -> [UInt8] {
        let parts = header.split(separator: old, omittingEmptySubsequences: false)
        try #require(parts.count > 1, "\(old)")
        var changed = parts.joined(separator: new)
        while let last = changed.last, last == " " { changed.removeLast() }
        while !(8 + changed.utf8.count).isMultiple(of: 64) { changed += " " }
        return SafetensorsBytes.file(header: changed, data: Array(original[(8 + headerLength)...]))
    }

    @Test func theOriginalIsWhole() throws {
        try write(original)
        #expect(try PackedModel.verify(path: path).digest == PreparedModel.open(path: path).digest)
        // Replacing nothing changes nothing: the tests below change only what they say.
        #expect(try replacing("bf16", "bf16") == original)
    }

    /// A flipped bit anywhere is found, after the preamble by the digest.
    @Test func everyFlippedBitIsFound() throws {
        let dataStart = 8 + headerLength
        var changed = original
        let places =
            Array(0..<160) + Array(stride(from: 160, to: dataStart, by: 131))
            + Array(stride(from: dataStart, to: original.count, by: 4_099)) + [original.count - 1]
        for (step, place) in places.enumerated() {
            changed[place] ^= 1 << (step % 8)
            try write(changed)
            let code = try errorCode { try PackedModel.verify(path: path) }
            if place >= 160 { #expect(code == .digestMismatch, "byte \(place)") }
            changed[place] = original[place]
        }
    }

    @Test func openingReadsTheDigestButDoesNotCheckIt() throws {
        var changed = original
        changed[8 + headerLength] ^= 1
        try write(changed)
        #expect(try PreparedModel.open(path: path).digest == PreparedModel.open(path: folder["model.fastvlm"]).digest)
    }

    @Test func everyTruncationIsRefused() throws {
        let places = Array(0..<200) + Array(stride(from: 200, to: original.count, by: 1_009)) + [original.count - 1]
        for count in places {
            try write(Array(original.prefix(count)))
            let opened = try errorCode { _ = try PreparedModel.open(path: path) }
            #expect(
                opened == .truncated || opened == .notAPackedModel || opened == .packedMetadataInvalid, "\(count) bytes"
            )
            if count > 200 { #expect(opened == .truncated, "\(count) bytes") }
            let verified = try errorCode { try PackedModel.verify(path: path) }
            #expect(verified == .digestMismatch || (count < 200 && verified == opened), "\(count) bytes")
        }
        #expect(try openCode(original + [0]) == .hole)
    }

    @Test func otherFilesAreNotPackedModels() throws {
        #expect(try openCode(Array("GIF89a, or anything else".utf8)) == .notAPackedModel)
        #expect(try openCode([UInt8](repeating: 0, count: 100)) == .notAPackedModel)
        #expect(try openCode([1, 2, 3]) == .notAPackedModel)
        #expect(try openCode(SafetensorsBytes.file([])) == .notAPackedModel)
        #expect(try openCode(folder.makeFolder("x").path.utf8.map { $0 }) == .notAPackedModel)
        #expect(
            try errorCode { _ = try PreparedModel.open(path: folder["checkpoint/model.safetensors"]) }
                == .notAPackedModel)
    }

    // MARK: - Versions

    @Test func aNewerMajorVersionIsRefusedWhateverItHolds() throws {
        for file in [
            try replacing("\"version\":\"1.0\"", "\"version\":\"2.0\""),
            SafetensorsBytes.file(header: "{\"__metadata__\":{\"format\":\"fastvlm.model\",\"version\":\"17.3\",new"),
        ] {
            try write(file)
            let error = #expect(throws: ModelFileError.self) { try PreparedModel.open(path: path) }
            #expect(error?.code == .newerVersion)
            #expect(error?.message.contains("this program reads 1.x") == true)
            #expect(error?.message.contains("Update fastvlm") == true)
        }
    }

    @Test func aNewerMinorVersionIsReadAndItsAdditionsIgnored() throws {
        let size = original.count - 8 - headerLength
        let padding = (64 - size % 64) % 64
        var changed = try replacing("\"version\":\"1.0\"", "\"version\":\"1.17\"")
        try write(changed)
        #expect(try PreparedModel.open(path: path).unusedTensors == [])
        let addition =
            ",\"__pad.last\":{\"dtype\":\"U8\",\"shape\":[\(padding)],\"data_offsets\":[\(size),\(size + padding)]},"
            + "\"speech.weight\":{\"dtype\":\"I8\",\"shape\":[3],\"data_offsets\":[\(size + padding),\(size + padding + 3)]}}"
        changed = try replacing("]}}", "]}" + addition) + [UInt8](repeating: 0, count: padding + 3)
        try write(changed)
        #expect(try PreparedModel.open(path: path).unusedTensors == ["speech.weight"])
        try write(replacing("\"precision\":", "\"mood\":\"good\",\"precision\":"))
        #expect(try PreparedModel.open(path: path).precision == .bf16)
        try write(replacing("{\\\"text\\\":", "{\\\"audio\\\":{\\\"a\\\":1},\\\"text\\\":"))
        #expect(try PreparedModel.open(path: path).precision == .bf16)
    }

    @Test(arguments: ["0.9", "1", "1.", ".0", "1.x", "", "x.0", "00012.0", "-1.0", "+1.0", "1.00000"])
    func aVersionThatIsNoneIsRefused(version: String) throws {
        let code = try openCode(replacing("\"version\":\"1.0\"", "\"version\":\"\(version)\""))
        #expect(code == .packedMetadataInvalid)
    }

    @Test func anUnknownPrecisionIsRefusedByName() throws {
        for name in ["fp3", "int2", ""] {
            try write(replacing("\"precision\":\"bf16\"", "\"precision\":\"\(name)\""))
            let error = #expect(throws: ModelFileError.self) { try PreparedModel.open(path: path) }
            #expect(error?.code == .newerVersion)
            #expect(error?.message.contains("'\(name)'") == true)
        }
    }

    // MARK: - Lies

    @Test(arguments: [
        ("\"configuration\":", "\"konfiguration\":"), ("\"identity\":", "\"id\":"), ("\"precision\":", "\"p\":"),
        ("\"source_digest\":", "\"s\":"), ("\"source_name\":", "\"s\":"),
        ("{\\\"text\\\":", "{\\\"Text\\\":"), ("\"configuration\":\"{", "\"configuration\":\"["),
        ("\\\"hidden_size\\\":16", "\\\"hidden_size\\\":\\\"16\\\""),
        ("\\\"name\\\":\\\"checkpoint\\\"", "\\\"name\\\":\\\"\\\""),
        ("\\\"default_resolution\\\":1024", "\\\"default_resolution\\\":1000"),
        ("\\\"resolutions\\\":[256,512", "\\\"resolutions\\\":[512,256"),
        ("\\\"resolutions\\\":[256,", "\\\"resolutions\\\":[1,"),
        ("\"digest\":\"sha256:", "\"digest\":\"sha512:"), (",\"digest\":", ",\"Digest\":"),
    ])
    func metadataThatDoesNotHoldIsRefused(old: String, new: String) throws {
        #expect(try openCode(replacing(old, new)) == .packedMetadataInvalid)
    }

    @Test func aConfigurationThatDoesNotFitTheTensorsIsRefused() throws {
        for (old, new, code) in [
            ("\\\"hidden_size\\\":16", "\\\"hidden_size\\\":20", ModelFileError.Code.tensorShapeMismatch),
            ("\\\"vocabulary_size\\\":320", "\\\"vocabulary_size\\\":321", .tensorShapeMismatch),
            ("\\\"layer_count\\\":1", "\\\"layer_count\\\":2", .tensorMissing),
            ("\\\"layer_count\\\":1", "\\\"layer_count\\\":99999", .configurationInvalid),
            ("\\\"hidden_size\\\":16", "\\\"hidden_size\\\":9223372036854775807", .configurationInvalid),
            ("\\\"embed_dims\\\":[8,16,32]", "\\\"embed_dims\\\":[8,16,31]", .configurationInvalid),
            ("\\\"embed_dims\\\":[8,16,32]", "\\\"embed_dims\\\":[]", .configurationInvalid),
            ("\\\"depths\\\":[1,1,1]", "\\\"depths\\\":[1,1]", .configurationInvalid),
            ("\\\"depths\\\":[1,1,1]", "\\\"depths\\\":[1,1,2]", .tensorMissing),
        ] {
            #expect(try openCode(replacing(old, new)) == code, "\(new)")
        }
    }

    /// A list of them all would take a thousand times the header's bytes.
    @Test(arguments: [
        ("\\\"layer_count\\\":1", "\\\"layer_count\\\":1024"),
        ("\\\"depths\\\":[1,1,1]", "\\\"depths\\\":[512,512,512]"),
    ])
    func moreLayersThanTensorsAreNotEvenListed(old: String, new: String) throws {
        try write(replacing(old, new))
        #expect {
            try PreparedModel.open(path: path)
        } throws: {
            let error = $0 as? ModelFileError
            return error?.code == .tensorMissing && error?.message.contains("blocks and layers") == true
        }
    }

    @Test func tensorsThatDoNotFitAreRefused() throws {
        #expect(try openCode(replacing("\"text.norm.weight\"", "\"text.norm.w\"")) == .tensorMissing)
        #expect(try openCode(replacing("\"tokenizer\"", "\"t\"")) == .tensorMissing)
        let vector = "\"text.norm.weight\":{\"dtype\":\"F32\",\"shape\":[16]"
        #expect(
            try openCode(replacing(vector, "\"text.norm.weight\":{\"dtype\":\"I32\",\"shape\":[16]"))
                == .tensorElementMismatch)
        #expect(
            try openCode(replacing(vector, "\"text.norm.weight\":{\"dtype\":\"BF16\",\"shape\":[32]"))
                == .tensorShapeMismatch)
        #expect(
            try openCode(replacing(vector, "\"text.norm.weight\":{\"dtype\":\"F32\",\"shape\":[4,4]"))
                == .tensorShapeMismatch)
        // The same place, half used.
        let place = try #require(header.firstRange(of: vector + ",\"data_offsets\":["))
        let offsets = header[place.upperBound...].prefix { $0 != "]" }.split(separator: ",").compactMap { Int($0) }
        try #require(offsets.count == 2 && offsets[1] == offsets[0] + 64)
        let middle = offsets[0] + 32
        let half =
            "\"text.norm.weight\":{\"dtype\":\"BF16\",\"shape\":[16],\"data_offsets\":[\(offsets[0]),\(middle)]},"
            + "\"__pad.x\":{\"dtype\":\"U8\",\"shape\":[32],\"data_offsets\":[\(middle),\(offsets[1])]}"
        let whole = vector + ",\"data_offsets\":[\(offsets[0]),\(offsets[1])]}"
        #expect(try openCode(replacing(whole, half)) == .tensorElementMismatch)
        let matrix = "\"text.embedding.weight\":{\"dtype\":\"BF16\",\"shape\":[320,16]"
        #expect(
            try openCode(replacing(matrix, "\"text.embedding.weight\":{\"dtype\":\"I8\",\"shape\":[320,32]"))
                == .tensorShapeMismatch)
        #expect(
            try openCode(replacing("\"tokenizer\":{\"dtype\":\"U8\"", "\"tokenizer\":{\"dtype\":\"I8\""))
                == .tensorElementMismatch)
    }

    @Test func tensorsAtUnalignedPlacesAreRefused() throws {
        // One space less before the data.
        let header = header + String(repeating: " ", count: 4)
        let data = Array(original[(8 + headerLength)...])
        #expect(try openCode(SafetensorsBytes.file(header: header, data: data)) == .offsetsInvalid)
    }
}
