import Glibc
import ModelFiles
import Testing

/// Checkpoints in several files with an index.
@Suite struct CheckpointShardsTests {
    let folder: TemporaryFolder
    private let index = "model.safetensors.index.json"

    init() throws {
        folder = try TemporaryFolder()
        try TinyCheckpoint(shardCount: 3).write(to: folder)
    }

    private func code() throws -> ModelFileError.Code {
        try errorCode { _ = try PreparedModel.open(path: folder.path) }
    }

    private func indexText() throws -> String {
        String(decoding: try folder.read(index), as: UTF8.self)
    }

    /// Replaces the first occurrence of `old` in the index.
    private func editIndex(_ old: String, _ new: String) throws {
        let parts = try indexText().split(separator: old, maxSplits: 1, omittingEmptySubsequences: false)
        try #require(parts.count == 2)
        try folder.write(parts[0] + new + parts[1], to: index)
    }

    @Test func shardsTogetherAreOneSet() throws {
        let files = try CheckpointFiles(directory: folder.path)
        #expect(files.files.count == 3)
        #expect(files.contains("model.norm.weight"))
        #expect(try files.tensor("model.norm.weight").shape == [16])
        #expect(try errorCode { _ = try files.tensor("model.norm.bias") } == .tensorMissing)
    }

    @Test func aSingleFileComesBeforeAnIndex() throws {
        try TinyCheckpoint(seed: 7).write(to: folder)
        #expect(try CheckpointFiles(directory: folder.path).files.count == 1)
    }

    @Test func aMissingShardIsNamed() throws {
        unlink(folder["model-00002-of-00003.safetensors"])
        let error = #expect(throws: ModelFileError.self) { try PreparedModel.open(path: folder.path) }
        #expect(error?.code == .shardMissing)
        #expect(error?.message.contains("'model-00002-of-00003.safetensors'") == true)
    }

    @Test(arguments: [
        "../model-00001-of-00003.safetensors", "/etc/passwd.safetensors", "a/b.safetensors", ".hidden.safetensors",
        "..", "", "model.bin", "model.safetensors\\u0000", "model-\\n.safetensors", "a\\\\b.safetensors",
    ])
    func aShardMustBeAFileOfTheFolder(name: String) throws {
        try editIndex("model-00001-of-00003.safetensors", name)
        #expect(try code() == .shardNameInvalid)
    }

    @Test func aTensorInAnotherShardThanStatedIsRefused() throws {
        try editIndex("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors")
        #expect(try code() == .tensorInWrongShard)
    }

    @Test func aTensorThatNoShardHasIsRefused() throws {
        try editIndex("{\"model.", "{\"ghost\": \"model-00001-of-00003.safetensors\", \"model.")
        #expect(try code() == .tensorMissing)
    }

    @Test func aTensorInTwoShardsIsRefused() throws {
        let tensor = SafetensorsBytes.Tensor(
            name: "model.norm.weight", element: "BF16", shape: [16], bytes: [UInt8](repeating: 0, count: 32))
        try folder.write(SafetensorsBytes.file([tensor]), to: "model-00004-of-00003.safetensors")
        try editIndex("{\"model.", "{\"ghost\": \"model-00004-of-00003.safetensors\", \"model.")
        #expect(try code() == .duplicateName)
    }

    @Test func aDamagedShardIsRefused() throws {
        let name = "model-00003-of-00003.safetensors"
        try folder.write(Array(try folder.read(name).dropLast()), to: name)
        #expect(try code() == .truncated)
    }

    @Test(arguments: [
        "", "x", "[]", "{}", "{\"weight_map\": {}}", "{\"weight_map\": []}", "{\"weight_map\": {\"a\": 1}}",
        "{\"weight_map\": {\"a\": \"a.safetensors\"}, \"weight_map\": {\"a\": \"a.safetensors\"}}",
        "{\"weight_map\": {\"a\": \"a.safetensors\"}} x",
        "{\"metadata\": , \"weight_map\": {\"a\": \"a.safetensors\"}}",
        "{\"metadata\": tru, \"weight_map\": {\"a\": \"a.safetensors\"}}",
        "{\"metadata\": 1.2.3, \"weight_map\": {\"a\": \"a.safetensors\"}}",
    ])
    func anIndexThatIsNoneIsRefused(text: String) throws {
        try folder.write(text, to: index)
        #expect(try code() == .shardIndexInvalid)
    }

    @Test func aDoubledTensorInTheIndexIsRefused() throws {
        try editIndex("{\"model.", "{\"a\": \"a.safetensors\", \"a\": \"a.safetensors\", \"model.")
        #expect(try code() == .duplicateName)
    }

    @Test func nestingInTheIndexIsBounded() throws {
        let deep = String(repeating: "[", count: 16) + String(repeating: "]", count: 16)
        try editIndex("{\"metadata\": {\"total_size\": 1}", "{\"metadata\": \(deep)")
        #expect(
            try PreparedModel.open(path: folder.path).name == folder.path.split(separator: "/").last.map(String.init))
        try editIndex(deep, "[" + deep + "]")
        #expect(try code() == .shardIndexInvalid)
        try folder.write("{\"metadata\": " + String(repeating: "{\"a\":[", count: 500_000), to: index)
        #expect(try code() == .shardIndexInvalid)
    }

    @Test func theNumberOfShardsIsBounded() throws {
        let entries = (0...1_000).map { "\"t\($0)\": \"s\($0).safetensors\"" }
        try folder.write("{\"weight_map\": {\(entries.joined(separator: ", "))}}", to: index)
        #expect(try code() == .shardIndexInvalid)
    }
}
