import Foundation
import Testing

/// `fastvlm model pack`, `verify` and `inspect` on whole models.
@Suite struct ModelCommandTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func pack(_ arguments: String..., from source: String = House.model, to name: String) async throws -> Ending
    {
        try await ProgramProcess(
            Program.fastvlm.path, ["model", "pack", source, "--out", folder[name]] + arguments
        ).ending()
    }

    private func words(of model: String) async throws -> String {
        let ending = try await run(
            .fastvlm, "caption", House.china.path, "--model", model, "--resolution", "128", "--max-tokens", "12")
        #expect(ending.status == 0, "\(ending.errors)")
        return ending.output
    }

    private func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test(arguments: ["f32", "bf16"]) func aPackedModelSaysTheSame(_ precision: String) async throws {
        let packed = try await pack("--precision", precision, to: "model.fastvlm")
        #expect(packed.status == 0)
        #expect(packed.errors == "")
        #expect(packed.outputLines.count == 1)
        #expect(packed.output.hasPrefix("\(folder["model.fastvlm"]): \(precision), "))
        #expect(folder.names() == ["model.fastvlm"])

        let verified = try await run(.fastvlm, "model", "verify", folder["model.fastvlm"])
        #expect(verified.status == 0)
        #expect(verified.errors == "")
        let digest = packed.output.split(separator: " ").last.map { $0.filter { !$0.isNewline } } ?? ""
        #expect(digest.wholeMatch(of: /sha256:[0-9a-f]{64}/) != nil)
        #expect(verified.output == "\(folder["model.fastvlm"]): \(digest), intact\n")

        #expect(try await words(of: folder["model.fastvlm"]) == words(of: House.model))
    }

    @Test(arguments: ["int8", "int4"]) func aQuantizedModelIsSmallerAndReadsPictures(_ precision: String) async throws {
        #expect(try await pack("--precision", precision, to: "model.fastvlm").status == 0)
        #expect(try await run(.fastvlm, "model", "verify", folder["model.fastvlm"]).status == 0)
        let (size, whole) = (
            folder.read("model.fastvlm")?.count ?? .max, try Data(contentsOf: URL(filePath: House.model)).count
        )
        #expect(size < whole)
        let ending = try await run(
            .fastvlm, "caption", House.china.path, "--model", folder["model.fastvlm"], "--max-tokens", "4", "--json")
        #expect(ending.status == 0, "\(ending.errors)")
        let document = try Sidecar(ending.output)
        try SidecarSchema.expectKept(by: [document])
        #expect(document["status"] == "ok")
        #expect(document["model.precision"] == precision)
    }

    @Test func theOutcomeIsAvailableAsJSON() async throws {
        let ending = try await pack("--json", to: "model.fastvlm")
        #expect(ending.status == 0)
        #expect(ending.outputLines.count == 1)
        let outcome = try object(ending.output)
        #expect(outcome["path"] as? String == folder["model.fastvlm"])
        #expect(outcome["precision"] as? String == "bf16")
        #expect(outcome["byte_count"] as? Int == folder.read("model.fastvlm")?.count)
        let inspected = try object(
            try await run(.fastvlm, "model", "inspect", "--json", folder["model.fastvlm"]).output)
        #expect(outcome["digest"] as? String == inspected["digest"] as? String)
    }

    @Test func packingTwiceGivesTheSameBytes() async throws {
        _ = try await pack(to: "a.fastvlm")
        _ = try await pack(to: "b.fastvlm")
        #expect(folder.read("a.fastvlm") != nil)
        #expect(folder.read("a.fastvlm") == folder.read("b.fastvlm"))
    }

    @Test func whatIsSaidAboutTheModelIsKept() async throws {
        try folder.write("All rights reserved.\n", to: "LICENCE")
        let ending = try await pack(
            "--name", "gate", "--resolutions", "128,192", "--default-resolution", "128", "--licence", "MIT",
            "--licence-file",
            folder["LICENCE"], to: "model.fastvlm")
        #expect(ending.status == 0, "\(ending.errors)")
        let text = try await run(.fastvlm, "model", "inspect", folder["model.fastvlm"])
        #expect(text.status == 0)
        #expect(text.errors == "")
        for line in [
            "name            gate", "precision       bf16",
            "resolutions     128 px (4 tokens), 192 px (9 tokens); default 128",
            "licence         MIT", "vocabulary      1003 tokens in 1024 rows",
        ] {
            #expect(text.outputLines.contains(line), "\(line)")
        }
        // The default resolution is that of a caption.
        let caption = try await run(
            .fastvlm, "caption", House.china.path, "--model", folder["model.fastvlm"], "--max-tokens", "1", "--json")
        let document = try Sidecar(caption.output)
        #expect(document["model.name"] == "gate")
        #expect(document["resolution.pixels"] == 128)
    }

    @Test func inspectingListsEveryTensor() async throws {
        let ending = try await run(.fastvlm, "model", "inspect", "--tensors", House.model)
        #expect(ending.status == 0)
        let stored = try Safetensors(Array(try Data(contentsOf: URL(filePath: House.model)))).tensors
            .filter { $0.key != "tokenizer" && !$0.key.hasPrefix("__pad") }
        let listed = ending.outputLines.filter { $0.hasPrefix("  ") }
        #expect(Set(listed) == Set(stored.map { "  \($0.key)  \($0.value.element) \($0.value.shape)" }))
        #expect(listed.count == stored.count)
    }

    // MARK: - Destinations

    @Test func aFileThatIsThereIsNotReplacedUnlessAskedFor() async throws {
        try folder.write("precious", to: "model.fastvlm")
        (try await pack(to: "model.fastvlm")).expectOneError(
            3, "Cannot write", "model.fastvlm", "something is there already")
        #expect(folder.read("model.fastvlm") == Array("precious".utf8))
        #expect(try await pack("--replace", to: "model.fastvlm").status == 0)
        #expect(try await run(.fastvlm, "model", "verify", folder["model.fastvlm"]).status == 0)
        #expect(folder.names() == ["model.fastvlm"])
    }

    @Test func aModelIsNotPackedOntoItself() async throws {
        #expect(try await pack(to: "model.fastvlm").status == 0)
        let before = folder.read("model.fastvlm")
        (try await pack("--replace", from: folder["model.fastvlm"], to: "model.fastvlm"))
            .expectOneError(3, "the model is read from it")
        #expect(folder.read("model.fastvlm") == before)
    }

    @Test func badDestinationsAreRefusedWithNothingLeftBehind() async throws {
        (try await pack(to: "missing/model.fastvlm")).expectOneError(3, "Cannot write", "its folder is not there")
        (try await pack(to: "model.bin")).expectOneError(3, "Cannot write", "ends in '.fastvlm'")
        try folder.makeFolder("model.fastvlm")
        (try await pack("--replace", to: "model.fastvlm")).expectOneError(3, "Cannot write", "it is a folder")
        #expect(folder.names() == [])
    }

    @Test func badIdentitiesAreRefusedWithNothingLeftBehind() async throws {
        try folder.write("{\"order\": 1}", to: "template.json")
        (try await pack("--resolutions", "192,128", to: "m.fastvlm")).expectOneError(2, "Cannot use the identity")
        (try await pack("--default-resolution", "100", to: "m.fastvlm")).expectOneError(2, "Cannot use the identity")
        (try await pack("--resolutions", "128,x", to: "m.fastvlm")).expectWrongUsage("--resolutions holds 'x'")
        (try await pack("--prompt-template", folder["missing"], to: "m.fastvlm")).expectOneError(
            3, "Cannot read", "missing")
        (try await pack("--prompt-template", folder["template.json"], to: "m.fastvlm"))
            .expectOneError(3, "template.json")
        (try await pack("--licence-file", folder["missing"], to: "m.fastvlm")).expectOneError(
            3, "Cannot read", "missing")
        (try await pack("--precision", "f16", to: "m.fastvlm")).expectOneError(3, "f16", "f32, bf16, int8, int4")
        #expect(folder.names() == ["template.json"])
    }

    /// On a disk of 256 KiB that only the program sees.
    @Test(.enabled(if: SmallDisk.isAvailable, "file systems cannot be mounted here: a full disk is not tried"))
    func aFullDiskIsSaidAndNothingIsLeftOnIt() async throws {
        for arguments in [
            ["model", "pack", House.model, "--out", "model.fastvlm"],
            [
                "trace", "--model", House.model, "--image", House.china.path, "--resolution", "320", "--tokens", "1",
                "--out",
                "trace.safetensors",
            ],
        ] {
            let disk = try SmallDisk()
            let ending = try await disk.run(.fastvlm, arguments)
            ending.expectOneError(3, "Cannot write")
            #expect(disk.namesAfterwards == [])
        }
    }
}

/// A file system of 256 KiB, mounted where only one process and its children see it.
struct SmallDisk {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        try folder.makeFolder("disk")
    }

    static let isAvailable: Bool = {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/unshare")
        process.arguments = ["--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    /// Where it is mounted for the program.
    var path: String { folder["disk"] }

    /// Runs `program` in the file system's root.
    func run(
        _ program: Program, _ arguments: [String], environment: [String: String] = [:]
    ) async throws -> Ending {
        let script = """
            mount -t tmpfs -o size=256k none "$0/disk" && cd "$0/disk" || exit 99
            "$@"; status=$?
            ls -A > "$0/names"
            exit $status
            """
        return try await ProgramProcess(
            "/usr/bin/unshare", ["--mount", "sh", "-c", script, folder.path, program.path] + arguments,
            environment: environment
        ).ending()
    }

    /// What lay on it when the program had ended.
    var namesAfterwards: [String]? {
        folder.read("names").map { String(decoding: $0, as: UTF8.self).split(separator: "\n").map { String($0) } }
    }
}
