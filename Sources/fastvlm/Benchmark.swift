internal import CaptionService
internal import FastVLM
internal import Kernels
internal import ModelFiles

/// Times a model's work in the calling process, on one number of threads.
struct Benchmark {
    enum Work: String, CaseIterable {
        case frame, vision, prefill, decode, kernels
    }

    /// Positions of text in a measured prompt.
    static let textTokens = 30
    /// Positions before the first measured decoder step: a picture of 512 x 512 pixels and the text.
    static let decodeContext = 94
    /// Steps whose median is the decoder's speed.
    static let decodeSteps = 32
    /// Numbers of tokens whose whole time is told.
    static let generated = [8, 16, 32, 64, 128]

    let model: FastVLMModel
    let threads: Int
    let runs: Int
    /// The file of a frame, and the tokens to generate for it.
    let picture: [UInt8]
    let frameTokens: Int
    /// Called before each measurement, for a progress bar.
    let willMeasure: () -> Void
    private let clock = ContinuousClock()
    private let memory = MemoryWatch()

    init(
        _ model: FastVLMModel, threads: Int, runs: Int, picture: [UInt8], frameTokens: Int,
        willMeasure: @escaping () -> Void = {}
    ) {
        self.model = model
        self.threads = threads
        self.runs = runs
        self.picture = picture
        self.frameTokens = frameTokens
        self.willMeasure = willMeasure
    }

    /// Measures `works` at `resolutions` and hands out each row when it is known. Frames come first, while nothing but
    /// what they need is in memory.
    func run(_ works: Set<Work>, resolutions: [Int], _ emit: (BenchmarkRow) throws -> Void) throws {
        if works.contains(.frame) { try frames(resolutions, emit) }
        guard !works.isDisjoint(with: [.vision, .prefill, .decode, .kernels]) else { return }
        let pool = try ThreadPool(threads: threads)
        let most = KernelBenchmark(pool: pool)
        let session = try FastVLMSession(model, pool: pool)
        let question = Self.question(session, tokens: Self.textTokens)
        for pixels in resolutions {
            let picture = Self.noise(pixels)
            let encode = { try session.encode(picture, height: pixels, width: pixels) }
            if works.contains(.vision) {
                let times = try measure { _ = try encode() }
                let work = model.prepared.configuration.visionArithmetic(width: pixels, height: pixels)
                try emit(row("vision", times, work, most) { $0.resolution = pixels })
            }
            if works.contains(.prefill) {
                let encoded = try encode()
                let times = try measure {
                    session.forget()
                    _ = try session.answer(question, about: encoded, options: GenerationOptions(maxTokens: 1))
                }
                let tokens = encoded.tokens + Self.textTokens
                let work = model.prepared.configuration.textArithmetic(tokens: tokens)
                try emit(row("prefill", times, work, most) { $0.tokens = tokens })
            }
        }
        if works.contains(.decode) { try decode(session, question, most, emit) }
        if works.contains(.kernels) {
            try kernels(try Compute(pool: pool), most, resolution: resolutions.max() ?? 0, emit)
        }
    }

    // MARK: - Parts

    /// A picture's file to its last token, as the daemon does it.
    private func frames(_ resolutions: [Int], _ emit: (BenchmarkRow) throws -> Void) throws {
        let reader = try PictureReader(model, threads: threads)
        for pixels in resolutions {
            var tasks = PictureTasks()
            tasks.resolution = pixels
            tasks.maxTokens = frameTokens
            var reports: [PictureReport] = []
            let times = try measure { reports.append(try reader.run(tasks, on: picture)) }
            let timings = reports.dropFirst().map(\.timings)
            func median(_ part: (PictureReport.Timings) -> Double) -> Double {
                timings.map(part).sorted()[timings.count / 2]
            }
            try emit(
                row("frame", times) {
                    $0.resolution = pixels
                    $0.tokens = reports.last?.caption?.generatedTokens
                    $0.ttftMs = median(\.firstToken)
                    $0.decodeMs = median(\.decode)
                    $0.preprocessMs = median(\.preprocess)
                    $0.visionMs = median(\.vision)
                    $0.prefillMs = median(\.prefill)
                    $0.generateMs = median(\.generate)
                })
        }
    }

