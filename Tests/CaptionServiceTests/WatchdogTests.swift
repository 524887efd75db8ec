import CaptionService
import FoundationEssentials
import Glibc
import Logging
import NotifySocket
import ServiceLifecycleTestKit
import ServiceManager
import Sidecars
import Testing

@Suite struct WatchdogTests {
    @Test func silenceIsOfThoseWhoWork() async throws {
        let heartbeat = Heartbeat()
        try await Task.sleep(for: .milliseconds(30))
        #expect(heartbeat.silence == .zero)
        heartbeat.begin()
        try await Task.sleep(for: .milliseconds(30))
        #expect(heartbeat.silence >= .milliseconds(30))
        heartbeat.beat()
        #expect(heartbeat.silence < .milliseconds(30))
        heartbeat.begin()
        heartbeat.end()
        try await Task.sleep(for: .milliseconds(30))
        #expect(heartbeat.silence >= .milliseconds(30))
        heartbeat.end()
        #expect(heartbeat.silence == .zero)
    }

    /// An engine that never answers: the daemon is pinged for until its patience ends, then no more.
    @Test(.timeLimit(.minutes(1))) func aWorkerThatHangsIsNotPingedFor() async throws {
        let socket = try NotifySocket()
        let notifier = try #require(
            try ServiceNotifier(ServiceEnvironment(["NOTIFY_SOCKET": socket.name], process: getpid())))
        let folder = try ScratchFolder()
        let heartbeat = Heartbeat()
        let (started, begin) = AsyncStream.makeStream(of: Void.self)
        let (released, release) = AsyncStream.makeStream(of: Void.self)
        let engine = StubEngine { tasks, _ in
            begin.yield()
            for await _ in released { break }
            return StubEngine.report(tasks, caption: "at last")
        }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let watchdog = WatchdogService(
            interval: .milliseconds(100), notifier: notifier,
            parts: [.init("the engine", patience: .milliseconds(500)) { heartbeat.silence }], logger: logger)
        let text = "[[watch]]\npath = \"\(folder.path)\"\nname = \"gate\"\n"
        try await withDaemon(text, engine: engine, heartbeat: heartbeat) { daemon in
            try await testGracefulShutdown { trigger in
                async let run: Void = watchdog.run()
                // Nothing to do is no reason for silence.
                for _ in 0..<12 { #expect(socket.next() == "WATCHDOG=1\n") }
                try folder.drop("a", "a.jpg")
                for await _ in started { break }
                let told = try socket.messages { $0.hasPrefix("STATUS=Hangs") }
                #expect(
                    told.last == "STATUS=Hangs: the engine\n" && told.dropLast().allSatisfy { $0 == "WATCHDOG=1\n" })
                #expect(socket.next(within: .milliseconds(600)) == nil)
                // It moves again.
                release.finish()
                #expect(await daemon.next(1).map(\.document.caption) == ["at last"])
                #expect(socket.next() == "WATCHDOG=1\n")
                trigger.triggerGracefulShutdown()
                try await run
            }
        }
    }
}
