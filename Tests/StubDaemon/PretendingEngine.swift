import CaptionService
import FrameSources
import Glibc
import LatencyBudget

/// Answers after a set time with the beginning of the file, or does what the file tells it to.
struct PretendingEngine: PictureEngine {
    let model = ModelFacts(name: "stub", digest: "sha256:" + String(repeating: "0", count: 64), precision: "f32")
    let ladder: Ladder
    let defaultResolution = 256
    private let latency: Duration
    /// The first word of each picture that was begun, a line each; -1 for none.
    private let log: Int32
    private let state: String?

    init(latency: Duration, log: String?, state: String?) throws {
        ladder = try Ladder([])
        self.latency = latency
        self.state = state
        self.log = log.map { open($0, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600) } ?? -1
    }

    func textTokens(of tasks: PictureTasks) -> Int { 20 }

    func run(
        _ tasks: PictureTasks, on picture: [UInt8], plan: FramePlan?
    ) async throws(EngineError) -> PictureReport {
        if log >= 0 {
            let line = Array(picture.prefix(64).prefix { $0 > 32 && $0 < 127 }) + [UInt8(ascii: "\n")]
            write(log, line, line.count)
        }
        guard picture.suffix(2) == [0xFF, 0xD9] else {
            throw EngineError(.picture, "Cannot decode the JPEG: its end is missing.", pictureCode: "jpeg_truncated")
        }
        let text = String(decoding: picture.prefix(200), as: UTF8.self)
        let isFirst = !text.contains("-ONCE") || isFirstTry()
        if text.contains("CRASH"), isFirst { abort() }
        if text.contains("HANG"), isFirst {
            while !Task.isCancelled { try? await Task.sleep(for: .seconds(3600)) }
        }
        do {
            try await Task.sleep(for: latency)
        } catch {
            throw EngineError(.cancelled, "Cancelled.")
        }
        var timings = PictureReport.Timings()
        timings.vision = 1
        return PictureReport(
            width: 640, height: 480,
            caption: .init(
                text: String(text.prefix(40)), finishReason: "stop", promptTokens: 10, generatedTokens: 3),
            answers: [], resolution: 256, visualTokens: 16, timings: timings)
    }

    private func isFirstTry() -> Bool {
        guard let state else { return true }
        let mark = open("\(state)/tried", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        if mark >= 0 { close(mark) }
        return mark >= 0
    }
}
