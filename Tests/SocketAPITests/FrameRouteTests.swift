import CaptionService
import Foundation
import Sidecars
import SocketAPI
import Testing

@Suite struct FrameRouteTests {
    @Test(.timeLimit(.minutes(1))) func aFrameIsAnsweredWithItsDocument() async throws {
        try await withAPI { api in
            let listener = api.results.listen()
            let answer = try await api.post(
                "/v1/frames?source=gate-1&prompt=What+is%20it%3F&budget_ms=60000", Pictures.china)
            #expect(answer.status == 200 && answer.headers["content-type"] == "application/json")
            let document = try SidecarDocument(json: answer.body)
            #expect(document.status == .ok && document.caption == "One two three.")
            #expect(document.source.origin == "socket:gate-1" && document.source.bytes == 196_653)
            #expect(document.source.file == nil && document.source.width == 64)
            #expect(document.budget?.milliseconds == 60_000 && document.budget?.met == true)
            #expect(api.engine.asked.tasks.map(\.prompt) == ["What is it?"])
            #expect(api.engine.asked.pictures == [try Pictures.china])
            #expect(await listener.next() == .result(try document.compactJSON()))
            #expect(api.answerer.desk.counters.ok == 1 && api.answerer.desk.counters.isConserved)
        }
    }

    @Test(.timeLimit(.minutes(1))) func aConnectionServesManyRequestsAndTheBodyMayComeInPiecesAndChunks() async throws {
        try await withAPI { api in
            let client = try RawClient(api.path)
            let china = try Pictures.china
            for _ in 0..<3 {
                await client.send("POST /v1/frames HTTP/1.1\nHost: x\nContent-Length: \(china.count)\n\n")
                for start in stride(from: 0, to: china.count, by: 50_000) {
                    await client.send(Array(china[start..<min(china.count, start + 50_000)]))
                }
                #expect(try await client.answer().status == 200)
                await client.send("POST /v1/frames HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n")
                await client.send("3\nabc\n2\nde\n0\n\n")
                #expect(try await client.answer().status == 200)
                await client.send("GET /healthz HTTP/1.1\nHost: x\n\n")
                let health = try await client.answer()
                #expect(health.status == 200 && health.text == "ok\n")
            }
            // A head in single bytes.
            for byte in Array("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n".utf8) { await client.send([byte]) }
            #expect(try await client.answer().status == 200)
            #expect(api.engine.asked.pictures.map(\.count) == [china.count, 5, china.count, 5, china.count, 5])
        }
    }

    @Test(.timeLimit(.minutes(1))) func whoGoesWithoutWaitingIsNotWorkedFor() async throws {
        try await withAPI(engine: StubEngine(latency: .seconds(50))) { api in
            var client: RawClient? = try RawClient(api.path)
            await client?.send("POST /v1/frames HTTP/1.1\nContent-Length: 3\n\nabc")
            try await eventually("it is in work") { !api.engine.asked.tasks.isEmpty }
            client = nil
            try await eventually("it is given up", within: .seconds(10)) { api.engine.asked.cancellations == 1 }
            try await eventually("it is counted") { api.answerer.desk.counters.vanished == 1 }
            #expect(api.answerer.desk.counters.isConserved)
        }
    }

