internal import CaptionService
internal import FastVLM
internal import HTTPTypes
internal import HummingbirdCore
internal import NIOCore
internal import Sidecars
internal import Synchronization

extension Routes {
    /// `POST /v1/chat/completions`.
    func completeChat(_ request: Request, _ connection: Connection) async throws(Problem) -> Response {
        let arrival = ContinuousClock.now
        _ = try Query(request, [])
        guard request.headers[.contentType]?.mediaType == "application/json" else {
            throw Problem(.unsupportedMediaType, "Expected application/json.")
        }
        let (chat, held) = try await chatRequest(request)
        let completion = ChatCompletion(
            id: "chatcmpl-\(String(UInt64.random(in: 0...UInt64.max), radix: 36))",
            created: Int(Timestamp.now.milliseconds / 1000), model: chat.model, schema: chat.schema)
        guard chat.isStreamed else {
            let document = try await answer(
                held, tasks: chat.tasks, origin: Self.chatOrigin, kind: .request, arrival: arrival)
            try Self.refuseWithoutAnswer(document)
            return Response(json: completion.whole(document).bytes + [10])
        }
        return try await stream(chat, held, completion, connection, arrival)
    }

    private static let chatOrigin = "socket:chat"

    /// Reads the request; of the body only the picture is kept.
    private func chatRequest(_ request: Request) async throws(Problem) -> (ChatRequest, HeldBody) {
        let body = try await body(of: request)
        let chat = try ChatRequest(
            body.bytes, limits: configuration.limits, tasks: asked(of: "chat"), find: answerer.models.find)
        return (chat, HeldBody(bytes: chat.picture, reservation: body.reservation))
    }

    private static func refuseWithoutAnswer(_ document: SidecarDocument) throws(Problem) {
        switch document.status {
        case .ok: break
        case .refused(let code, let reason): throw Problem(.pictureRefused, reason, pictureCode: code)
        case .expired: throw Problem(.expired, document.finishReason)
        }
    }

    private enum Piece: Sendable {
        case text(String)
        case end(SidecarDocument)
        case failed(Problem)
    }

    /// Sends the reply as it is said. What goes wrong before its first word is answered as a problem.
    private func stream(
        _ chat: ChatRequest, _ held: HeldBody, _ completion: ChatCompletion, _ connection: Connection,
        _ arrival: ContinuousClock.Instant
    ) async throws(Problem) -> Response {
        let (pieces, source) = AsyncStream.makeStream(of: Piece.self)
        let work = Task {
            do throws(Problem) {
                let document = try await answer(
                    held, tasks: chat.tasks, origin: Self.chatOrigin, kind: .request, arrival: arrival,
                    onText: { reply, text in if reply == 0, chat.schema == nil { source.yield(.text(text)) } })
                try Self.refuseWithoutAnswer(document)
                source.yield(.end(document))
            } catch {
                source.yield(.failed(error))
            }
            source.finish()
        }
        let id = connection.onClose { work.cancel() }
        var iterator = pieces.makeAsyncIterator()
        guard let first = await iterator.next() else { throw Problem(.engineFailed) }
        if case .failed(let problem) = first {
            connection.forget(id)
            throw problem
        }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream", .cacheControl: "no-store"],
            body: ResponseBody { writer in
                defer {
                    work.cancel()
                    connection.forget(id)
                }
                func send(_ json: JSONOutput) async throws {
                    try await writer.write(ByteBuffer(bytes: Array("data: ".utf8) + json.bytes + [10, 10]))
                }
                var text = StreamedText()
                try await send(completion.chunk(.object([("role", .string("assistant")), ("content", .string(""))])))
                // It goes on where the first was taken.
                var iterator = pieces.makeAsyncIterator()
                var next: Piece? = first
                while let piece = next {
                    switch piece {
                    case .text(let piece):
                        let said = text.say(piece)
                        if !said.isEmpty { try await send(completion.chunk(.object([("content", .string(said))]))) }
                    case .end(let document):
                        // Only whole is an object one.
                        if chat.schema != nil {
                            try await send(
                                completion.chunk(.object([("content", .string(completion.content(document)))])))
                        }
                        try await send(completion.lastChunk(document))
                        if chat.includesUsage { try await send(completion.usageChunk(document)) }
                        try await writer.write(ByteBuffer(string: "data: [DONE]\n\n"))
                    case .failed(let problem): try await send(.raw(Array(problem.json.dropLast())))
                    }
                    next = await iterator.next()
                }
                try await writer.finish(nil)
            })
    }
}

/// A reply as it is said, without white space at its ends: such is held back until something follows it.
struct StreamedText {
    private var space = ""
    private var hasBegun = false

