import Foundation
import Testing

/// `fastvlm caption` and `fastvlm ask` on what cannot be read, and wrong usage.
@Suite struct RefusedPictureTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func caption(_ arguments: String...) async throws -> Ending {
        try await ProgramProcess(Program.fastvlm.path, ["caption"] + PictureCommandTests.quick + arguments).ending()
    }

    /// A way to make a bad picture; what is said of it; the code in its document.
    struct Bad: Sendable, CustomTestStringConvertible {
        let name: String
        let words: String
        let code: String
        let make: @Sendable (TemporaryFolder, String) throws -> Void
        var testDescription: String { name }
    }

    static let bad = [
        Bad(name: "missing.jpg", words: "no such file", code: "unreadable") { _, _ in },
        Bad(name: "empty.jpg", words: "the file is empty", code: "not_an_image") { try $0.write("", to: $1) },
        Bad(name: "text.jpg", words: "the file is text, expected JPEG or PNG", code: "not_an_image") {
            try $0.write("Not a picture at all.\n", to: $1)
        },
        Bad(name: "half.jpg", words: "the file ends before the picture does", code: "jpeg_truncated") {
            try $0.write(Array(House.china.bytes().prefix(100_000)), to: $1)
        },
        Bad(name: "half.png", words: "Cannot decode the PNG", code: "png_truncated") {
            try $0.write(Array(House.pictures.first { $0.isPNG }?.bytes().prefix(5_000) ?? []), to: $1)
        },
        Bad(name: "folder.jpg", words: "not a regular file", code: "not_a_file") { try $0.makeFolder($1) },
        Bad(name: "pipe.jpg", words: "not a regular file", code: "not_a_file") {
            try #require(mkfifo($0[$1], 0o644) == 0)
        },
        Bad(name: "dangling.jpg", words: "dangling.jpg", code: "not_a_file") {
            try #require(symlink("nowhere.jpg", $0[$1]) == 0)
        },
        // A regular file whose every read fails, for every user.
        Bad(name: "unreadable.jpg", words: "not readable by this user", code: "unreadable") {
            try #require(symlink("/proc/self/mem", $0[$1]) == 0)
        },
        Bad(name: "huge.jpg", words: "at most 33554432 are allowed", code: "too_many_bytes") {
            try $0.write("", to: $1)
            try #require(truncate($0[$1], 40 << 20) == 0)
        },
    ]

    @Test(arguments: bad) func itIsRefusedWithOneError(_ bad: Bad) async throws {
        try bad.make(folder, bad.name)
        let path = folder[bad.name]
        (try await caption(path)).expectOneError(1, "fastvlm: \(path): Cannot ", bad.words)
    }

    @Test(arguments: bad) func itsDocumentSaysWhy(_ bad: Bad) async throws {
        try bad.make(folder, bad.name)
        let ending = try await caption("--json", folder[bad.name])
        #expect(ending.status == 1)
        #expect(ending.errorLines.count == 1)
        #expect(ending.outputLines.count == 1)
        let document = try Sidecar(ending.output)
        document.expectRefused(bad.code, bad.words)
        #expect(document["source.file"] == bad.name)
        try SidecarSchema.expectKept(by: [document])
    }

    @Test func theOthersAreDoneAllTheSame() async throws {
        try folder.write("Not a picture.", to: "text.jpg")
        let paths = [House.china.path, folder["missing.jpg"], House.flower.path, folder["text.jpg"], House.china.path]
        let ending = try await ProgramProcess(
            Program.fastvlm.path, ["caption"] + PictureCommandTests.quick + paths
        ).ending()
        #expect(ending.status == 1)
        #expect(ending.errorLines.count == 2)
        #expect(ending.outputLines.count == 3)
        #expect(ending.outputLines.first == ending.outputLines.last)
        let documents = try await ProgramProcess(
            Program.fastvlm.path, ["caption", "--json"] + PictureCommandTests.quick + paths
        ).ending()
        #expect(documents.status == 1)
        let statuses: [String?] = try documents.outputLines.map { try Sidecar($0)["status"] }
        #expect(statuses == ["ok", "refused", "ok", "refused", "ok"])
    }

    /// A name is shown, never obeyed.
    @Test func controlSequencesInNamesDoNotReachTheTerminal() async throws {
        let name = "red\u{1b}[31m.jpg"
        try folder.write(House.china.bytes(), to: "china" + name)
        try folder.write("Not a picture.", to: "text" + name)
        let ending = try await caption(folder["china" + name], folder["text" + name], folder["missing" + name])
        #expect(ending.status == 1)
        #expect(!ending.outputBytes.contains(0x1B))
        #expect(!ending.errorBytes.contains(0x1B))
        #expect(ending.errors.contains("red\\u{1B}[31m.jpg"))
        (try await caption("a.jpg", "--red\u{1b}[31m.jpg")).expectWrongUsage("Unknown option")
    }

    @Test func aQuestionThatDoesNotFitIsRefused() async throws {
        try await ProgramProcess(
            Program.fastvlm.path, ["ask"] + PictureCommandTests.quick + [folder["missing.jpg"], "Is it day?"]
        ).ending().expectOneError(1, "missing.jpg", "no such file")
    }

    // MARK: - Where the output goes

    @Test func aFullDiskBehindTheOutputIsNoSuccess() async throws {
        for json in [[], ["--json"]] {
            let ending = try await ProgramProcess(
                Program.fastvlm.path, ["caption"] + json + PictureCommandTests.quick + [House.china.path],
                output: "/dev/full"
            ).ending()
            ending.expectOneError(1, "Cannot write to standard output", "No space left on device")
        }
    }

    // MARK: - Usage

    static let usage: [([String], String)] = [
        (["caption"], "<image>"), (["caption", "a.jpg", "--wat"], "Unknown option '--wat'"),
        (["ask", "a.jpg"], "<question>"), (["ask", "a.jpg", ""], "A question is empty."), (["describe"], "describe"),
        (["caption", "a.jpg", "--max-tokens", "0"], "--max-tokens is 0, expected 1...4096"),
        (["caption", "a.jpg", "--max-tokens", "many"], "'many'"),
        (["caption", "a.jpg", "--resolution", "63"], "--resolution is 63, expected 64...4096"),
        (["caption", "a.jpg", "--resolution", "4097"], "--resolution is 4097, expected 64...4096"),
        (["caption", "a.jpg", "--seed=-1"], "'-1'"),
        (["caption", "a.jpg", "--temperature", "nan"], "--temperature is nan, expected 0.0...2.0"),
        (["caption", "a.jpg", "--top-p", "0"], "--top-p is 0.0"),
        (["caption", "a.jpg", "--threads", "257"], "--threads is 257"),
        (["caption", "a.jpg", "--prompt", ""], "--prompt is empty"),
        (["bench", "--runs", "0"], "--runs is 0"), (["bench", "--only", "speech"], "--only holds 'speech'"),
        (["bench", "--resolutions", "128,x"], "--resolutions holds 'x'"),
        (["bench", "--resolutions", "128,63"], "--resolutions holds 63, expected 64...4096"),
        (["model", "pack", "a", "--out", "b", "--resolutions", "128,x"], "--resolutions holds 'x'"),
        (["tokenize", "--wat"], "--wat"), (["config", "check", "a", "b"], "'b'"), (["model", "verify"], "<file>"),
        (["model", "pack", "a"], "--out"), (["model", "inspect"], "<path>"),
        (["model", "pack", "a", "--out", "b", "--precision", "f64"], "'f64'"), (["trace"], "--image"),
        (["trace", "--image", "a", "--resolution", "63", "--out", "b"], "--resolution is 63, expected 64...4096"),
        (["trace", "--image", "a", "--resolution", "64", "--tokens", "0", "--out", "b"], "--tokens is 0"),
    ]

    @Test(arguments: usage) func wrongUsageIsSaidBeforeAnythingIsOpened(_ arguments: [String], _ words: String)
        async throws
    {
        let ending = try await ProgramProcess(
            Program.fastvlm.path, arguments, environment: ["FASTVLM_MODEL": folder["missing.fastvlm"]]
        ).ending()
        ending.expectWrongUsage(words)
    }
}
