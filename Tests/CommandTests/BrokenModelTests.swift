import Foundation
import Testing

/// Models that are missing, damaged, foreign, newer, or lie: each command says so once, with status 3.
@Suite struct BrokenModelTests {
    let folder: TemporaryFolder
    let whole: Safetensors

    init() throws {
        folder = try TemporaryFolder()
        whole = try Safetensors(Array(try Data(contentsOf: URL(filePath: House.model))))
    }

    private var path: String { folder["model.fastvlm"] }

    /// Holds what each command that opens a model says of the one at `path`.
    private func expectEveryCommandRefuses(
        _ path: String, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let commands = [
            ["caption", House.china.path, "--model", path], ["tokenize", "--model", path],
            ["model", "inspect", path], ["model", "pack", path, "--out", folder["out.fastvlm"]],
            [
                "trace", "--model", path, "--image", House.china.path, "--resolution", "64", "--out",
                folder["out.safetensors"],
            ],
        ]
        for command in commands {
            let ending = try await ProgramProcess(Program.fastvlm.path, command).ending()
            for word in words { ending.expectOneError(3, word, sourceLocation: sourceLocation) }
        }
        let daemon = try await run(.fastvlmd, "--watch", folder.path, "--model", path)
        for word in words { daemon.expectOneError(3, word, from: .fastvlmd, sourceLocation: sourceLocation) }
        // Nothing half-written.
        #expect(!folder.names().contains { $0.contains("out.") }, sourceLocation: sourceLocation)
    }

    // MARK: - Packed files

    @Test func whatIsNoModelIsRefused() async throws {
        try await expectEveryCommandRefuses(folder["missing.fastvlm"], "Cannot open", "missing.fastvlm", "No such file")
        try folder.write("", to: "empty.fastvlm")
        try await expectEveryCommandRefuses(folder["empty.fastvlm"], "Cannot read", "the file is empty")
        try await expectEveryCommandRefuses(House.china.path, "Cannot open", "it is not a packed model")
        try #require(mkfifo(folder["pipe.fastvlm"], 0o644) == 0)
        try await expectEveryCommandRefuses(folder["pipe.fastvlm"], "Cannot read", "not a regular file")
    }

    @Test func noModelAtAllIsSaid() async throws {
        (try await run(.fastvlm, "caption", House.china.path)).expectOneError(3, "No model was named", "--model PATH")
        (try await run(.fastvlm, "tokenize")).expectOneError(3, "No model was named", "FASTVLM_MODEL")
    }

    @Test func aTruncatedFileIsRefused() async throws {
        for count in [7, 100_000, whole.bytes.count - 1] {
            try folder.write(Array(whole.bytes.prefix(count)), to: "model.fastvlm")
            try await expectEveryCommandRefuses(path, "Cannot ", "model.fastvlm")
            let verified = try await run(.fastvlm, "model", "verify", path)
            verified.expectOneError(3, "Cannot ", "model.fastvlm")
        }
    }

    @Test func aNewerVersionAsksForAnUpdate() async throws {
        try folder.write(whole.replacing("\"version\":\"1.0\"", "\"version\":\"2.0\"").bytes, to: "model.fastvlm")
        try await expectEveryCommandRefuses(
            path, "Cannot open", "its format version is 2.0", "this program reads 1.x", "Update fastvlm")
        (try await run(.fastvlm, "model", "verify", path)).expectOneError(3, "2.0", "Update fastvlm")
    }

    @Test(arguments: [
        // A lying shape and element, a tensor that is missing, a vocabulary of another size, an unknown precision.
        (
            "\"text.norm.weight\":{\"dtype\":\"F32\",\"shape\":[64]",
            "\"text.norm.weight\":{\"dtype\":\"F32\",\"shape\":[65]", "text.norm.weight"
        ),
        (
            "\"text.norm.weight\":{\"dtype\":\"F32\",\"shape\":[64]",
            "\"text.norm.weight\":{\"dtype\":\"F32\",\"shape\":[8,8]", "expected [64]"
        ),
        ("\"text.norm.weight\":{\"dtype\":\"F32\"", "\"text.norm.weight\":{\"dtype\":\"I32\"", "expected F32"),
        ("\"text.norm.weight\"", "\"text.norm.w\"", "text.norm.weight"),
        ("\\\"vocabulary_size\\\":1024", "\\\"vocabulary_size\\\":1003", "[1024, 64], expected [1003, 64]"),
        ("\\\"layer_count\\\":3", "\\\"layer_count\\\":4", "text.layers.3"),
        ("\"precision\":\"bf16\"", "\"precision\":\"fp3\"", "fp3"),
    ])
    func aHeaderThatLiesIsRefusedByName(_ old: String, _ new: String, _ word: String) async throws {
        try folder.write(whole.replacing(old, new).bytes, to: "model.fastvlm")
        try await expectEveryCommandRefuses(path, "Cannot ", "model.fastvlm", word)
    }

    @Test func aHeaderLongerThanTheFileIsRefused() async throws {
        for length in [UInt64(whole.bytes.count), 1 << 40, .max] {
            try folder.write(whole.bytes(claiming: length), to: "model.fastvlm")
            try await expectEveryCommandRefuses(path, "Cannot read", "its header")
        }
    }

