internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import Kernels
internal import ModelFiles

/// Times a model's work in the calling process.
struct Benchmark {
    enum Work: String, CaseIterable {
        case vision, prefill, decode
    }

    /// Positions of text in a measured prompt.
    static let textTokens = 30
    /// Positions before the first measured decoder step: a picture of 512 x 512 pixels and the text.
    static let decodeContext = 94
    static let decodeSteps = 32

    private let model: FastVLMModel
    private let session: FastVLMSession
    private let threads: Int
    private let runs: Int
    private let clock = ContinuousClock()

    init(_ model: FastVLMModel, threads: Int, runs: Int) throws {
        self.model = model
        self.threads = threads
        self.runs = runs
        session = try FastVLMSession(model, pool: try ThreadPool(threads: threads))
    }

    /// Measures `works` at `resolutions` and hands out each row when it is known.
    func run(_ works: Set<Work>, resolutions: [Int], _ emit: (Row) throws -> Void) throws {
        let question = question(tokens: Self.textTokens)
        for pixels in resolutions {
            let picture = Self.noise(pixels)
            let encode = { try session.encode(picture, height: pixels, width: pixels) }
            if works.contains(.vision) {
                let times = try measure { _ = try encode() }
                try emit(row(.vision, times) { $0.resolution = pixels })
            }
            if works.contains(.prefill) {
                let encoded = try encode()
                let times = try measure {
                    session.forget()
                    _ = try session.answer(question, about: encoded, options: GenerationOptions(maxTokens: 1))
                }
                try emit(row(.prefill, times) { $0.tokens = encoded.tokens + Self.textTokens })
            }
        }
        if works.contains(.decode) { try emit(try decode(question)) }
    }

    private func decode(_ question: String) throws -> Row {
        let side = 64 * Int(Double(Self.decodeContext - Self.textTokens).squareRoot())
        let encoded = try session.encode(Self.noise(side), height: side, width: side)
        let forced = (0...Self.decodeSteps).map { _ in 5 }
        var moments: [ContinuousClock.Instant] = []
        session.forget()
        _ = try session.answer(
            question, about: encoded, forced: forced,
            onText: { _ in
                moments.append(clock.now)
                return true
            })
        let times = zip(moments, moments.dropFirst()).map { ($1 - $0).milliseconds }.sorted()
        return row(.decode, times) { $0.tokensPerSecond = 1000 / times[times.count / 2] }
    }

    /// Milliseconds of each run, ascending.
    private func measure(_ body: () throws -> Void) throws -> [Double] {
        try body()
        return try (0..<runs).map { _ in
            let start = clock.now
            try body()
            return (clock.now - start).milliseconds
        }.sorted()
    }

    /// A question that makes a prompt of `tokens` positions beside the picture's, or of more where the template alone
    /// is longer.
    private func question(tokens: Int) -> String {
        var question = "Describe"
        while session.promptTokens(question, imageToken: -1).count - 1 < tokens { question += " it" }
        return question
    }

    /// Noise: a picture on which nothing can be saved. The same each time.
    private static func noise(_ pixels: Int) -> [Float] {
        var state: UInt32 = 1
        return (0..<pixels * pixels * 3).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return Float(state >> 8) / Float(1 << 24)
        }
    }

    private func row(_ work: Work, _ times: [Double], _ fill: (inout Row) -> Void) -> Row {
        let memory = ProcessMemory.current
        var row = Row(
            precision: model.prepared.precision.rawValue, work: work.rawValue, medianMs: times[times.count / 2],
            p95Ms: times[min(times.count - 1, times.count * 95 / 100)], peakRssMb: memory.peak, anonymousMb: memory.anonymous,
            fileMb: memory.file, threads: threads, isa: InstructionSet.best.rawValue, model: model.prepared.digest)
        fill(&row)
        return row
    }
}

extension Benchmark {
    /// One measurement, with the keys that the comparison with other runtimes uses.
    struct Row: Encodable {
        let runtime = "fastvlmd"
        let precision: String
        let work: String
        var resolution: Int?
        var tokens: Int?
        let medianMs: Double
        let p95Ms: Double
        var tokensPerSecond: Double?
        /// MiB; the largest so far.
        let peakRssMb: Int?
        /// MiB of its own, and of mapped files, at the end of this measurement.
        let anonymousMb: Int?
        let fileMb: Int?
        let threads: Int
        let isa: String
        let model: String
        let version = Product.version

        enum CodingKeys: String, CodingKey {
            case runtime, precision, work, resolution, tokens, threads, isa, model, version
            case medianMs = "median_ms"
            case p95Ms = "p95_ms"
            case tokensPerSecond = "tokens_per_s"
            case peakRssMb = "peak_rss_mb"
            case anonymousMb = "anonymous_mb"
            case fileMb = "file_mb"
        }

        static let heading = "work     at         median       p95   tokens/s   peak MB"

        var line: String {
            let place = resolution.map { "\($0) px" } ?? tokens.map { "\($0) tokens" } ?? "-"
            let speed = tokensPerSecond.map { Self.tenths($0) } ?? "-"
            return work.padded(to: 9) + place.padded(to: 11) + "\(Self.tenths(medianMs)) ms".padded(to: 12)
                + "\(Self.tenths(p95Ms)) ms".padded(to: 12) + speed.padded(to: 10) + (peakRssMb.map { "\($0)" } ?? "-")
        }

        private static func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

        func json() throws -> String {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        }
    }
}

/// What the kernel says of this process's memory, in MiB.
private struct ProcessMemory {
    var peak: Int?
    var anonymous: Int?
    var file: Int?

    static var current: ProcessMemory {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        func field(_ name: String) -> Int? {
            text.split(separator: "\n").first { $0.hasPrefix(name + ":") }?.split(separator: " ").dropFirst().first
                .flatMap { Int($0) }.map { $0 / 1024 }
        }
        return ProcessMemory(peak: field("VmHWM"), anonymous: field("RssAnon"), file: field("RssFile"))
    }
}
