internal import CaptionService
internal import HTTPTypes
internal import HummingbirdCore
internal import Logging
internal import NIOCore

extension Routes {
    /// `POST /v1/streams/{source}`: pictures for as long as the client sends any; the newest is the next to be answered.
    ///
    /// Answered, when the body ends, with what became of the pictures of this source.
    func takeStream(_ request: Request, _ name: String) async throws(Problem) -> Response {
        let query = try Query(request, ["budget_ms", "prompt", "ask", "model"])
        guard Spool.isSourceName(name) else {
            throw Problem(.invalidParameter, "source: expected 1 to 64 letters, digits, '.', '_' and '-'.")
        }
        let tasks = try query.apply(to: asked(of: name))
        guard answerer.models.find(tasks.model) != nil else { throw Problem(noModel: tasks.model) }
        let stream = LiveStream(
            origin: "stream:\(name)", number: answerer.desk.liveNumber(), tasks: tasks, limit: configuration.limits.body
        )
        let reading = Task { () -> Problem? in
            do throws(Problem) {
                try await read(request.body, stream)
                return nil
            } catch {
                return error
            }
        }
        let id = ending.onEnd { reading.cancel() }
        let problem = await withTaskCancellationHandler {
            await reading.value
        } onCancel: {
            reading.cancel()
        }
        ending.forget(id)
        answerer.desk.forget(live: stream.number)
        if let problem { throw problem }
        let counters = answerer.desk.countersBySource[stream.origin] ?? FrameCounters()
        return Response(
            json: JSONOutput.object([("source", .string(stream.origin)), ("frames", counters.json)]).bytes + [10])
    }

    /// One camera for as long as it is connected.
    private struct LiveStream: Sendable {
        let origin: String
        /// The desk's.
        let number: Int
        let tasks: PictureTasks
        /// Bytes of one picture.
        let limit: Int
    }

    /// Takes pictures out of `body` to its end, and waits until those that were taken have ended.
    private func read(_ body: RequestBody, _ stream: LiveStream) async throws(Problem) {
        guard let assembly = bodies.reserve(1) else { throw Problem(.bodyBudgetExhausted) }
        let desk = answerer.desk
        let problem = await withDiscardingTaskGroup(returning: Problem?.self) { group in
            var splitter = JPEGSplitter(limit: stream.limit)
            do {
                for try await var buffer in body {
                    var pictures: [[UInt8]] = []
                    splitter.read(buffer.readBytes(length: buffer.readableBytes) ?? []) { event in
                        switch event {
                        case .begin: break
                        case .broken: desk.count(.refused, from: stream.origin)
                        case .picture(let bytes): pictures.append(bytes)
                        }
                    }
                    if !assembly.grow(to: splitter.count) {
                        splitter.drop()
                        desk.count(.dropped, from: stream.origin)
                    }
                    for bytes in pictures {
                        guard let reservation = bodies.reserve(bytes.count) else {
                            desk.count(.dropped, from: stream.origin)
                            continue
                        }
                        let arrival = ContinuousClock.now
                        // Here and not in the task, so that the newest is the one that came last.
                        let ticket = desk.ask(
                            answerer.claim(
                                stream.tasks, source: stream.origin, kind: .live(stream.number), budgetStart: arrival))
                        let held = HeldBody(bytes: bytes, reservation: reservation)
                        group.addTask { await answer(held, stream, ticket, arrival) }
                    }
                }
            } catch let problem as Problem {
                return problem
            } catch {
                // At the daemon's end it is not the client's fault.
                return Task.isCancelled ? nil : Problem(.bodyIncomplete)
            }
            return nil
        }
        if let problem { throw problem }
    }

    private func answer(
        _ body: HeldBody, _ stream: LiveStream, _ ticket: FrameDesk.Ticket, _ arrival: ContinuousClock.Instant
    ) async {
        let turn = await answerer.desk.turn(ticket) {
            let frame = FrameAnswerer.Frame(
                body.bytes, source: .init(picture: body.bytes, origin: stream.origin), tasks: stream.tasks,
                sourceNumber: sources[stream.origin], arrival: arrival)
            let answer = await answerer.answer(frame)
            return (answer, answer.ending)
        }
        switch turn {
        case .taken(.document(let document)): results.publish(document)
        case .taken(.failed(let error)): logger.error("\(error.message)", metadata: ["source": "\(stream.origin)"])
        case .taken(.cancelled), .superseded, .dropped, .cancelled: break
        }
    }
}
