internal import FastVLM
internal import FoundationEssentials
public import LatencyBudget
public import Sidecars

extension SidecarDocument {
    /// The result of a picture that was read.
    ///
    /// - Parameters:
    ///   - queued: Milliseconds from its arrival until it was taken up; nil where nothing waited.
    ///   - total: Milliseconds from its arrival to the end.
    ///   - plan: What was decided to keep the budget; nil where nothing was.
    ///   - budget: The budget and what came of it; nil without one.
    public init(
        _ report: PictureReport, tasks: PictureTasks, model: ModelFacts, source: Source, queued: Double? = nil,
        total: Double,
        plan: Plan? = nil, budget: Budget? = nil, health: Health?
    ) {
        var source = source
        source.width = report.width
        source.height = report.height
        let replies = (report.caption.map { [$0] } ?? []) + report.answers
        let timings = report.timings
        self.init(
            status: .ok, source: source, caption: report.caption?.text,
            answers: zip(tasks.questions, report.answers).map { question, reply in
                Answer(
                    id: question.id, question: question.text, type: question.type.word,
                    answer: Answer.Value(reply.value ?? .text(reply.text)), confidence: reply.confidence)
            },
            model: Model(model),
            resolution: Resolution(
                pixels: report.resolution, visualTokens: report.visualTokens,
                tiles: report.tiles > 0 ? report.tiles : nil,
                reason: tasks.resolution != nil || tasks.tiling
                    ? "fixed" : tasks.isBudgeted ? plan?.reason.rawValue ?? "model_default" : "model_default"),
            budget: budget,
            timings: Timings(
                queued: queued.map { Milliseconds($0) }, decode: Milliseconds(timings.decode),
                preprocess: Milliseconds(timings.preprocess), vision: Milliseconds(timings.vision),
                prefill: Milliseconds(timings.prefill), ttft: Milliseconds(timings.firstToken),
                generate: Milliseconds(timings.generate), total: Milliseconds(total),
                promptTokens: replies.first?.promptTokens, generatedTokens: replies.map(\.generatedTokens).reduce(0, +)),
            health: health,
            finishReason: ["deadline", "sentence", "length"].first { reason in
                replies.contains { $0.finishReason == reason }
            }
                ?? replies.first?.finishReason,
            created: .now, generator: Product.generator)
    }

    /// The result of a picture that was not answered because it could not be in time.
    ///
    /// - Parameters:
    ///   - reason: A stable word: `deadline_passed` and `below_lowest_rung` for one that was not started, `loading` where
    ///     its model was not in memory and would not be in time, `no_rungs` for a model without a resolution, `given_up` for
    ///     one that was started.
    ///   - queued: Milliseconds from its arrival until it was taken up.
    ///   - total: Milliseconds from its arrival until it was given up.
    public init(
        expired reason: String, budget: Budget?, model: ModelFacts, source: Source, queued: Double, total: Double,
        health: Health?
    ) {
        self.init(
            status: .expired, source: source, model: Model(model), budget: budget,
            timings: Timings(queued: Milliseconds(queued), total: Milliseconds(total)), health: health,
            finishReason: reason,
            created: .now, generator: Product.generator)
    }

    /// The result of a picture that cannot be read.
    ///
    /// - Parameter model: Nil where there is none of the name that was asked for.
    public init(refusal code: String, reason: String, model: ModelFacts?, source: Source, health: Health?) {
        self.init(
            status: .refused(code: code, reason: reason), source: source, model: model.map { Model($0) },
            health: health,
            created: .now, generator: Product.generator)
    }
}

extension SidecarDocument.Answer.Value {
    init(_ value: AnswerValue) {
        switch value {
        case .text(let text), .choice(let text): self = .string(text)
        case .boolean(let value): self = .boolean(value)
        case .integer(let value): self = .number(Double(value))
        case .number(let value): self = .number(value)
        }
    }
}

extension PictureTasks {
    /// Whether a budget decides about resolution or length.
    var isBudgeted: Bool { budget != nil && followsBudget }
}

extension SidecarDocument.Model {
    init(_ facts: ModelFacts) {
        self.init(name: facts.name, digest: facts.digest, precision: facts.precision)
    }
}

extension Timestamp {
    /// The present moment by the system's clock.
    public static var now: Timestamp { Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)) }
}

extension SidecarDocument.Health {
    /// The state of the device with `queue` frames waiting.
    public init(_ device: DeviceHealth, queue: Int?, degraded: [String] = []) {
        self.init(rss: device.residentMiB, queue: queue, temperature: device.temperature, degraded: degraded)
    }
}
