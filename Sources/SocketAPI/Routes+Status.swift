internal import CaptionService
internal import HTTPTypes
internal import HummingbirdCore
internal import LatencyBudget
internal import NIOCore

extension Routes {
    /// `GET /v1/models`, in OpenAI's shape: all models, the default first.
    func models() -> Response {
        let models = answerer.models.standings.map { standing in
            JSONOutput.object([
                ("id", .string(standing.id)), ("object", .string("model")), ("created", .integer(0)),
                ("owned_by", .string("local")), ("name", .string(standing.card.facts.name)),
                ("digest", .string(standing.card.facts.digest)), ("precision", .string(standing.card.facts.precision)),
                ("state", .string(standing.phase.rawValue)), ("loaded", .bool(standing.phase == .loaded)),
                ("default_resolution", .integer(standing.card.defaultResolution)),
                ("resolutions", .array(standing.card.ladder.steps.map { .integer($0.rung.width) })),
            ])
        }
        return Response(json: JSONOutput.object([("object", .string("list")), ("data", .array(models))]).bytes)
    }

    /// Who uses the socket now.
    var usage: ServiceStatus.Socket {
        ServiceStatus.Socket(
            connections: connections.count, refused: connections.refused, listeners: results.listenerCount,
            bodyBytes: bodies.reserved)
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
