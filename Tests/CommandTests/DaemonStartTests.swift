import Foundation
import Testing

/// How `fastvlmd` starts, or says why not.
@Suite struct DaemonStartTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    // MARK: - A configuration file

    private func writeConfiguration() throws {
        try folder.write(
            """
            [model]
            path = "\(House.model)"
            [sidecars]
            directory = "\(folder["results"])"
            [defaults]
            resolution = 64
            max_tokens = 4
            [[watch]]
            path = "\(folder["first"])"
            [[watch]]
            path = "\(folder["second"])"
            name = "gate"
            prompt = ""
            exclude = ["old"]
            [[watch.questions]]
            id = "lamp"
            question = "Is the red lamp on?"
            [[watch.questions]]
            id = "people"
            question = "How many people are there?"
            """, to: "fastvlmd.toml")
    }

    @Test func twoFoldersHaveTheirOwnTasksAndAMirror() async throws {
        try writeConfiguration()
        for name in ["first/a", "second/b/c", "second/old"] { try folder.makeFolder(name) }
        try folder.write(House.china.bytes(), to: "first/a/china.jpg")
        try folder.write(House.flower.bytes(), to: "second/b/c/flower.jpg")
        try folder.write(House.flower.bytes(), to: "second/old/flower.jpg")
        let daemon = try ProgramProcess(Program.fastvlmd.path, ["--config", folder["fastvlmd.toml"]])
        try await eventually("both are done") { folder.sidecars().count == 2 }
        daemon.send(SIGTERM)
        #expect(try await daemon.ending(within: .seconds(30)).status == 0)
        // Nothing beside the pictures, nothing for what is excluded.
        #expect(
            folder.names() == [
                "fastvlmd.toml", "first/a/china.jpg", "results/first/a/china.jpg.fastvlm.json",
                "results/gate/b/c/flower.jpg.fastvlm.json", "second/b/c/flower.jpg", "second/old/flower.jpg",
            ])
        let documents = try folder.readSidecars().map(\.document)
        try #require(documents.count == 2)
        try documents[0].expectOK(House.china, pixels: 64)
        #expect(documents[0]["source.origin"] == "watch:first")
        #expect(documents[0].caption != nil)
        #expect(documents[0].answers.isEmpty)
        try documents[1].expectOK(House.flower, pixels: 64)
        #expect(documents[1]["source.origin"] == "watch:gate")
        #expect(documents[1].caption == nil)
        #expect(documents[1].answers.map { $0["id"] as? String } == ["lamp", "people"])
        #expect(
            documents[1].answers.map { $0["question"] as? String } == [
                "Is the red lamp on?", "How many people are there?",
            ])
    }

    /// A camera's share may be mounted later.
    @Test func aFolderOfAConfigurationMayAppearLater() async throws {
        try writeConfiguration()
        try folder.makeFolder("first")
        let daemon = try ProgramProcess(Program.fastvlmd.path, ["--config", folder["fastvlmd.toml"]])
        try await eventually("it is said") { daemon.errorsSoFar.contains("A watched folder is missing") }
        try folder.makeFolder("second")
        try folder.write(House.flower.bytes(), to: "second/flower.jpg")
        try await eventually("its picture is done") { folder.sidecars().count == 1 }
        daemon.send(SIGTERM)
        #expect(try await daemon.ending(within: .seconds(30)).status == 0)
    }

    // MARK: - Signals before there is anything to end

    @Test(arguments: [SIGTERM, SIGINT]) func aSignalDuringTheStartEndsItAsAsked(_ signal: Int32) async throws {
        let log = try NarrowLog(in: folder)
        try writeConfiguration()
        let daemon = try ProgramProcess(
            Program.fastvlmd.path, ["--config", folder["fastvlmd.toml"]], errors: log.path)
        try await eventually("it is held") { log.isFull }
        daemon.send(signal)
        #expect(try await daemon.ending(within: .seconds(30)).status == 0)
        #expect(folder.names() == ["fastvlmd.toml", "log"])
    }

    @Test func SIGHUPDuringTheStartDoesNotEndIt() async throws {
        let log = try NarrowLog(in: folder)
        try writeConfiguration()
        try folder.makeFolder("first")
        try folder.write(House.china.bytes(), to: "first/china.jpg")
        let daemon = try ProgramProcess(
            Program.fastvlmd.path, ["--config", folder["fastvlmd.toml"]], errors: log.path)
        try await eventually("it is held") { log.isFull }
        daemon.send(SIGHUP)
        try await eventually("it is done") {
            log.drain()
            return folder.sidecars().count == 1 || !daemon.isRunning
        }
        daemon.send(SIGTERM)
        #expect(try await daemon.ending(within: .seconds(30)).status == 0)
        #expect(folder.sidecars().count == 1)
    }

    // MARK: - The command line

    @Test(arguments: [".", "./", "../here", "there/.."]) func aRelativeFolderIsFoundAndNamed(_ path: String)
        async throws
    {
        try folder.makeFolder("here/there")
        try folder.write(House.china.bytes(), to: "here/china.jpg")
        let daemon = try ProgramProcess(
            Program.fastvlmd.path, ["--watch", path] + DaemonTests.quick, folder: folder["here"])
        try await eventually("it is done") { folder.sidecars().count == 1 }
        daemon.send(SIGINT)
        #expect(try await daemon.ending(within: .seconds(30)).status == 0)
        let document = try #require(try folder.readSidecars().first?.document)
        #expect(document["source.origin"] == "watch:here")
    }

    @Test func aFolderThatIsNoneIsRefused() async throws {
        try folder.write("", to: "file")
        for (name, words) in [("missing", "there is no such folder. Make it"), ("file", "it is not a folder")] {
            let ending = try await ProgramProcess(
                Program.fastvlmd.path, ["--watch", folder[name], "--log-level", "error"] + DaemonTests.quick
            ).ending()
            ending.expectOneError(3, "Cannot watch '\(folder[name])'", words, from: .fastvlmd)
        }
    }

    @Test func aMirrorThatCannotBeMadeIsRefused() async throws {
        try writeConfiguration()
        try folder.makeFolder("first")
        try folder.makeFolder("second")
        try folder.write("", to: "results")
        let ending = try await run(.fastvlmd, "--config", folder["fastvlmd.toml"], "--log-level", "error")
        ending.expectOneError(3, "Cannot keep the sidecars", folder["results"], "sidecars.directory", from: .fastvlmd)
    }

    @Test func wrongUsageIsSaid() async throws {
        let watch = ["--watch", folder.path]
        for (arguments, words) in [
            ([], "Nothing to do"), (watch, "No model was named"), (watch + DaemonTests.quick + ["--wat"], "'--wat'"),
            (["--config", "c"] + watch, "--config and --watch cannot be combined"),
            (["--config", "c", "--model", "m"], "--config and --model cannot be combined"),
            (["--config", "c", "--max-tokens", "3"], "--config and --max-tokens cannot be combined"),
            (watch + ["--model", "m", "--log-level", "loud"], "--log-level is 'loud', expected trace"),
            (watch + ["--model", "m", "--max-tokens", "0"], "max_tokens is 0, expected 1...4096"),
            (watch + ["--model", "m", "--resolution", "63"], "resolution is 63, expected 64...4096"),
            (watch + ["--model", "m", "--threads", "257"], "threads is 257"),
            (watch + ["--model", "m", "--prompt", ""], "nothing to do"),
            (watch + watch + ["--model", "m"], "two watched folders"),
        ] as [([String], String)] {
            let ending = try await ProgramProcess(Program.fastvlmd.path, arguments).ending()
            ending.expectWrongUsage(words)
        }
    }

    /// The result is kept and tried again; the picture is not blamed.
    @Test(.enabled(if: geteuid() != 0, "root may write everywhere: a read-only folder is not tried"))
    func aFolderThatCannotBeWrittenIsSaidAndTriedAgain() async throws {
        try folder.makeFolder("here")
        try folder.write(House.china.bytes(), to: "here/china.jpg")
        chmod(folder["here"], 0o555)
        defer { chmod(folder["here"], 0o755) }
        let daemon = try ProgramProcess(Program.fastvlmd.path, ["--watch", folder["here"]] + DaemonTests.quick)
        try await eventually("it is said") { daemon.errorsSoFar.contains("retry_in") }
        #expect(folder.sidecars() == [])
        chmod(folder["here"], 0o755)
        try await eventually("it is done") { folder.sidecars().count == 1 }
        daemon.send(SIGTERM)
        #expect(try await daemon.ending(within: .seconds(30)).status == 0)
        #expect(try folder.readSidecars().first?.document["status"] == "ok")
    }
}