    mutating func say(_ piece: String) -> String {
        let text = (hasBegun ? space + piece : String((space + piece).drop { $0.isWhitespace }))
        guard let last = text.lastIndex(where: { !$0.isWhitespace }) else {
            space = text
            return ""
        }
        hasBegun = true
        space = String(text[text.index(after: last)...])
        return String(text[...last])
    }
}

/// One reply in OpenAI's shape.
struct ChatCompletion: Sendable {
    let id: String
    /// Seconds since 1970.
    let created: Int
    let model: String
    /// The form of the answer; nil for text.
    let schema: JSONAnswerSchema?

    /// What is said: an object of the form that was asked for, or the caption.
    func content(_ document: SidecarDocument) -> String {
        schema.map { $0.object(document) } ?? document.caption ?? ""
    }

    /// Each value of the object with its type and, where it was measured, its confidence.
    private func answers(_ document: SidecarDocument) -> [(String, JSONOutput)] {
        guard schema != nil else { return [] }
        let answers = document.answers.map { answer in
            let value: JSONOutput =
                switch answer.answer {
                case .string(let text): .string(text)
                case .number(let number): .number(number)
                case .boolean(let bool): .bool(bool)
                case nil: .null
                }
            return JSONOutput.object(
                [("id", .string(answer.id)), ("type", .string(answer.type)), ("answer", value)]
                    + (answer.confidence.map { [("confidence", .number($0))] } ?? []))
        }
        return [("answers", .array(answers))]
    }

    func whole(_ document: SidecarDocument) -> JSONOutput {
        object(
            "chat.completion",
            choices: [
                .object([
                    ("index", .integer(0)),
                    (
                        "message",
                        .object([
                            ("role", .string("assistant")), ("content", .string(content(document))),
                            ("refusal", .null),
                        ])
                    ),
                    ("logprobs", .null), ("finish_reason", .string(Self.finishReason(document))),
                ])
            ], [("usage", Self.usage(document)), ("timings", Self.timings(document))] + answers(document))
    }

    func chunk(_ delta: JSONOutput) -> JSONOutput {
        object("chat.completion.chunk", choices: [choice(delta, .null)], [])
    }

    func lastChunk(_ document: SidecarDocument) -> JSONOutput {
        object(
            "chat.completion.chunk", choices: [choice(.object([]), .string(Self.finishReason(document)))],
            [("timings", Self.timings(document))] + answers(document))
    }

    func usageChunk(_ document: SidecarDocument) -> JSONOutput {
        object("chat.completion.chunk", choices: [], [("usage", Self.usage(document))])
    }

    private func choice(_ delta: JSONOutput, _ finishReason: JSONOutput) -> JSONOutput {
        .object([
            ("index", .integer(0)), ("delta", delta), ("logprobs", .null), ("finish_reason", finishReason),
        ])
    }

    private func object(
        _ kind: String, choices: [JSONOutput], _ more: [(String, JSONOutput)]
    ) -> JSONOutput {
        .object(
            [
                ("id", .string(id)), ("object", .string(kind)), ("created", .integer(created)),
                ("model", .string(model)), ("choices", .array(choices)),
            ] + more)
    }

    /// OpenAI knows an end by itself and one by a limit.
    private static func finishReason(_ document: SidecarDocument) -> String {
        switch document.finishReason {
        case "length", "deadline": "length"
        default: "stop"
        }
    }

    private static func usage(_ document: SidecarDocument) -> JSONOutput {
        let (prompt, generated) = (document.timings?.promptTokens ?? 0, document.timings?.generatedTokens ?? 0)
        return .object([
            ("prompt_tokens", .integer(prompt)), ("completion_tokens", .integer(generated)),
            ("total_tokens", .integer(prompt + generated)),
        ])
    }

    /// With the keys of a result's `timings`, and its resolution and budget.
    private static func timings(_ document: SidecarDocument) -> JSONOutput {
        guard let timings = document.timings else { return .object([]) }
        var members: [(String, JSONOutput)] = [
            ("queued_ms", timings.queued), ("decode_ms", timings.decode), ("preprocess_ms", timings.preprocess),
            ("vision_ms", timings.vision), ("prefill_ms", timings.prefill), ("ttft_ms", timings.ttft),
            ("generate_ms", timings.generate), ("total_ms", timings.total),
        ].compactMap { name, value in value.map { (name, .number($0.value)) } }
        if let resolution = document.resolution {
            members += [
                ("pixels", .integer(resolution.pixels)), ("visual_tokens", .integer(resolution.visualTokens)),
            ]
        }
        if let budget = document.budget {
            members += [("budget_ms", .number(budget.milliseconds.value)), ("budget_met", .bool(budget.met))]
        }
        return .object(members)
    }
}
