import Foundation
import Testing

/// `fastvlm trace`, whose files are held against those of the PyTorch reference: the same names, the same shapes.
@Suite struct TraceCommandTests {
    let folder: TemporaryFolder
    static let prompt = "What is in the picture?"

    init() throws {
        folder = try TemporaryFolder()
    }

    private func trace(_ arguments: String..., resolution: Int = 192, out: String? = nil) async throws -> Ending {
        try await ProgramProcess(
            Program.fastvlm.path,
            [
                "trace", "--model", House.model, "--image", House.china.path, "--resolution", "\(resolution)",
                "--prompt", Self.prompt, "--out", out ?? folder["trace.safetensors"],
            ] + arguments
        ).ending()
    }

    private func written() throws -> Safetensors { try Safetensors(try #require(folder.read("trace.safetensors"))) }

    /// The tensors that the reference writes for the checked-in model.
    private func expected(resolution: Int, prompt: Int, tokens: Int) -> [String: Safetensors.Tensor] {
        func halved(_ times: Int) -> Int { (0..<times).reduce(resolution) { side, _ in (side + 1) / 2 } }
        func map(_ channels: Int, _ times: Int) -> Safetensors.Tensor {
            Safetensors.Tensor(element: "F32", shape: [channels, halved(times), halved(times)])
        }
        let visual = halved(6) * halved(6)
        return [
            "pixel_values": map(3, 0), "stem": map(8, 2), "stage0": map(8, 2), "stage1": map(16, 3),
            "stage2": map(32, 4),
            "stage3": map(64, 5), "stage4": map(128, 6), "final_conv": map(256, 6),
            "image_embeddings": Safetensors.Tensor(element: "F32", shape: [visual, 64]),
            "input_ids": Safetensors.Tensor(element: "I64", shape: [prompt]),
            "logits": Safetensors.Tensor(element: "F32", shape: [1024]),
            "logits_all": Safetensors.Tensor(element: "F32", shape: [tokens, 1024]),
            "generated_ids": Safetensors.Tensor(element: "I64", shape: [tokens]),
        ]
    }

    /// 100 pixels are no multiple of 64: every halving rounds up.
    @Test(arguments: [100, 192, 320]) func theFileHoldsWhatTheReferencesHolds(_ resolution: Int) async throws {
        let ending = try await trace("--tokens", "5", resolution: resolution)
        #expect(ending.status == 0)
        #expect(ending.output == "")
        #expect(ending.errors == "")
        let file = try written()
        let ids = try file.integers("input_ids")
        #expect(try file.tensors == expected(resolution: resolution, prompt: ids.count, tokens: 5))
        #expect(ids.filter { $0 == -200 }.count == 1)
        let metadata = try file.metadata
        #expect(metadata["resolution"] == "\(resolution)")
        #expect(metadata["prompt"] == Self.prompt)
        for name in ["pixel_values", "stage4", "image_embeddings", "logits_all"] {
            let values = try file.floats(name)
            #expect(values.allSatisfy { $0.isFinite }, "\(name)")
            #expect(Set(values).count > 1, "\(name)")
        }
        #expect(try file.floats("pixel_values").allSatisfy { (0...1).contains($0) })
        #expect(try Array(file.floats("logits_all").prefix(1024)) == file.floats("logits"))
    }

    /// The ids are PyTorch's for this picture, question and resolution.
    @Test func theDecoderTakesTheLikeliestIds() async throws {
        #expect(try await trace("--tokens", "12").status == 0)
        #expect(try written().integers("generated_ids") == [350, 867, 756, 263, 82, 147, 425, 57, 962, 247, 617, 146])
    }

    @Test func theDecoderFollowsForcedIds() async throws {
        #expect(try await trace("--tokens", "4").status == 0)
        let free = try written()
        #expect(try await trace("--generated-ids", "350,7,756,263,1002").status == 0)
        let forced = try written()
        #expect(try forced.integers("generated_ids") == [350, 7, 756, 263, 1002])
        let (own, followed) = (try free.floats("logits_all"), try forced.floats("logits_all"))
        #expect(followed.count == 5 * 1024)
        // The first two rows saw the same ids, the third did not.
        #expect(own[..<2048] == followed[..<2048])
        #expect(own[2048..<3072] != followed[2048..<3072])
    }

    @Test func tilesAreWrittenBesideTheOverview() async throws {
        #expect(try await trace("--tokens", "2").status == 0)
        let plain = try written()
        #expect(try await trace("--tokens", "2", "--tiling").status == 0)
        let tiled = try written()
        #expect(try tiled.tensors["image_embeddings"]?.shape == [5 * 9, 64])
        for tile in 0..<4 {
            for name in ["pixel_values", "stem", "stage4", "final_conv"] {
                #expect(try tiled.tensors["tile\(tile).\(name)"] == plain.tensors[name], "\(tile) \(name)")
            }
            #expect(try tiled.floats("tile\(tile).pixel_values") != tiled.floats("pixel_values"))
        }
        #expect(try tiled.floats("pixel_values") == plain.floats("pixel_values"))
        #expect(try tiled.floats("image_embeddings").prefix(9 * 64) == plain.floats("image_embeddings")[...])
    }

    @Test func anOlderFileIsReplaced() async throws {
        try folder.write("old", to: "trace.safetensors")
        #expect(try await trace("--tokens", "1").status == 0)
        #expect(try written().tensors.count == 13)
        #expect(folder.names() == ["trace.safetensors"])
    }

    // MARK: - Refusals

    @Test(arguments: ["1,2,3000", "1,x", "1.5", "-1"]) func idsThatNoTokenHasAreWrongUsage(_ ids: String) async throws {
        let ending = try await trace("--generated-ids=\(ids)")
        ending.expectOneError(2, "--generated-ids holds", "expected ids from 0 to 1023")
        #expect(folder.names() == [])
    }

    @Test func thePrecisionIsHeldAgainstTheModels() async throws {
        #expect(try await trace("--precision", "bf16", "--tokens", "1").status == 0)
        try folder.remove(Array("trace.safetensors".utf8))
        (try await trace("--precision", "f32")).expectOneError(3, "Cannot trace in f32", "stored as bf16", "Pack it")
        #expect(folder.names() == [])
    }

    @Test func aPictureThatCannotBeReadIsRefused() async throws {
        try folder.write("Not a picture.", to: "text.jpg")
        for (name, words) in [("text.jpg", "the file is text"), ("missing.jpg", "there is no such file")] {
            try await run(
                .fastvlm, "trace", "--model", House.model, "--image", folder[name], "--resolution", "64", "--out",
                folder["trace.safetensors"]
            ).expectOneError(1, "Cannot ", words)
        }
        #expect(folder.names() == ["text.jpg"])
    }

    @Test func aPlaceThatCannotBeWrittenIsRefused() async throws {
        (try await trace("--tokens", "1", out: folder["missing/trace.safetensors"]))
            .expectOneError(3, "Cannot write", "missing/trace.safetensors")
        try folder.makeFolder("trace.safetensors")
        (try await trace("--tokens", "1")).expectOneError(3, "Cannot write", "not a regular file")
        // A pipe or a device must not be replaced.
        try #require(mkfifo(folder["pipe"], 0o644) == 0)
        (try await trace("--tokens", "1", out: folder["pipe"])).expectOneError(3, "Cannot write", "not a regular file")
        #expect(folder.names() == ["pipe"])
    }
}
