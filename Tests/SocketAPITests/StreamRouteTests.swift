import CaptionService
import Foundation
import Sidecars
import SocketAPI
import Testing

@Suite struct StreamRouteTests {
    private static func part(_ picture: [UInt8]) -> [UInt8] {
        Array("--ffmpeg\r\nContent-type: image/jpeg\r\nContent-length: \(picture.count)\r\n\r\n".utf8) + picture + [
            13, 10,
        ]
    }

    private static func chunk(_ bytes: [UInt8]) -> [UInt8] {
        Array("\(String(bytes.count, radix: 16))\r\n".utf8) + bytes + [13, 10]
    }

    @Test(.timeLimit(.minutes(1))) func theNewestFrameWinsAndEveryFrameIsCounted() async throws {
        try await withAPI(engine: StubEngine(latency: .milliseconds(100))) { api in
            let listener = api.results.listen(source: "gate")
            let client = try RawClient(api.path)
            await client.send("POST /v1/streams/gate?prompt=What%3F HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n")
            for index in 0..<100 {
                await client.send(Self.chunk(Self.part(Pictures.small(UInt8(index)))))
                let counters = api.answerer.desk.counters
                #expect(counters.isConserved)
                try await Task.sleep(for: .milliseconds(5))
            }
            await client.send("0\n\n")
            let answer = try await client.answer()
            #expect(answer.status == 200)
            let frames = try #require(try answer.json["frames"] as? [String: Int])
            #expect(frames["received"] == 100 && frames["pending"] == 0)
            let ok = frames["ok"] ?? 0
            #expect((3...40).contains(ok) && ok + (frames["superseded"] ?? 0) == 100)
            // In the order in which they came, and the last of all is answered.
            let marks = api.engine.asked.pictures.map { $0[6] }
            #expect(marks == marks.sorted() && Set(marks).count == ok && marks.last == 99)
            #expect(api.engine.asked.tasks.allSatisfy { $0.prompt == "What?" })
            for _ in 0..<ok {
                guard case .result(let line) = await listener.next() else { throw CancellationError() }
                #expect(try SidecarDocument(json: line).source.origin == "stream:gate")
            }
        }
    }

    @Test(.timeLimit(.minutes(1))) func aStreamEndsWhenItsClientDoes() async throws {
        try await withAPI(engine: StubEngine(latency: .seconds(50))) { api in
            var client: RawClient? = try RawClient(api.path)
            await client?.send("POST /v1/streams/gate HTTP/1.1\nTransfer-Encoding: chunked\n\n")
            await client?.send(Self.chunk(Pictures.small(1)))
            try await eventually("one is in work") { api.answerer.desk.counters.pending == 1 }
            await client?.send(Self.chunk(Pictures.small(2) + [0xFF, 0xD8, 0xFF, 0xE0, 0, 9, 9]))
            try await eventually("one waits") { api.answerer.desk.counters.pending == 2 }
            client = nil
            try await eventually("nothing is left") { api.answerer.desk.counters.pending == 0 }
            let counters = api.answerer.desk.counters
            #expect(counters.isConserved && counters.received == 2 && counters.ok == 0)
            let status = try await api.get("/v1/status")
            #expect(try status.json["body_bytes"] as? Int == 0)
        }
    }

    @Test(.timeLimit(.minutes(1))) func brokenPicturesAreCountedAndTheOthersAnswered() async throws {
        try await withAPI { api in
            let client = try RawClient(api.path)
            await client.send("POST /v1/streams/cam HTTP/1.1\nTransfer-Encoding: chunked\n\n")
            await client.send(Self.chunk([0xFF, 0xD8, 0xFF, 0xE0, 0, 3, 1, 7] + Pictures.small(5)))
            await client.send("0\n\n")
            let frames = try #require(try await client.answer().json["frames"] as? [String: Int])
            #expect(frames["received"] == 2 && frames["refused"] == 1 && frames["ok"] == 1)
        }
    }

    @Test(.timeLimit(.minutes(1))) func streamsAndListenersEndWithTheDaemon() async throws {
        try await withAPI { api in
            let stream = try RawClient(api.path)
            await stream.send("POST /v1/streams/cam HTTP/1.1\nTransfer-Encoding: chunked\n\n")
            await stream.send(Self.chunk(Pictures.small(1)))
            try await eventually("it is answered") { api.answerer.desk.counters.ok == 1 }
            let listener = try RawClient(api.path)
            await listener.send("GET /v1/results HTTP/1.1\nHost: x\n\n")
            try await eventually("it listens") { api.results.listenerCount == 1 }
            api.end()
            let answer = try await stream.answer()
            #expect(answer.status == 200)
            let heard = try await listener.answer()
            #expect(heard.status == 200)
        }
    }

    @Test(.timeLimit(.minutes(1))) func listenersHearResultsAsTheyComeAndSlowOnesLoseTheOldest() async throws {
        try await withAPI(feed: ResultFeed(capacity: 8)) { api in
            let client = try RawClient(api.path)
            await client.send("GET /v1/results?source=gate HTTP/1.1\nHost: x\n\n")
            try await eventually("it listens") { api.results.listenerCount == 1 }
            _ = try await api.post("/v1/frames?source=yard", Pictures.china)
            _ = try await api.post("/v1/frames?source=gate", Pictures.china)
            let heard = String(
                decoding: await client.read { $0.contains(UInt8(ascii: "}")) && $0.suffix(3).contains(10) },
                as: UTF8.self)
            #expect(
                heard.contains("application/x-ndjson") && heard.contains("socket:gate")
                    && !heard.contains("socket:yard"))
            // It reads nothing while more is said than fits anywhere.
            var document = try SidecarDocument(json: try await api.post("/v1/frames?source=gate", Pictures.china).body)
            document.caption = String(repeating: "x", count: 8000)
            for _ in 0..<2000 { api.results.publish(document) }
            let all = await client.read {
                String(decoding: $0.suffix(80_000), as: UTF8.self).contains("fastvlm.lost/1")
            }
            #expect(String(decoding: all.suffix(80_000), as: UTF8.self).contains("\"lost\":"))
            #expect(api.answerer.desk.counters.ok == 3)
        }
    }
}
