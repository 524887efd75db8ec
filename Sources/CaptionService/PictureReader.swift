public import FastVLM
internal import Images
internal import Kernels
public import LatencyBudget
internal import ModelFiles

/// Reads pictures with a model, one at a time on the calling thread.
///
/// The person's command uses it as it is; the daemon runs it behind ``FastVLMEngine``.
public final class PictureReader {
    public let model: FastVLMModel
    private let session: FastVLMSession
    /// That it computes on.
    public let threads: Int
    private let decoder = ImageDecoder()
    private let clock = ContinuousClock()

    /// Starts threads for `model`.
    ///
    /// - Parameter threads: 0 for one a core that the process may use.
    public init(_ model: FastVLMModel, threads: Int = 0) throws(EngineError) {
        self.model = model
        do {
            let pool = try ThreadPool(threads: threads == 0 ? ThreadPool.availableCores : threads)
            self.threads = pool.threads
            session = try FastVLMSession(model, pool: pool)
        } catch let error as KernelError {
            throw EngineError(.resources, error.message)
        } catch let error as FastVLMError {
            throw EngineError(error)
        } catch {
            throw EngineError(.resources, "Cannot start the engine: \(error).")
        }
    }

    /// What a profile of this device has to be measured with to hold here.
    public var profileIdentity: DeviceProfile.Identity {
        DeviceProfile.Identity(ModelFacts(model), threads: threads)
    }

    /// Why float32 products will be slow on this machine and what to do, or nil where all is well.
    public var warning: String? { (try? BLAS.shared())?.diagnosis.warning }

    /// Reads `picture`, a JPEG or PNG file's bytes, and does `tasks`.
    ///
    /// - Parameters:
    ///   - plan: What was decided to keep the budget. The default, nil, is the resolution and the length of `tasks`.
    ///   - isCancelled: Asked between the encoder's blocks and between tokens.
    ///   - onText: Receives each reply's text as it is said; `reply` is 0 for the caption, if one is wanted, and
    ///     counts on through the answers.
    ///
    /// Throws ``EngineError/Code/late`` where the plan's deadline can no longer be met.
    public func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan? = nil, isCancelled: () -> Bool = { false },
        onText: (_ reply: Int, _ text: String) -> Void = { _, _ in }
    ) throws(EngineError) -> PictureReport {
        try read(tasks, on: picture, plan: plan, isCancelled: isCancelled, onText: onText)
    }

    /// As ``run(_:on:plan:isCancelled:onText:)``.
    ///
    /// - Parameter forced: Ids to say instead of an answer, for measurements: each reply has as many tokens.
    func read(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan? = nil, forced: [Int]? = nil,
        isCancelled: () -> Bool = { false }, onText: (_ reply: Int, _ text: String) -> Void = { _, _ in }
    ) throws(EngineError) -> PictureReport {
        let start = clock.now
        var timings = PictureReport.Timings()
        /// Set where the work was given up: the share of the encoding that was done.
        var seenWhenLate: Double?
        do {
            var rung = try rung(for: tasks, picture, plan)
            let side = max(rung.passWidth, rung.passHeight)
            try FastVLMModel.validate(resolution: side)
            let decoded = try timed(&timings.decode) { () throws(ImageError) in
                try decoder.decode(picture, covering: max(rung.width, rung.height))
            }
            if tasks.aspect == .native { rung = rung.trimmed(toWidth: decoded.width, height: decoded.height) }
            let views = try timed(&timings.preprocess) { () throws(ImageError) in
                try [decoded.modelPixels(resolution: side, width: rung.passWidth, height: rung.passHeight)]
                    + (rung.isTiled ? decoded.modelTiles(resolution: rung.passWidth, across: rung.columns) : [])
            }
            let encoded = try timed(&timings.vision) { () throws(FastVLMError) in
                try session.encode(
                    views: views, height: rung.passHeight, width: rung.passWidth, isCancelled: isCancelled,
                    mayGoOn: { done in
                        guard let plan else { return true }
                        let seen = plan.seen(encoder: done)
                        if !plan.mayGoOn(seen: seen) { seenWhenLate = seen }
                        return seenWhenLate == nil
                    })
            }
            if let plan, !plan.mayGoOn(seen: 1) {
                seenWhenLate = 1
                throw FastVLMError(.cancelled, "")
            }
            let options = GenerationOptions(
                maxTokens: tasks.maxTokens, temperature: tasks.temperature, topP: tasks.topP, seed: tasks.seed)
            let questions =
                (tasks.prompt.isEmpty ? [] : [PictureTasks.Question(id: "", text: tasks.prompt)]) + tasks.questions
            var replies: [PictureReport.Reply] = []
            for (index, (question, type)) in questions.map({ ($0.text, $0.type) }).enumerated() {
                let begun = clock.now
                var firstToken: ContinuousClock.Instant?
                if type != .text {
                    let answer = try session.answer(
                        question, about: encoded, as: type, isCancelled: isCancelled,
                        onStep: { _ in
                            firstToken = firstToken ?? clock.now
                            return true
                        })
                    onText(index, answer.value.text)
                    timings.count(begun, firstToken, clock.now, start: index == 0 ? start : nil)
                    replies.append(PictureReport.Reply(answer))
                    continue
                }
                var governed: GovernedReply?
                let generation = try session.answer(
                    question, about: encoded, options: options, forced: forced, isCancelled: isCancelled,
                    onText: { text in
                        if firstToken == nil {
                            firstToken = clock.now
                            governed = plan.map { GovernedReply($0, reply: index) }
                        }
                        onText(index, text)
                        return governed?.hear(text) ?? true
                    })
                timings.count(begun, firstToken, clock.now, start: index == 0 ? start : nil)
                replies.append(PictureReport.Reply(generation, governed: governed))
            }
            var report = PictureReport(
                width: decoded.source?.width ?? decoded.width, height: decoded.source?.height ?? decoded.height,
                caption: tasks.prompt.isEmpty ? nil : replies.first,
                answers: Array(replies.dropFirst(tasks.prompt.isEmpty ? 0 : 1)),
                resolution: max(rung.width, rung.height),
                visualTokens: encoded.tokens, timings: timings)
            report.tiles = rung.encoderPasses - 1
            return report
        } catch let error as ImageError {
            guard !error.isResourceFault else { throw EngineError(.resources, error.message) }
            throw EngineError(.picture, error.message, pictureCode: error.code.rawValue)
        } catch let error as FastVLMError {
            if let seenWhenLate {
                throw EngineError(
                    .late, "The picture was given up: it could no longer be answered in time.",
                    spent: EngineError.Spent(timings: timings, seen: seenWhenLate))
            }
            throw EngineError(error)
        } catch {
            throw EngineError(.model, "Cannot read the picture: \(error).")
        }
    }

    /// What is to be seen of `picture`, whose header is read only where its size decides.
    private func rung(for tasks: PictureTasks, _ picture: [UInt8], _ plan: FramePlan?) throws(ImageError) -> Rung {
        if let plan { return plan.plan.rung }
        let info = tasks.tiling ? try ImageDecoder.probe(picture) : nil
        return tasks.fixedRung(
            side: info.map { max($0.width, $0.height) }, usual: model.prepared.defaultResolution)
    }

    /// Runs `body` and adds the milliseconds that it took to `total`.
    private func timed<Result, Failure: Error>(
        _ total: inout Double, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let start = clock.now
        defer { total += (clock.now - start).milliseconds }
        return try body()
    }
}