/// A pipe for a log with room for the first line, which says that the model is loaded; at the second, which says that
/// a folder is missing, the writer waits, before it obeys signals in its own way.
private final class NarrowLog: Sendable {
    let path: String
    private let descriptor: Int32
    private static let capacity = 4096
    private static let room = 260

    init(in folder: TemporaryFolder) throws {
        path = folder["log"]
        try #require(mkfifo(path, 0o600) == 0)
        descriptor = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
        try #require(descriptor >= 0)
        // 1031 is F_SETPIPE_SZ, 1024 + 7.
        try #require(fcntl(descriptor, 1031, Int32(Self.capacity)) == Self.capacity)
        let filling = [UInt8](repeating: UInt8(ascii: "."), count: Self.capacity - Self.room)
        try #require(Glibc.write(descriptor, filling, filling.count) == filling.count)
    }

    deinit {
        close(descriptor)
    }

    /// True when the first line is in it.
    var isFull: Bool {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(FIONREAD), &count) == 0 && count > Self.capacity - Self.room
    }

    /// Takes out what is in it.
    func drain() {
        var piece = [UInt8](repeating: 0, count: Self.capacity)
        while piece.withUnsafeMutableBytes({ read(descriptor, $0.baseAddress, $0.count) }) > 0 {}
    }
}
