internal import CaptionService
internal import FoundationEssentials
internal import Kernels

/// The accuracy of one model at one resolution for one type of question; one JSON object a line.
struct AccuracyRow: Encodable {
    var runtime = BenchmarkRow.ours
    var work = "accuracy"
    var name: String
    var model: String
    var precision: String
    /// Side of the picture, in pixels.
    var resolution: Int
    /// The type of question; `all` is every answer together.
    var type: String
    var right: Int
    var count: Int
    var accuracy: Double
    /// The ends of the 95 % interval.
    var low: Double
    var high: Double
    /// Of one picture, from the file to the end of one answer: the median.
    var medianMs: Double
    var threads: Int
    var isa = InstructionSet.best.rawValue
    var version = Product.version

    enum CodingKeys: String, CodingKey {
        case runtime, work, name, model, precision, resolution, type, right, count, accuracy, low, high, threads, isa
        case version
        case medianMs = "median_ms"
    }

    init(_ score: AccuracyScore, type: String, of run: AccuracyRun, medianMs: Double) {
        name = run.name
        model = run.digest
        precision = run.precision
        resolution = run.resolution
        threads = run.threads
        self.type = type
        right = score.right
        count = score.count
        accuracy = score.share.rounded(to: 4)
        low = score.interval.lowerBound.rounded(to: 4)
        high = score.interval.upperBound.rounded(to: 4)
        self.medianMs = medianMs.rounded(to: 3)
    }
}

/// One answer; one JSON object a line, with the keys that `evaluate.py --answers` writes, and the model's.
struct AnswerRow: Encodable {
    var file: String
    var resolution: Int
    var type: String
    var question: String
    var answer: String
    var right: Bool
    var model: String
    var precision: String
}

extension Encodable {
    /// One JSON object on one line, keys in order.
    func line() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

extension Double {
    func rounded(to digits: Int) -> Double {
        let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
        return (self * scale).rounded() / scale
    }
}
