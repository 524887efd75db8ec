import Foundation
import Testing

/// The quick way through the groups of `Tests/Faults/run`, which has the long one: a daemon with an engine that only
/// pretends is killed, starved and lied to.
@Suite(.serialized) struct FaultTests {
    @Test(.timeLimit(.minutes(5)), arguments: ["kills", "syscalls", "arrivals", "uploads", "names", "signals"])
    func whatArrivesIsDoneWhateverHappens(group: String) throws {
        try hold(group)
    }

    /// On the daemon itself, with the bundled model.
    @Test(.timeLimit(.minutes(5)), arguments: ["reloads", "sockets", "backlog"])
    func theDaemonServesWhoeverAsks(group: String) throws {
        try hold(group)
    }

    /// Needs the right to mount; without it only what needs none is tried.
    @Test(.timeLimit(.minutes(5))) func aDiskThatRefusesIsWaitedFor() throws {
        try hold("disks")
    }

    private func hold(_ group: String) throws {
        let root = URL(filePath: #filePath).resolvingSymlinksInPath()
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", root.appending(path: "Tests/Faults/run").path, group]
        var environment = ProcessInfo.processInfo.environment
        // Built with these tests, and so beside them.
        let programs = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        environment["FASTVLM_STUB"] = environment["FASTVLM_STUB"] ?? programs.appending(path: "StubDaemon").path
        environment["FASTVLMD"] = environment["FASTVLMD"] ?? programs.appending(path: "fastvlmd").path
        process.environment = environment
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(output)")
        #expect(output.contains("\(group): held"), "\(output)")
    }
}