extension EngineError {
    init(_ error: FastVLMError) {
        let code: Code =
            switch error.code {
            case .model: .model
            case .resources: .resources
            case .contextTooLong, .resolution, .answerType: .request
            case .cancelled: .cancelled
            }
        self.init(code, error.message)
    }
}

extension PictureReport.Reply {
    init(_ generation: Generation, governed: GovernedReply?) {
        let reason = generation.finishReason.rawValue
        let (text, finishReason) = governed?.ending(generation.text, reason) ?? (generation.text, reason)
        self.init(
            text: text.trimmed, finishReason: finishReason, promptTokens: generation.promptTokens,
            generatedTokens: generation.tokens.count)
    }
}

extension PictureReport.Reply {
    init(_ answer: TypedAnswer) {
        self.init(
            text: answer.value.text, finishReason: answer.finishReason.rawValue, promptTokens: answer.promptTokens,
            generatedTokens: answer.steps, value: answer.value, confidence: answer.confidence)
    }
}

extension PictureReport.Timings {
    /// Takes in one reply: from `begun` to its first token, and on until `ended`; the first reply's also from `start`.
    fileprivate mutating func count(
        _ begun: ContinuousClock.Instant, _ firstToken: ContinuousClock.Instant?, _ ended: ContinuousClock.Instant,
        start: ContinuousClock.Instant?
    ) {
        let first = firstToken ?? ended
        prefill += (first - begun).milliseconds
        generate += (ended - first).milliseconds
        if let start { self.firstToken = (first - start).milliseconds }
    }
}

extension String {
    /// Without white space at both ends.
    var trimmed: String {
        guard let start = firstIndex(where: { !$0.isWhitespace }), let end = lastIndex(where: { !$0.isWhitespace })
        else {
            return ""
        }
        return String(self[start...end])
    }
}

extension Duration {
    public var milliseconds: Double {
        Double(components.seconds) * 1e3 + Double(components.attoseconds) * 1e-15
    }
}

extension DeviceProfile.Identity {
    /// This device with the model of `facts` on `threads` threads; 0 for one a core that the process may use.
    init(_ facts: ModelFacts, threads: Int) {
        self.init(
            modelDigest: facts.digest, threads: threads == 0 ? ThreadPool.availableCores : min(max(threads, 1), 256),
            kernels: InstructionSet.best.rawValue)
    }
}
