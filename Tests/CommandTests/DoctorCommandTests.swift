import Foundation
import Testing

/// `fastvlm doctor` on machines that are put together from files.
@Suite struct DoctorCommandTests {
    let root: TemporaryFolder

    init() throws {
        root = try TemporaryFolder()
        for (path, text) in [
            ("proc/sys/fs/inotify/max_user_watches", "65536\n"), ("proc/sys/fs/inotify/max_user_instances", "128\n"),
            ("proc/sys/fs/inotify/max_queued_events", "16384\n"),
            ("proc/meminfo", "MemTotal: 4000000 kB\nMemFree: 1 kB\nMemAvailable: 3000000 kB\n"),
            ("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n"), ("run/systemd/timesync/synchronized", ""),
        ] { try write(text, path) }
        try root.makeFolder("pictures")
        try write(String(contentsOfFile: House.serviceUnit, encoding: .utf8), "lib/systemd/system/fastvlmd.service")
        try write(
            "[Service]\nReadWritePaths=\(root["pictures"])\n", "etc/systemd/system/fastvlmd.service.d/override.conf")
        try write("[model]\npath = \"\(House.model)\"\n[[watch]]\npath = \"\(root["pictures"])\"\n", "fastvlmd.toml")
    }

    private func write(_ text: String, _ path: String) throws {
        try root.makeFolder(path.split(separator: "/").dropLast().joined(separator: "/"))
        try root.write(text, to: path)
    }

    /// What each check found, by its name; a name that comes more than once has the worst.
    private func doctor(_ socket: String) async throws -> (status: Int32, states: [String: String], text: String) {
        let ending = try await run(
            .fastvlm, "doctor", "--json", "--root", root.path, "--config", root["fastvlmd.toml"], "--socket", socket)
        var states: [String: String] = [:]
        for line in ending.outputLines {
            let finding = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String])
            let (check, state) = (finding["check"] ?? "", finding["state"] ?? "")
            if states[check] == nil || state != "ok" { states[check] = state }
            // What is not well comes with what to do.
            if state != "ok" { #expect(finding["remedy"]?.isEmpty == false, "\(line)") }
        }
        return (ending.status, states, ending.output)
    }

    @Test func aGoodMachineHasNothingBroken() async throws {
        let daemon = try StubDaemonSocket(["/healthz": StubDaemonSocket.answer("ok")])
        chmod(daemon.path, 0o660)
        let found = try await doctor(daemon.path)
        #expect(found.status == 0, "\(found.text)")
        for check in [
            "configuration", "model", "folder", "unit", "inotify", "memory", "memory limit", "clock", "socket",
        ] {
            #expect(found.states[check] == "ok", "\(check): \(found.text)")
        }
        let text = try await run(.fastvlm, "doctor", "--root", root.path, "--config", root["fastvlmd.toml"], "--quick")
        #expect(text.status == 0 && text.outputLines.contains { $0.hasPrefix("ok     model") })
    }

    @Test func eachFaultIsFound() async throws {
        try write("7\n", "proc/sys/fs/inotify/max_user_watches")
        try write("cpu io pids\n", "sys/fs/cgroup/cgroup.controllers")
        try write("MemTotal: 400000 kB\nMemAvailable: 3000 kB\n", "proc/meminfo")
        try root.remove(Array("run/systemd/timesync/synchronized".utf8))
        try root.remove(Array("etc/systemd/system/fastvlmd.service.d/override.conf".utf8))
        var found = try await doctor(root["none.sock"])
        #expect(found.status == 3)
        for check in ["inotify", "memory limit", "memory", "clock", "socket"] {
            #expect(found.states[check] == "doubtful", "\(check)")
        }
        #expect(found.states["unit"] == "broken" && found.text.contains("may not write in \(root["pictures"])"))

        try write(
            "[Service]\nPrivateNetwork=no\nReadWritePaths=/\n", "etc/systemd/system/fastvlmd.service.d/override.conf")
        try write("no socket", "plain.sock")
        try write(
            "[model]\npath = \"/none.fastvlm\"\n[[watch]]\npath = \"\(root["pictures"])/gone\"\n", "fastvlmd.toml")
        found = try await doctor(root["plain.sock"])
        #expect(found.states["unit"] == "doubtful" && found.text.contains("PrivateNetwork"))
        #expect(
            found.states["socket"] == "broken" && found.states["model"] == "broken"
                && found.states["folder"] == "doubtful")

        try write("nonsense", "fastvlmd.toml")
        found = try await doctor(root["plain.sock"])
        #expect(found.status == 3 && found.states["configuration"] == "broken")
    }
}