    @Test func aFlippedBitIsFoundByTheDigest() async throws {
        for place in [whole.bytes.count - 1, whole.bytes.count / 2] {
            var bytes = whole.bytes
            bytes[place] ^= 0x10
            try folder.write(bytes, to: "model.fastvlm")
            (try await run(.fastvlm, "model", "verify", path))
                .expectOneError(3, "Cannot verify", "expected \(House.modelDigest)", "The file is damaged")
        }
    }

    @Test func ofSeveralFilesTheWholeOnesAreStillVerified() async throws {
        var bytes = whole.bytes
        bytes[bytes.count - 1] ^= 1
        try folder.write(bytes, to: "model.fastvlm")
        let ending = try await run(.fastvlm, "model", "verify", path, House.model, folder["missing.fastvlm"])
        #expect(ending.status == 3)
        #expect(ending.errorLines.count == 2)
        #expect(ending.output == "\(House.model): \(House.modelDigest), intact\n")
    }

    // MARK: - Checkpoint folders

    /// A folder whose safetensors file is `header` and `byteCount` bytes of data.
    private func writeCheckpoint(_ header: String, byteCount: Int = 0, claiming length: UInt64? = nil) throws {
        try folder.makeFolder("checkpoint")
        try folder.write(Self.configuration, to: "checkpoint/config.json")
        let file = Safetensors(header: header, data: [UInt8](repeating: 0, count: byteCount))
        try folder.write(length.map { file.bytes(claiming: $0) } ?? file.bytes, to: "checkpoint/model.safetensors")
    }

    private static let configuration = """
        {"model_type": "llava_qwen2", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-06, "hidden_act": "silu", "rope_theta": 1000000.0, "mm_hidden_size": 128,
        "mm_projector_type": "mlp2x_gelu", "tie_word_embeddings": false}
        """

    private static func tensor(_ name: String, _ element: String, _ shape: [Int], _ offsets: [Int]) -> String {
        "\"\(name)\":{\"dtype\":\"\(element)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}"
    }

    static let lies: [(String, String, Int)] = [
        (
            "{" + tensor("a", "F32", [4], [0, 16]) + "," + tensor("b", "F32", [4], [8, 24]) + "}",
            "tensor 'b' starts at byte 8", 24
        ),
        (
            "{" + tensor("a", "F32", [4], [0, 16]) + "," + tensor("b", "F32", [4], [16, 32]) + "}",
            "tensor 'b' ends at byte 32", 20
        ),
        ("{" + tensor("a", "F32", [5], [0, 16]) + "}", "16 bytes stored, expected 20", 16),
        ("{" + tensor("a", "BF16", [4], [0, 16]) + "}", "16 bytes stored, expected 8", 16),
        ("{" + tensor("a", "F12", [4], [0, 16]) + "}", "element type 'F12'", 16),
        ("{" + tensor("a", "F32", [1 << 40, 1 << 40], [0, 16]) + "}", "overflows", 16),
        ("{" + tensor("a", "F32", [4], [16, 0]) + "}", "expected a start and an end", 16),
        (
            "{" + tensor("a", "F32", [4], [0, 16]) + "," + tensor("a", "F32", [4], [16, 32]) + "}",
            "'a' is there twice", 32
        ),
        ("{" + tensor("a", "F32", [4], [0, 16]) + "}", "belong to no tensor", 17),
        ("{\"a\":", "Cannot read the header", 0), ("[]", "expected '{'", 0),
        ("{" + tensor("a", "F32", [4], [0, 16]) + "}", "checkpoint", 16),
    ]

    @Test(arguments: lies) func aCheckpointThatLiesIsRefused(_ header: String, _ words: String, _ byteCount: Int)
        async throws
    {
        try writeCheckpoint(header, byteCount: byteCount)
        try await expectEveryCommandRefuses(folder["checkpoint"], "Cannot ", "checkpoint", words)
    }

    @Test func aCheckpointWithoutItsPartsIsRefused() async throws {
        try writeCheckpoint("{" + Self.tensor("a", "F32", [4], [0, 16]) + "}", byteCount: 16)
        try folder.remove(Array("checkpoint/config.json".utf8))
        try await expectEveryCommandRefuses(folder["checkpoint"], "Cannot open", "config.json")
        try folder.write("{\"model_type\": \"llava_qwen2\"", to: "checkpoint/config.json")
        try await expectEveryCommandRefuses(folder["checkpoint"], "Cannot ", "config.json")
        try folder.write("{\"model_type\": \"bert\"}", to: "checkpoint/config.json")
        try await expectEveryCommandRefuses(folder["checkpoint"], "Cannot ", "config.json", "bert")
        try folder.remove(Array("checkpoint/model.safetensors".utf8))
        try folder.write(Self.configuration, to: "checkpoint/config.json")
        try await expectEveryCommandRefuses(folder["checkpoint"], "Cannot ", "checkpoint", "safetensors")
        // A shard that the index names.
        try folder.write(
            "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {\"a\": \"model-00001-of-00001.safetensors\"}}",
            to: "checkpoint/model.safetensors.index.json")
        try await expectEveryCommandRefuses(folder["checkpoint"], "Cannot ", "model-00001-of-00001.safetensors")
    }
}