    /// One token after another: the median of the first steps, and how the whole time grows.
    private func decode(
        _ session: FastVLMSession, _ question: String, _ most: KernelBenchmark, _ emit: (BenchmarkRow) throws -> Void
    ) throws {
        let side = 64 * Int(Double(Self.decodeContext - Self.textTokens).squareRoot())
        let encoded = try session.encode(Self.noise(side), height: side, width: side)
        let longest = Self.generated.max() ?? Self.decodeSteps
        var moments: [ContinuousClock.Instant] = []
        willMeasure()
        session.forget()
        _ = try session.answer(
            question, about: encoded, forced: [Int](repeating: 5, count: longest + 1),
            onText: { _ in
                moments.append(clock.now)
                return true
            })
        memory.look()
        let steps = zip(moments, moments.dropFirst()).map { ($1 - $0).milliseconds }
        let times = steps.prefix(Self.decodeSteps).sorted()
        let median = times[times.count / 2]
        let bytes = Double(KernelBenchmark.byteCount(of: model.decodeWeights))
        let reading = most.readingTime(of: model.decodeWeights)
        try emit(
            row("decode", times) {
                $0.tokensPerSecond = 1000 / median
                $0.weightsMB = bytes / 1e6
                $0.bandwidth = reading > 0 ? bytes / 1e9 / reading : nil
                $0.bandwidthShare = 1000 * reading / median
            })
        for count in Self.generated where count <= steps.count {
            var row = row("generate", [steps.prefix(count).reduce(0, +)]) { $0.tokens = count }
            row.p95Ms = nil
            try emit(row)
        }
    }

    /// The machine's own limits, then each of the model's operations by itself.
    private func kernels(
        _ compute: Compute, _ most: KernelBenchmark, resolution: Int, _ emit: (BenchmarkRow) throws -> Void
    ) throws {
        for (name, peak) in [("8-bit product", most.int8Peak), ("float32 product", most.floatPeak)] {
            guard let peak else { continue }
            var row = row("peak", []) { $0.kernel = name }
            row.size = "on registers"
            row.gops = peak
            try emit(row)
        }
        for operation in model.operations(resolution: resolution, textTokens: Self.textTokens) {
            let times = measure { operation.run(compute) }
            let isQuantized = operation.kind == .product && operation.element?.isQuantized == true
            try emit(
                row("kernel", times) {
                    $0.resolution = resolution
                    $0.kernel = operation.name
                    $0.size = operation.size
                    $0.count = operation.count
                    let gops = 2 * Double(operation.multiplyAdds) / (times[times.count / 2] * 1e6)
                    $0.gops = gops
                    $0.peakShare = (isQuantized ? most.int8Peak : most.floatPeak).map { gops / $0 }
                })
        }
    }

    // MARK: - Measuring

    /// Milliseconds of each run, ascending, after one that does not count.
    private func measure(_ body: () throws -> Void) rethrows -> [Double] {
        willMeasure()
        try body()
        return try (0..<runs).map { _ in
            let start = clock.now
            try body()
            let time = (clock.now - start).milliseconds
            memory.look()
            return time
        }.sorted()
    }

    private func row(_ work: String, _ times: [Double], _ fill: (inout BenchmarkRow) -> Void) -> BenchmarkRow {
        var row = BenchmarkRow(runtime: BenchmarkRow.ours, precision: model.prepared.precision.rawValue, work: work)
        if !times.isEmpty {
            row.medianMs = times[times.count / 2]
            row.p95Ms = times[min(times.count - 1, times.count * 95 / 100)]
        }
        memory.look()
        row.peakRssMb = memory.resident
        row.anonymousMb = memory.anonymous
        row.fileMb = memory.file
        row.threads = threads
        row.isa = InstructionSet.best.rawValue
        row.model = model.prepared.digest
        row.version = Product.version
        fill(&row)
        return row
    }

    /// A row of work whose arithmetic is known. Its share is of the 8-bit peak where the model's products are quantized.
    private func row(
        _ work: String, _ times: [Double], _ arithmetic: ModelArithmetic, _ most: KernelBenchmark,
        _ fill: (inout BenchmarkRow) -> Void
    ) -> BenchmarkRow {
        let isQuantized = model.prepared.precision == .int8 || model.prepared.precision == .int4
        let gops = 2 * Double(arithmetic.total) / (times[times.count / 2] * 1e6)
        return row(work, times) {
            $0.gops = gops
            $0.peakShare = (isQuantized ? most.int8Peak : most.floatPeak).map { gops / $0 }
            fill(&$0)
        }
    }

    /// A question that makes a prompt of `tokens` positions beside the picture's, or of more where the template alone
    /// is longer.
    private static func question(_ session: FastVLMSession, tokens: Int) -> String {
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
}
