internal import CaptionService
internal import HTTPTypes
internal import HummingbirdCore
internal import LatencyBudget
internal import NIOCore

extension Routes {
    /// `GET /v1/models`, in OpenAI's shape.
    func models() -> Response {
        let model = answerer.engine.model
        return Response(
            json: JSONOutput.object([
                ("object", .string("list")),
                (
                    "data",
                    .array([
                        .object([
                            ("id", .string(model.name)), ("object", .string("model")), ("created", .integer(0)),
                            ("owned_by", .string("local")), ("digest", .string(model.digest)),
                            ("precision", .string(model.precision)),
                            ("default_resolution", .integer(answerer.engine.defaultResolution)),
                            ("resolutions", .array(answerer.engine.ladder.steps.map { .integer($0.rung.width) })),
                        ])
                    ])
                ),
            ]).bytes)
    }

    /// `GET /v1/status`.
    func status() -> Response {
        if let statusText { return Response(json: Array(statusText().utf8)) }
        let model = answerer.engine.model
        let condition = answerer.condition.now
        let health = DeviceHealth.sample()
        let desk = answerer.desk
        var members: [(String, JSONOutput)] = [
            ("version", .string(Product.version)), ("ready", .bool(isReady())),
            ("uptime_s", .integer(Int((ContinuousClock.now - started).components.seconds))),
            (
                "model",
                .object([
                    ("name", .string(model.name)), ("digest", .string(model.digest)),
                    ("precision", .string(model.precision)),
                ])
            ),
            ("queue", .integer(condition.waiting)),
            ("oldest_wait_ms", .integer(Int((desk.oldestWait ?? .zero).milliseconds))),
            ("frames", desk.counters.json),
            (
                "sources",
                .object(desk.countersBySource.sorted { $0.key < $1.key }.map { ($0.key, $0.value.json) })
            ),
            ("connections", .integer(connections())), ("listeners", .integer(results.listenerCount)),
            ("body_bytes", .integer(bodies.reserved)),
            ("degraded", .array(condition.degraded.sorted().map { .string($0) })),
        ]
        if let resident = health.residentMiB { members.append(("rss_mb", .integer(resident))) }
        if let temperature = health.temperature { members.append(("temperature_c", .number(temperature))) }
        return Response(json: JSONOutput.object(members).bytes + [10])
    }

    /// `GET /v1/results?source=`: one JSON document a line, for as long as the client listens.
    func sendResults(_ request: Request, _ connection: Connection) throws(Problem) -> Response {
        let query = try Query(request, ["source"])
        let listener = results.listen(source: query["source"])
        return Response(
            status: .ok, headers: [.contentType: "application/x-ndjson", .cacheControl: "no-store"],
            body: ResponseBody { writer in
                let id = connection.onClose { listener.stop() }
                defer {
                    listener.stop()
                    connection.forget(id)
                }
                while let event = await listener.next() {
                    switch event {
                    case .result(let line): try await writer.write(ByteBuffer(bytes: line + [10]))
                    case .lost(let count):
                        let line = JSONOutput.object([
                            ("schema", .string("fastvlm.lost/1")), ("lost", .integer(count)),
                        ]).bytes
                        try await writer.write(ByteBuffer(bytes: line + [10]))
                    }
                }
                try await writer.finish(nil)
            })
    }
}

extension FrameCounters {
    var json: JSONOutput {
        .object(
            [("received", JSONOutput.integer(received))]
                + FrameEnding.allCases.map { ($0.rawValue, JSONOutput.integer(self[$0])) }
                + [("pending", JSONOutput.integer(pending))])
    }
}
