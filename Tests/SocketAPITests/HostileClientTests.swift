import CaptionService
import Foundation
import SocketAPI
import Testing

/// A good client beside bad ones, in short; `Tests/Faults/run sockets` does it with five hundred.
@Suite(.serialized) struct HostileClientTests {
    private static func frame() throws -> [UInt8] {
        let body = try Pictures.china
        return Array("POST /v1/frames HTTP/1.1\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body
    }

    private static var descriptors: Int {
        get throws { try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count }
    }

    @Test(.timeLimit(.minutes(2))) func aGoodClientIsServedBesideSlowAndLyingOnes() async throws {
        try await withAPI(
            engine: StubEngine(latency: .milliseconds(20)),
            configure: {
                $0.limits.header = .milliseconds(500)
                $0.limits.bodyGrace = .milliseconds(500)
            }
        ) { api in
            let good = try RawClient(api.path)
            func times() async throws -> [Duration] {
                var times: [Duration] = []
                for _ in 0..<40 {
                    let answer = try await good.exchange([Self.frame()])
                    #expect(answer.status == 200)
                    times.append(answer.time)
                }
                return times.sorted()
            }
            let alone = try await times()
            let before = try Self.descriptors
            let lies = [
                "GET / HTT", "POST /v1/frames HTTP/1.1\r\nContent-Length: 16777216\r\n\r\nshort",
                "POST /v1/frames HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST /v1/streams/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\nx", "",
            ]
            let bad = Task {
                await withTaskGroup(of: Int.self) { group in
                    for number in 0..<30 {
                        group.addTask {
                            var refused = 0
                            while !Task.isCancelled {
                                guard let client = try? RawClient(api.path) else { continue }
                                await client.send(Array(lies[number % lies.count].utf8))
                                let answer = String(decoding: await client.read(), as: UTF8.self)
                                if answer.contains("too_many_connections") { refused += 1 }
                                try? await Task.sleep(for: .milliseconds(20))
                            }
                            return refused
                        }
                    }
                    return await group.reduce(0, +)
                }
            }
            let beside = try await times()
            bad.cancel()
            let refused = await bad.value
            #expect(refused > 0)
            // The machine may be busy with other tests: the figure is the long way's.
            let limit = max(alone[39] * 4, .milliseconds(500))
            #expect(beside[38] < limit, "\(alone[38]) alone, \(beside[38]) beside them")
            try await eventually("no descriptor is left") { try Self.descriptors <= before }
            let status = try JSONSerialization.jsonObject(with: Data(try await api.get("/v1/status").body))
            #expect((status as? [String: Int])?["body_bytes"] == 0)
        }
    }
}
