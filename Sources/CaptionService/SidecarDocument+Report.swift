internal import FoundationEssentials
public import Sidecars

extension SidecarDocument {
    /// The result of a picture that was read.
    ///
    /// - Parameters:
    ///   - queued: Milliseconds from its arrival until it was taken up; nil where nothing waited.
    ///   - total: Milliseconds from its arrival to the end.
    public init(
        _ report: PictureReport, tasks: PictureTasks, model: ModelFacts, source: Source, queued: Double? = nil, total: Double,
        health: Health?
    ) {
        var source = source
        source.width = report.width
        source.height = report.height
        let replies = (report.caption.map { [$0] } ?? []) + report.answers
        let timings = report.timings
        self.init(
            status: .ok, source: source, caption: report.caption?.text,
            answers: zip(tasks.questions, report.answers).map { question, reply in
                Answer(id: question.id, question: question.text, type: "text", answer: .string(reply.text))
            },
            model: Model(model),
            resolution: Resolution(
                pixels: report.resolution, visualTokens: report.visualTokens,
                reason: tasks.resolution == nil ? "model_default" : "fixed"),
            timings: Timings(
                queued: queued.map { Milliseconds($0) }, decode: Milliseconds(timings.decode),
                preprocess: Milliseconds(timings.preprocess), vision: Milliseconds(timings.vision),
                prefill: Milliseconds(timings.prefill), ttft: Milliseconds(timings.firstToken),
                generate: Milliseconds(timings.generate), total: Milliseconds(total),
                promptTokens: replies.first?.promptTokens, generatedTokens: replies.map(\.generatedTokens).reduce(0, +)),
            health: health, finishReason: replies.contains { $0.finishReason == "length" } ? "length" : replies.first?.finishReason,
            created: .now, generator: Product.generator)
    }

    /// The result of a picture that cannot be read.
    public init(refusal code: String, reason: String, model: ModelFacts, source: Source, health: Health?) {
        self.init(
            status: .refused(code: code, reason: reason), source: source, model: Model(model), health: health,
            created: .now, generator: Product.generator)
    }
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
