import CaptionService
import Foundation
import SocketAPI
import Testing

/// Every code of the table is provoked over a real socket.
@Suite struct ProblemTests {
    @Test(.timeLimit(.minutes(1)), arguments: ProblemCode.allCases)
    func everyCodeIsAnsweredAsDocumented(code: ProblemCode) async throws {
        let answer = try await provoke(code)
        #expect(answer.status == code.statusNumber)
        #expect(answer.headers["content-type"] == "application/problem+json")
        let json = try answer.json
        #expect(json["code"] as? String == code.rawValue && json["status"] as? Int == code.statusNumber)
        #expect(json["type"] as? String == "about:blank" && (json["title"] as? String)?.isEmpty == false)
        let error = try #require(json["error"] as? [String: any Sendable])
        #expect(error["code"] as? String == code.rawValue && (error["message"] as? String)?.isEmpty == false)
        // No path of this machine, and nothing of the system's errors.
        for word in ["/tmp", "/var", "errno", "api.sock"] { #expect(!answer.text.contains(word), "\(answer.text)") }
        #expect(answer.time < .seconds(10))
    }

    private static var oneFrame: Spool.Limits {
        var limits = Spool.Limits()
        limits.frames = 1
        return limits
    }

    private static let post = "POST /v1/frames HTTP/1.1\nHost: x\n"

    private func plain(_ head: String, body: [UInt8] = [], halfClose: Bool = false) async throws -> Answer {
        try await withAPI { try await $0.exchange(head, body: body, halfClose: halfClose) }
    }

    private func image(_ url: String) -> String {
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"\(url)\"}}]}]}"
    }

    private func provoke(_ code: ProblemCode) async throws -> Answer {
        switch code {
        case .malformedRequest: try await plain("GET  / HTTP/1.1\nHost: x\n\n")
        case .bareLineFeed: try await withAPI { try await $0.exchange(Array("GET / HTTP/1.1\nHost: x\n\n".utf8)) }
        case .foldedHeader: try await plain("GET / HTTP/1.1\nA: b\n c\n\n")
        case .ambiguousLength: try await plain(Self.post + "Content-Length: 1\nTransfer-Encoding: chunked\n\n")
        case .unsupportedTransferCoding: try await plain(Self.post + "Transfer-Encoding: gzip, chunked\n\n")
        case .requestLineTooLong:
            try await plain("GET /" + String(repeating: "x", count: 2048) + " HTTP/1.1\nHost: x\n\n")
        case .headersTooLarge:
            try await plain("GET / HTTP/1.1\n" + String(repeating: "A: b\n", count: 65) + "\n")
        case .headerTimeout:
            try await withAPI(configure: { $0.limits.header = .seconds(1) }) { api in
                let client = try RawClient(api.path)
                await client.send("GET / HTTP/1.1\nHo")
                return try await client.answer()
            }
        case .bodyTooSlow:
            try await withAPI(configure: {
                $0.limits.bodyGrace = .milliseconds(100)
                $0.limits.header = .milliseconds(400)
            }) { api in
                let client = try RawClient(api.path)
                await client.send(Self.post + "Content-Length: 1000000\n\nx")
                return try await client.answer()
            }
        case .bodyIncomplete: try await plain(Self.post + "Content-Length: 10\n\n123", halfClose: true)
        case .forbidden:
            try await withAPI(configure: { $0.allowedUsers = [getuid() + 1] }) { try await $0.get("/healthz") }
        case .tooManyConnections:
            try await withAPI(configure: { $0.limits.connectionsOfOneUser = 1 }) { api in
                let first = try RawClient(api.path)
                _ = try await first.exchange([Array("GET /healthz HTTP/1.1\r\n\r\n".utf8)])
                let answer = try await api.get("/healthz")
                await first.send("")
                return answer
            }
        case .notFound: try await plain("GET /v1/nothing HTTP/1.1\nHost: x\n\n")
        case .methodNotAllowed: try await plain("DELETE /v1/frames HTTP/1.1\nHost: x\n\n")
        case .invalidParameter: try await withAPI { try await $0.post("/v1/frames?budget_ms=soon", Pictures.china) }
        case .unsupportedParameter: try await withAPI { try await $0.chat("{\"messages\":[],\"n\":2}") }
        case .unsupportedMediaType: try await withAPI { try await $0.post("/v1/frames", [1], type: "text/plain") }
        case .bodyTooLarge: try await plain(Self.post + "Content-Length: \((16 << 20) + 1)\n\n")
        case .bodyMissing: try await plain(Self.post + "\n")
        case .invalidJSON: try await withAPI { try await $0.chat("{\"messages\":") }
        case .jsonTooLarge:
            try await withAPI {
                try await $0.chat("{\"messages\":[],\"x\":\"" + String(repeating: "x", count: 65_536) + "\"}")
            }
        case .imageMissing:
            try await withAPI { try await $0.chat("{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}") }
        case .tooManyImages:
            try await withAPI {
                let part = "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}"
                return try await $0.chat("{\"messages\":[{\"role\":\"user\",\"content\":[\(part),\(part)]}]}")
            }
        case .imageNotInline:
            try await withAPI { [json = image("https://example.org/x.jpg")] in try await $0.chat(json) }
        case .invalidDataURL:
            try await withAPI { [json = image("data:image/jpeg;base64,***")] in try await $0.chat(json) }
        case .modelNotFound:
            try await withAPI { try await $0.chat("{\"model\":\"another\",\"messages\":[]}") }
        case .pictureRefused:
            try await withAPI(
                engine: StubEngine(failure: EngineError(.picture, "Cannot decode it.", pictureCode: "jpeg_truncated"))
            ) {
                let answer = try await $0.post("/v1/frames", [0xFF, 0xD8])
                #expect(try answer.json["picture_code"] as? String == "jpeg_truncated")
                return answer
            }
        case .expired:
            try await withAPI(engine: StubEngine(failure: EngineError(.late, "Too late."))) {
                try await $0.post("/v1/frames?budget_ms=1", Pictures.china)
            }
        case .bodyBudgetExhausted:
            try await withAPI(configure: { $0.limits.bodies = 1000 }) {
                try await $0.exchange(Self.post + "Content-Length: 1001\n\n")
            }
        case .queueFull:
            try await withAPI(engine: StubEngine(latency: .seconds(30)), desk: FrameDesk(capacity: 1)) { api in
                let clients = try (0..<2).map { _ in try RawClient(api.path) }
                for client in clients {
                    await client.send(Self.post + "Content-Length: 3\n\nabc")
                    let count = clients.firstIndex { $0 === client } ?? 0
                    try await eventually("it waits") { api.answerer.desk.counters.pending == count + 1 }
                }
                let answer = try await api.post("/v1/frames", Pictures.china)
                for client in clients { client.finish() }
                return answer
            }
        case .inferenceTimeout:
            try await withAPI(
                engine: StubEngine(latency: .seconds(60)), configure: { $0.limits.inference = .milliseconds(100) }
            ) { try await $0.post("/v1/frames", Pictures.china) }
        case .engineFailed:
            try await withAPI(engine: StubEngine(failure: EngineError(.resources, "No memory at /tmp/x."))) {
                try await $0.post("/v1/frames", Pictures.china)
            }
        case .spoolDisabled:
            try await withAPI { try await $0.post("/v1/frames", Pictures.china, more: "Prefer: respond-async\n") }
        case .spoolFull:
            try await withAPI(hasSpool: true, spoolLimits: Self.oneFrame) { api in
                let first = try await api.post("/v1/frames", Pictures.china, more: "Prefer: respond-async\n")
                #expect(first.status == 202)
                return try await api.post("/v1/frames", Pictures.china, more: "Prefer: respond-async\n")
            }
        case .spoolUnavailable:
            try await withAPI(hasSpool: true) { api in
                try FileManager.default.removeItem(atPath: api.folder.path + "/spool")
                return try await api.post("/v1/frames", Pictures.china, more: "Prefer: respond-async\n")
            }
        case .notReady: try await withAPI(isReady: { false }) { try await $0.get("/readyz") }
        }
    }
}
