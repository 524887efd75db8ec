import Foundation
import Testing

/// The daemon with its socket, as the README shows it.
@Suite struct SocketCommandTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The README's commands for `curl`, with this test's socket and picture in them.
    private func commands() throws -> [String] {
        let readme = try String(contentsOfFile: House.readme, encoding: .utf8)
        return readme.split(separator: "\n").filter { $0.hasPrefix("    curl --unix-socket") }.map { line in
            line.trimmingCharacters(in: .whitespaces).replacing("/run/fastvlmd/api.sock", with: folder["api.sock"])
                .replacing("gate.jpg", with: House.china.path).replacing("curl ", with: "curl -sS --max-time 30 ")
        }
    }

    private func shell(_ command: String) throws -> ProgramProcess {
        try ProgramProcess("/bin/sh", ["-c", command])
    }

    @Test(.timeLimit(.minutes(3))) func theExamplesOfTheReadmeDoWhatTheySay() async throws {
        try folder.write(
            """
            [model]
            path = "\(House.demoModel)"
            [socket]
            path = "\(folder["api.sock"])"
            spool = "\(folder["spool"])"
            [budget]
            profile_directory = "\(folder["state"])"
            """, to: "fastvlmd.toml")
        let daemon = try ProgramProcess(Program.fastvlmd.path, ["--config", folder["fastvlmd.toml"]])
        try await eventually("it listens") { FileManager.default.fileExists(atPath: folder["api.sock"]) }
        let commands = try commands()
        try #require(commands.count == 5)
        let listening = try shell(commands[2].replacing("?source=gate", with: ""))
        try await eventually("somebody listens") {
            let status = Pipe()
            let process = Process()
            process.executableURL = URL(filePath: "/bin/sh")
            process.arguments = ["-c", commands[3]]
            process.standardOutput = status
            try process.run()
            let text = String(decoding: status.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            return text.contains("\"listeners\":1")
        }

        let frame = try await shell(commands[0]).ending()
        #expect(frame.status == 0, "\(frame.errors)")
        let document = try Sidecar(frame.output)
        #expect(document["status"] == "ok" && document["source.origin"] == "socket:gate")
        try SidecarSchema.expectKept(by: [document])

        let typed = try await shell(commands[4]).ending()
        let answers = try Sidecar(typed.output)
        try SidecarSchema.expectKept(by: [answers])
        #expect(typed.output.contains("\"type\": \"boolean\"") && typed.output.contains("\"type\": \"choice\""))
        #expect(typed.output.split(separator: "\"confidence\":").count == 3 && !typed.output.contains("\"caption\""))

        let accepted = try await shell(commands[1]).ending()
        #expect(accepted.status == 0 && accepted.output.contains("\"status\":\"accepted\""), "\(accepted.output)")
        try await eventually("what was left is done") { !folder.sidecars().isEmpty }
        let kept = try folder.readSidecars()
        #expect(kept.count == 1 && kept.first?.document["source.origin"] == "spool:socket")

        daemon.send(SIGTERM)
        let ending = try await daemon.ending(within: .seconds(30))
        #expect(ending.status == 0, "\(ending.errors)")
        // It heard both results, and its stream ended with the daemon.
        let heard = try await listening.ending()
        #expect(heard.status == 0 && heard.outputLines.count == 3, "\(heard.output)")
        #expect(heard.output.contains("socket:gate") && heard.output.contains("spool:socket"))
        #expect(!FileManager.default.fileExists(atPath: folder["api.sock"]))
    }

    /// As under a socket unit: the first client starts the daemon, whose configuration has no `[socket]`.
    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: Self.activator)), .timeLimit(.minutes(2)))
    func theServiceManagerMayOpenTheSocket() async throws {
        try folder.makeFolder("pictures")
        try folder.write(
            """
            [model]
            path = "\(House.demoModel)"
            [budget]
            profile_directory = "\(folder["state"])"
            [[watch]]
            path = "\(folder["pictures"])"
            """, to: "fastvlmd.toml")
        // A program between: the activator closes every descriptor that it was given, and by one of those Foundation would
        // take it for ended.
        let between = """
            import subprocess, sys
            program = subprocess.Popen(sys.argv[2:])
            open(sys.argv[1], "w").write(str(program.pid))
            sys.exit(program.wait())
            """
        let daemon = try ProgramProcess(
            "/usr/bin/python3",
            [
                "-c", between, folder["pid"], Self.activator, "--listen=\(folder["api.sock"])", "--fdname=api",
                Program.fastvlmd.path, "--config", folder["fastvlmd.toml"],
            ])
        try await eventually("it listens") { FileManager.default.fileExists(atPath: folder["api.sock"]) }
        let curl = "curl -sS --max-time 30 --unix-socket \(folder["api.sock"]) "
        let frame = try await shell(curl + "-T \(House.china.path) 'http://localhost/v1/frames?budget_ms=60000'")
            .ending()
        let document = try Sidecar(frame.output)
        #expect(document["status"] == "ok" && document["budget.met"] == true, "\(frame.output) \(frame.errors)")
        // A budget that nobody plans for has nothing predicted.
        #expect(frame.output.contains("\"predicted_ms\""), "\(frame.output)")

        let process = try #require(
            pid_t(String(contentsOfFile: folder["pid"], encoding: .utf8)))
        kill(process, SIGHUP)
        let status = try await statusAfterReload(curl)
        #expect(status.contains("\"degraded\":[]"), "\(status)")
        kill(process, SIGTERM)
        #expect(try await daemon.ending(within: .seconds(30)).status == 0)
    }

    private static let activator = "/usr/bin/systemd-socket-activate"

    private func statusAfterReload(_ curl: String) async throws -> String {
        while true {
            let status = try await shell(curl + "http://localhost/v1/status").ending().output
            if status.contains("\"reloads\":1") { return status }
            try Task.checkCancellation()
        }
    }

    @Test(.timeLimit(.minutes(2))) func aPlaceThatIsTakenEndsTheStartWithItsStatus() async throws {
        try folder.write("mine", to: "api.sock")
        try folder.write(
            "[model]\npath = \"\(House.model)\"\n[socket]\npath = \"\(folder["api.sock"])\"\n", to: "fastvlmd.toml")
        let ending = try await ProgramProcess(
            Program.fastvlmd.path, ["--config", folder["fastvlmd.toml"]]
        ).ending()
        #expect(
            ending.status == 3 && ending.errors.contains("there is something that is no socket"), "\(ending.errors)")
        #expect(folder.read("api.sock") == Array("mine".utf8))
    }
}
