import CaptionService
import Foundation
import LatencyBudget
import Logging
import ServiceLifecycleTestKit
import SocketAPI
import Testing

/// The socket of a whole daemon that watches a folder, as the program puts them together.
@Suite struct ServedDaemonTests {
    private func withDaemon(
        latency: Duration = .milliseconds(1),
        _ body: @escaping @Sendable (_ socket: String, _ watched: String, _ daemon: Daemon) async throws -> Void
    ) async throws {
        let folder = try ScratchFolder()
        let watched = folder.path + "/watched"
        try FileManager.default.createDirectory(atPath: watched, withIntermediateDirectories: true)
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        var configuration = DaemonConfiguration(
            model: .init(path: "/unused"), watches: [.init(path: watched, name: "gate")])
        configuration.socket = .init()
        let daemon = try Daemon(configuration, engine: try StubEngine(latency: latency), logger: logger)
        let path = folder.path + "/api.sock"
        let (listening, begin) = AsyncStream.makeStream(of: Void.self)
        let socket = SocketAPI(
            .init(path: path), answerer: daemon.answerer, results: daemon.results, isReady: { daemon.isReady },
            statusText: { daemon.statusText(socket: $0) }, metricsText: { daemon.metricsText(socket: $0) },
            logger: logger, onListening: { begin.yield() })
        try await testGracefulShutdown { trigger in
            async let run: Void = daemon.run(services: [socket])
            for await _ in listening { break }
            let result: Result<Void, any Error>
            do { result = .success(try await body(path, watched, daemon)) } catch { result = .failure(error) }
            trigger.triggerGracefulShutdown()
            try await run
            try result.get()
        }
    }

    private static func get(_ client: RawClient, _ target: String) async throws -> Answer {
        try await client.exchange([Array("GET \(target) HTTP/1.1\r\nHost: x\r\n\r\n".utf8)])
    }

    @Test(.timeLimit(.minutes(3))) func everyFrameIsAccountedForAtEachOfTwoHundredScrapesUnderLoad() async throws {
        try await withDaemon { path, watched, daemon in
            let loads = Task {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<3 {
                        group.addTask {
                            let client = try RawClient(path)
                            let body = Pictures.small(UInt8(number))
                            while !Task.isCancelled {
                                let head =
                                    "POST /v1/frames?source=s\(number) HTTP/1.1\r\nContent-Length: \(body.count)\r\n\r\n"
                                let answer = try await client.exchange([Array(head.utf8) + body])
                                #expect(answer.status == 200)
                                // A folder's pictures come when nobody waits.
                                try await Task.sleep(for: .milliseconds(8))
                            }
                        }
                    }
                    group.addTask {
                        let client = try RawClient(path)
                        await client.send("POST /v1/streams/cam HTTP/1.1\nTransfer-Encoding: chunked\n\n")
                        let body = Pictures.small(9)
                        while !Task.isCancelled {
                            await client.send(Array("\(String(body.count, radix: 16))\r\n".utf8) + body + [13, 10])
                            try await Task.sleep(for: .milliseconds(8))
                        }
                    }
                    group.addTask {
                        for number in 0... {
                            guard !Task.isCancelled else { return }
                            try Data(Pictures.small(UInt8(number & 255))).write(
                                to: URL(filePath: "\(watched)/\(number).jpg"), options: .atomic)
                            try await Task.sleep(for: .milliseconds(5))
                        }
                    }
                    try await group.waitForAll()
                }
            }
            defer { loads.cancel() }
            try await eventually("all of them flow") {
                daemon.frames.count == 5 && daemon.frames.allSatisfy { ($0.outcomes["ok"] ?? 0) > 0 }
            }
            let client = try RawClient(path)
            var received: [Double] = []
            var pending: Set<Double> = []
            for _ in 0..<200 {
                let text = try await Self.get(client, "/metrics").text
                var frames: [String: (received: Double, ended: Double, pending: Double)] = [:]
                for line in text.split(separator: "\n") where line.hasPrefix("fastvlm_frames") {
                    let source = try #require(line.split(separator: "source=\"").last?.prefix { $0 != "\"" })
                    let value = try #require(line.split(separator: " ").last.flatMap { Double($0) })
                    if line.hasPrefix("fastvlm_frames_received_total") {
                        frames[String(source), default: (0, 0, 0)].received += value
                    } else if line.hasPrefix("fastvlm_frames_total") {
                        frames[String(source), default: (0, 0, 0)].ended += value
                    } else {
                        frames[String(source), default: (0, 0, 0)].pending += value
                    }
                }
                #expect(frames.keys.sorted() == ["socket:s0", "socket:s1", "socket:s2", "stream:cam", "watch:gate"])
                for (source, one) in frames {
                    #expect(one.received == one.ended + one.pending, "\(source): \(one)")
                }
                received.append(frames.values.reduce(0) { $0 + $1.received })
                pending.insert(frames.values.reduce(0) { $0 + $1.pending })
            }
            // They did flow meanwhile.
            #expect(received == received.sorted() && Set(received).count > 20 && pending.count > 1)
            let status = try ServiceStatus(json: try await Self.get(client, "/v1/status").body)
            let cam = try #require(status.sources?.first { $0.source == "stream:cam" })
            #expect(cam.received == cam.outcomes.values.reduce(0, +) + cam.pending.values.reduce(0, +))
            #expect(status.socket?.connections == 5 && status.folders.map(\.name) == ["gate"])
            #expect(status.count("ok") > status.folders[0].outcomes["ok"] ?? 0)
            let metrics = try await Self.get(client, "/metrics").text
            #expect(metrics.contains("fastvlm_socket_connections 5\n"))
            try await check(metrics)
            loads.cancel()
            _ = await loads.result
        }
    }

    /// Has Prometheus' own tool look at the text, where it is installed.
    private func check(_ metrics: String) async throws {
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool") else { return }
        let folder = try ScratchFolder()
        try Data(metrics.utf8).write(to: URL(filePath: folder.path + "/metrics"))
        let (status, output) = try await runProgram([
            "sh", "-c", "/usr/bin/promtool check metrics < \(folder.path)/metrics 2>&1",
        ])
        #expect(status == 0 && output.isEmpty, "\(output)")
    }

    @Test(.timeLimit(.minutes(1))) func readinessFollowsTheDaemon() async throws {
        try await withDaemon { path, _, daemon in
            let client = try RawClient(path)
            try await eventually("it watches") { daemon.isReady }
            let ready = try await Self.get(client, "/readyz")
            #expect(ready.status == 200 && ready.text == "ready\n")
        }
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let folder = try ScratchFolder()
        let daemon = try Daemon(
            DaemonConfiguration(model: .init(path: "/unused"), watches: [.init(path: folder.path, name: "a")]),
            engine: StubEngine(), logger: logger)
        #expect(!daemon.isReady)
    }
}
