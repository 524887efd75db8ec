import Foundation
import NotifySocket
import Testing

/// `fastvlmd` as a service: what it tells its manager, and what it obeys.
@Suite struct ServiceProtocolTests {
    let folder: TemporaryFolder
    let place: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        place = try TemporaryFolder()
        try folder.makeFolder("gate")
        try folder.makeFolder("yard")
        try write(["gate"])
    }

    private func write(_ names: [String], tail: String = "") throws {
        var text = "[model]\npath = \"\(House.model)\"\n[defaults]\nresolution = 64\nmax_tokens = 4\n"
        for name in names { text += "[[watch]]\npath = \"\(folder[name])\"\n" }
        try place.write(text + tail, to: "fastvlmd.toml")
    }

    private var arguments: [String] { ["--config", place["fastvlmd.toml"]] }

    @Test(arguments: [false, true]) func theStartIsToldInOrder(isAbstract: Bool) async throws {
        let daemon = try ManagedDaemon(arguments, isAbstract: isAbstract)
        let told = try daemon.untilReady()
        #expect(told.first?.contains("EXTEND_TIMEOUT_USEC=") == true && told.first?.contains("STATUS=Loading") == true)
        #expect(told.last?.hasPrefix("READY=1\nSTATUS=Watching 1 folder: 0 done, 0 waiting\n") == true, "\(told)")
        // Ready means that what comes now is seen.
        try folder.write(House.china.bytes(), to: "gate/a.jpg")
        try await eventually("it is done") { folder.read("gate/a.jpg.fastvlm.json") != nil }
        let next = try daemon.socket.messages { $0.contains("1 done") }
        #expect(next.allSatisfy { $0.hasPrefix("STATUS=") })
        let end = try await daemon.stop()
        #expect(end.last == "STOPPING=1\nSTATUS=Finishing the picture at hand\n")
        #expect(!end.contains { $0.contains("READY") })
    }

    @Test func aReloadIsToldAndChangesWhatIsWatched() async throws {
        let daemon = try ManagedDaemon(arguments)
        _ = try daemon.untilReady()
        try folder.write(House.china.bytes(), to: "yard/a.jpg")
        try write(["gate", "yard"])
        daemon.process.send(SIGHUP)
        var told = try daemon.socket.messages { $0.contains("READY=1") }
        #expect(told.first?.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") == true)
        #expect(told.last?.contains("STATUS=Watching 2 folders") == true)
        try await eventually("the new folder's picture is done") { folder.read("yard/a.jpg.fastvlm.json") != nil }

        try write(["gate", "yard"], tail: "colour = 3\n")
        daemon.process.send(SIGHUP)
        told = try daemon.socket.messages { $0.contains("READY=1") }
        #expect(told.last?.contains("configuration not used: ") == true && told.last?.contains("colour") == true)
        // The old one holds.
        try folder.write(House.flower.bytes(), to: "yard/b.jpg")
        try await eventually("it is done") { folder.read("yard/b.jpg.fastvlm.json") != nil }

        try write(["yard"])
        daemon.process.send(SIGHUP)
        told = try daemon.socket.messages { $0.contains("READY=1") }
        #expect(told.last?.contains("Watching 1 folder:") == true && told.last?.contains("not used") == false)
        _ = try await daemon.stop()
        #expect(daemon.process.errorsSoFar.contains("The configuration stays as it was."))
    }

    @Test func theWatchdogIsPingedAtHalfItsInterval() async throws {
        let daemon = try ManagedDaemon(arguments, watchdog: .seconds(2))
        _ = try daemon.untilReady()
        let start = ContinuousClock.now
        var pings = 0
        _ = try daemon.socket.messages {
            pings += $0.hasPrefix("WATCHDOG=1") ? 1 : 0
            return pings == 4
        }
        // Four pings lie three seconds apart at the least, and come in time for a manager that waits for two seconds each.
        #expect((.milliseconds(2_500)...(.seconds(30))).contains(ContinuousClock.now - start))
        _ = try await daemon.stop()
    }

    @Test func theStatusFileSaysHowItIsAndGoesWithTheDaemon() async throws {
        let daemon = try ManagedDaemon(arguments, environment: ["RUNTIME_DIRECTORY": place.path])
        _ = try daemon.untilReady()
        try folder.write(House.china.bytes(), to: "gate/a.jpg")
        func status() -> [String: Any]? {
            place.read("status.json").flatMap { try? JSONSerialization.jsonObject(with: Data($0)) as? [String: Any] }
        }
        func done() -> Int? {
            let folders = status()?["folders"] as? [[String: Any]]
            return (folders?.first?["outcomes"] as? [String: Any])?["ok"] as? Int
        }
        try await eventually("it counts the picture") { done() == 1 }
        #expect(status()?["schema"] as? String == "fastvlm.status/1")
        #expect(status()?["state"] as? String == "watching")
        // Nothing happens, nothing is written.
        let version = place.version(of: Array("status.json".utf8))
        try await Task.sleep(for: .seconds(3))
        #expect(place.version(of: Array("status.json".utf8)) == version)
        _ = try await daemon.stop()
        #expect(place.read("status.json") == nil)
    }

    @Test func aManagerThatCannotBeToldIsAWrongStart() async throws {
        let ending = try await run(
            .fastvlmd, "--config", place["fastvlmd.toml"], environment: ["NOTIFY_SOCKET": "here"])
        #expect(ending.status == 3 && ending.errors.contains("NOTIFY_SOCKET is 'here'"))
    }
}
