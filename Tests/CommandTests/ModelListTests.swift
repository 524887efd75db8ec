import Foundation
import Testing

/// `fastvlm model list` and `fastvlm model rm`.
@Suite struct ModelListTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.write(Array(try Data(contentsOf: URL(filePath: House.model))), to: "a.fastvlm")
    }

    @Test func modelsAreListed() async throws {
        let ending = try await run(.fastvlm, "model", "list", folder.path)
        #expect(ending.status == 0 && ending.outputLines.count == 1 && ending.output.contains(folder["a.fastvlm"]))
        let json = try await run(.fastvlm, "model", "list", "--json", folder.path)
        #expect(json.output.contains(House.modelDigest))
        try folder.write("damaged", to: "b.fastvlm")
        let damaged = try await run(.fastvlm, "model", "list", folder.path)
        #expect(damaged.status == 3 && damaged.outputLines.count == 1 && damaged.errors.contains("b.fastvlm"))
        #expect(try await run(.fastvlm, "model", "list", folder["none"]).status == 3)
    }

    @Test func onlyAModelThatIsNotInUseIsRemoved() async throws {
        let model = folder["a.fastvlm"]
        try folder.write("[model]\npath = \"\(model)\"\n[[watch]]\npath = \"/a\"\n", to: "used.toml")
        var ending = try await run(.fastvlm, "model", "rm", "--yes", "--config", folder["used.toml"], model)
        #expect(ending.status == 3 && ending.errors.contains("the daemon is to use it"))
        ending = try await run(.fastvlm, "model", "rm", "--config", folder["none.toml"], model)
        #expect(ending.status == 3 && ending.errors.contains("--yes"))
        try folder.write("mine", to: "mine.txt")
        ending = try await run(.fastvlm, "model", "rm", "--yes", "--config", folder["none.toml"], folder["mine.txt"])
        #expect(ending.status == 3)
        #expect(folder.read("a.fastvlm") != nil && folder.read("mine.txt") != nil)
        ending = try await run(.fastvlm, "model", "rm", "--yes", "--config", folder["none.toml"], model)
        #expect(ending.status == 0 && ending.output == "\(model): removed\n", "\(ending.errors)")
        #expect(folder.read("a.fastvlm") == nil)
    }
}
