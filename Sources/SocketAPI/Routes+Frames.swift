internal import CaptionService
internal import Digests
internal import Dispatch
internal import Glibc
internal import HTTPTypes
internal import HummingbirdCore
internal import Images
internal import Logging
internal import NIOCore
internal import Sidecars

/// A body that is in memory, with the part of the budget that it takes.
struct HeldBody: Sendable {
    let bytes: [UInt8]
    let reservation: BodyReservation
}

extension Routes {
    /// Reads a whole body. Room for it is reserved before any of it is read.
    func body(of request: Request) async throws(Problem) -> HeldBody {
        let limit = configuration.limits.body
        let length = request.headers[.contentLength].flatMap(Int.init)
        guard let reservation = bodies.reserve(length ?? min(BodyReservation.step, limit)) else {
            throw Problem(.bodyBudgetExhausted)
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(length ?? 0)
        do {
            for try await var buffer in request.body {
                let count = bytes.count + buffer.readableBytes
                guard count <= limit else {
                    throw Problem(.bodyTooLarge, "At most \(limit) bytes are allowed.")
                }
                let step = BodyReservation.step
                guard reservation.grow(to: min(limit, (count + step - 1) / step * step)) || reservation.grow(to: count)
                else {
                    throw Problem(.bodyBudgetExhausted)
                }
                bytes += buffer.readBytes(length: buffer.readableBytes) ?? []
            }
        } catch let problem as Problem {
            throw problem
        } catch {
            throw Problem(.bodyIncomplete)
        }
        guard !bytes.isEmpty else { throw Problem(.bodyMissing) }
        return HeldBody(bytes: bytes, reservation: reservation)
    }

    /// `POST /v1/frames`.
    func takeFrame(_ request: Request) async throws(Problem) -> Response {
        let arrival = ContinuousClock.now
        let query = try Query(request, ["source", "budget_ms", "prompt", "ask", "model"])
        let source = try query.source()
        let tasks = try query.apply(to: asked(of: source ?? "frames"))
        guard answerer.models.find(tasks.model) != nil else { throw Problem(noModel: tasks.model) }
        let spooled = try query.spooled()
        if let type = request.headers[.contentType]?.mediaType, !Self.pictureTypes.contains(type) {
            throw Problem(
                .unsupportedMediaType, "Expected \(Self.pictureTypes.joined(separator: ", ")), or none.")
        }
        let isAsynchronous = request.headers[values: .prefer].contains { value in
            value.split(separator: ",").contains { $0.mediaType == "respond-async" }
        }
        if isAsynchronous, spool == nil { throw Problem(.spoolDisabled) }
        let body = try await body(of: request)
        if isAsynchronous {
            return try await keep(body, source: source ?? "socket", spooled)
        }
        let origin = "socket:\(source ?? "frames")"
        let answer = try await answer(
            body, tasks: tasks, origin: origin, kind: .request, arrival: arrival)
        results.publish(answer)
        switch answer.status {
        case .ok: break
        case .refused(let code, let reason): throw Problem(.pictureRefused, reason, pictureCode: code)
        case .expired: throw Problem(.expired, answer.finishReason)
        }
        guard let json = try? answer.json() else { throw Problem(.engineFailed) }
        return Response(json: json)
    }

    /// What is asked of every frame of `source` that does not say otherwise.
    func asked(of source: String) -> PictureTasks {
        configuration.tasks.filledIn(PromptFacts(file: "", folder: "", source: source, modified: ""))
    }

    static let pictureTypes = ["image/jpeg", "image/png", "application/octet-stream"]

    /// Waits for the turn of one frame and answers it.
    func answer(
        _ body: HeldBody, tasks: PictureTasks, origin: String, kind: FrameDesk.Kind,
        arrival: ContinuousClock.Instant, onText: (@Sendable (Int, String) -> Void)? = nil
    ) async throws(Problem) -> SidecarDocument {
        let claim = answerer.claim(tasks, source: origin, kind: kind, budgetStart: arrival)
        let answerer = answerer
        let number = sources[origin]
        let source = SidecarDocument.Source(picture: body.bytes, origin: origin)
        let turn = await withLimit(configuration.limits.inference) {
            await answerer.desk.turn(claim) {
                let frame = FrameAnswerer.Frame(
                    body.bytes, source: source, tasks: tasks, sourceNumber: number,
                    arrival: arrival)
                let answer = await answerer.answer(frame, onText: onText)
                return (answer, answer.ending)
            }
        }
        switch turn {
        case nil: throw Problem(.inferenceTimeout, "Nothing within \(configuration.limits.inference).")
        case .dropped: throw Problem(.queueFull)
        // The client is gone, and hears nothing of it.
        case .cancelled, .superseded, .taken(.cancelled): throw Problem(.notReady)
        case .taken(.failed(let error)):
            logger.error("\(error.message)")
            throw Problem(.engineFailed)
        case .taken(.document(let document)): return document
        }
    }

    /// What `work` gives, or nil if it takes longer than `limit`; it is cancelled then.
    private func withLimit<Value: Sendable>(
        _ limit: Duration, _ work: @escaping @Sendable () async -> Value
    ) async -> Value? {
        await withTaskGroup(of: Value?.self) { group in
            group.addTask { await work() }
            group.addTask {
                try? await Task.sleep(for: limit)
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    /// Leaves a frame in the spool.
    private func keep(
        _ body: HeldBody, source: String, _ request: Spool.Request
    ) async throws(Problem) -> Response {
        guard let spool else { throw Problem(.spoolDisabled) }
        let fileExtension: String
        do {
            fileExtension = try ImageDecoder.probe(body.bytes).format == .png ? "png" : "jpg"
        } catch {
            throw Problem(.pictureRefused, error.message, pictureCode: error.code.rawValue)
        }
        let logger = logger
        // The disk may take its time: not on a thread that others wait for.
        let outcome = await withCheckedContinuation {
            (continuation: CheckedContinuation<Result<String, SidecarError>, Never>) in
            Self.spoolQueue.async {
                continuation.resume(
                    returning: Result { () throws(SidecarError) in
                        try spool.keep(body.bytes, fileExtension: fileExtension, source: source, request: request)
                    })
            }
        }
        let kept: String
        do {
            kept = try outcome.get()
        } catch {
            logger.warning("\(error)")
            throw Problem([ENOSPC, EDQUOT].contains(error.systemCode) ? .spoolFull : .spoolUnavailable)
        }
        let name = String(kept.split(separator: "/").last ?? "")
        var response = Response(
            .accepted,
            json: JSONOutput.object([
                ("status", .string("accepted")), ("id", .string(name)), ("source", .string("spool:\(source)")),
                ("results", .string("/v1/results?source=spool:\(source)")),
            ]).bytes + [10])
        response.headers[.preferenceApplied] = "respond-async"
        return response
    }

    private static let spoolQueue = DispatchQueue(label: "spool")
}

extension HTTPField.Name {
    static let prefer = HTTPField.Name("Prefer") ?? .accept
    static let preferenceApplied = HTTPField.Name("Preference-Applied") ?? .accept
}

extension StringProtocol {
    /// A media type, or a preference, in small letters and without its parameters.
    var mediaType: String {
        let word = prefix { $0 != ";" }
        return String(word.drop { $0 == " " }.prefix { $0 != " " && $0 != "\t" }).lowercased()
    }
}

extension SidecarDocument.Source {
    /// A picture without a file.
    init(picture: [UInt8], origin: String) {
        self.init(sha256: SHA256.hex(picture), bytes: picture.count, origin: origin)
    }
}