    @Test(.timeLimit(.minutes(1))) func anAsynchronousFrameLiesInTheSpoolWhenItIsAccepted() async throws {
        try await withAPI(hasSpool: true) { api in
            let answer = try await api.post(
                "/v1/frames?source=gate&prompt=Why%3F", Pictures.china, more: "Prefer: wait=5, respond-async\n")
            #expect(answer.status == 202 && answer.headers["preference-applied"] == "respond-async")
            let id = try #require(try answer.json["id"] as? String)
            let kept = try Data(contentsOf: URL(filePath: "\(api.folder.path)/spool/gate/\(id)"))
            #expect(Array(kept) == (try Pictures.china))
            #expect(try answer.json["source"] as? String == "spool:gate")
            #expect(api.folder.names.contains("spool/gate/.\(id).request.json"))
            #expect(api.engine.asked.tasks.isEmpty)
            // What is no picture is refused at once.
            let refused = try await api.post("/v1/frames", Array("words".utf8), more: "Prefer: respond-async\n")
            #expect(refused.status == 422 && refused.code == "picture_refused")
        }
    }

    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            "source=a%2Fb", "source=..", "source=", "budget_ms=0", "budget_ms=nan", "prompt=", "path=/etc/passwd",
            "source=a&source=b",
            "prompt=%zz", "prompt=%ff",
        ])
    func aParameterThatCannotBeUsedIsRefused(query: String) async throws {
        try await withAPI { api in
            let answer = try await api.post("/v1/frames?\(query)", [1])
            #expect(answer.status == 400 && answer.code == "invalid_parameter")
            #expect(api.engine.asked.tasks.isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(1))) func bodiesTogetherStayWithinTheirBudgetAndGiveItBack() async throws {
        try await withAPI(
            engine: StubEngine(latency: .milliseconds(300)),
            configure: {
                $0.limits.bodies = 2 << 20
                $0.limits.connectionsOfOneUser = 32
            }
        ) { api in
            let body = [UInt8](repeating: 7, count: 1 << 20)
            let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                for _ in 0..<8 { group.addTask { try await api.post("/v1/frames", body) } }
                return try await group.reduce(into: [Answer]()) { $0.append($1) }
            }
            let codes = answers.map(\.status)
            #expect(
                codes.contains(200) && codes.contains(503) && Set(codes) == [200, 503],
                "\(answers.map { "\($0.status) \($0.code ?? "") \($0.time)" })")
            #expect(codes.count { $0 == 200 } <= 4)
            for answer in answers where answer.status == 503 {
                #expect(answer.code == "body_budget_exhausted" && answer.headers["retry-after"] == "1")
            }
            let status = try await api.get("/v1/status")
            #expect(try status.json["body_bytes"] as? Int == 0)
        }
    }

    @Test(.timeLimit(.minutes(1))) func modelsStatusAndMetricsSayWhatIs() async throws {
        try await withAPI { api in
            _ = try await api.post("/v1/frames?source=gate", Pictures.china)
            let models = try await api.get("/v1/models").json
            let model = (models["data"] as? [[String: any Sendable]])?.first
            #expect(model?["id"] as? String == "stub" && model?["resolutions"] as? [Int] == [256, 512, 1024])
            let status = try await api.get("/v1/status").json
            #expect(status["connections"] as? Int == 1 && status["refused"] as? Int == 0)
            #expect(status["listeners"] as? Int == 0 && status["body_bytes"] as? Int == 0)
            let metrics = try await api.get("/metrics")
            #expect(
                metrics.text == "fastvlm_up 1\n"
                    && metrics.headers["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
            let head = try await RawClient(api.path).exchange([
                Array("HEAD /metrics HTTP/1.1\r\nConnection: close\r\n\r\n".utf8)
            ])
            #expect(head.status == 200 && head.body.isEmpty)
        }
    }

    @Test(.timeLimit(.minutes(1))) func curlIsACompleteClient() async throws {
        try await withAPI(hasSpool: true) { api in
            func curl(_ arguments: String...) async throws -> String {
                let (status, output) = try await runProgram(["curl", "-sS", "--unix-socket", api.path] + arguments)
                #expect(status == 0, "\(arguments)")
                return output
            }
            let document = try SidecarDocument(
                json: Array(
                    try await curl(
                        "--data-binary", "@\(Pictures.chinaPath)", "-H", "Content-Type: image/jpeg",
                        "http://localhost/v1/frames?source=gate"
                    ).utf8))
            #expect(document.caption == "One two three.")
            #expect(try await curl("-T", Pictures.chinaPath, "http://localhost/v1/frames").contains("\"ok\""))
            #expect(
                try await curl("-T", Pictures.chinaPath, "-H", "Prefer: respond-async", "http://localhost/v1/frames")
                    .contains("\"accepted\""))
            #expect(try await curl("http://localhost/healthz") == "ok\n")
            // More than curl sends without asking first.
            let large = api.folder.path + "/large"
            try Data([UInt8](repeating: 1, count: 3 << 20)).write(to: URL(filePath: large))
            #expect(
                try await curl(
                    "--data-binary", "@\(large)", "-H", "Content-Type: image/png", "http://localhost/v1/frames"
                ).contains("\"ok\""))
            let toLarge = api.folder.path + "/too-large"
            try Data([UInt8](repeating: 1, count: 17 << 20)).write(to: URL(filePath: toLarge))
            #expect(
                try await curl(
                    "--data-binary", "@\(toLarge)", "-H", "Content-Type: image/png", "http://localhost/v1/frames"
                )
                .contains("body_too_large"))
        }
    }
}
