internal import CaptionService
internal import FoundationEssentials
internal import UntrustedJSON

/// One measurement, with the keys that the comparison with other runtimes uses. Rows of other runtimes have the first
/// ones only.
struct BenchmarkRow: Codable, Equatable {
    var runtime: String
    var precision: String
    /// `vision`, `prefill`, `decode`, `frame`, `generate`, `kernel` or `peak`.
    var work: String
    /// Side of the picture, in pixels.
    var resolution: Int?
    /// Positions of a prompt; tokens that were generated.
    var tokens: Int?
    var medianMs: Double?
    var p95Ms: Double?
    var tokensPerSecond: Double?
    /// 10^9 multiplications and additions a second.
    var gops: Double?
    /// `gops` as a share of what the product's instructions reach on registers.
    var peakShare: Double?
    /// Bytes of weights that a token reads, in 10^6.
    var weightsMB: Double?
    /// 10^9 bytes a second: what the memory gave those weights when nothing else was done with them.
    var bandwidth: Double?
    /// A token's time, were it only the reading of its weights, as a share of what it took.
    var bandwidthShare: Double?
    /// Of a frame, medians: the file to the first token; JPEG or PNG to pixels; pixels to the model's input; encoder;
    /// prompt; the tokens after the first.
    var ttftMs: Double?
    var decodeMs: Double?
    var preprocessMs: Double?
    var visionMs: Double?
    var prefillMs: Double?
    var generateMs: Double?
    /// Of a kernel: where it stands in the model, its size, and how often a picture, prompt or token runs it.
    var kernel: String?
    var size: String?
    var count: Int?
    /// MiB; the most that was resident so far.
    var peakRssMb: Int?
    /// MiB: the most of its own, and of mapped files, that was seen after a run so far.
    var anonymousMb: Int?
    var fileMb: Int?
    var threads: Int?
    var isa: String?
    /// The model's digest.
    var model: String?
    var version: String?

    enum CodingKeys: String, CodingKey {
        case runtime, precision, work, resolution, tokens, gops, kernel, size, count, threads, isa, model, version
        case medianMs = "median_ms"
        case p95Ms = "p95_ms"
        case tokensPerSecond = "tokens_per_s"
        case peakShare = "peak_share"
        case weightsMB = "weights_mb"
        case bandwidth = "bandwidth_gb_s"
        case bandwidthShare = "bandwidth_share"
        case ttftMs = "ttft_ms"
        case decodeMs = "decode_ms"
        case preprocessMs = "preprocess_ms"
        case visionMs = "vision_ms"
        case prefillMs = "prefill_ms"
        case generateMs = "generate_ms"
        case peakRssMb = "peak_rss_mb"
        case anonymousMb = "anonymous_mb"
        case fileMb = "file_mb"
    }

    static let ours = "fastvlmd"

    init(runtime: String, precision: String, work: String) {
        self.runtime = runtime
        self.precision = precision
        self.work = work
    }

    /// The rows of `text`, one JSON object a line; empty lines are passed over.
    static func rows(_ text: String, path: String) throws(CommandFailure) -> [BenchmarkRow] {
        var rows: [BenchmarkRow] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard line.contains(where: { !$0.isWhitespace }) else { continue }
            guard let row = try? JSONDecoder().decode(BenchmarkRow.self, fromUntrusted: line.utf8) else {
                throw CommandFailure(
                    .usage,
                    "Cannot read line \(index + 1) of '\(Console.printable(path))': expected a JSON object with "
                        + "\"runtime\", \"precision\" and \"work\", as 'fastvlm bench --json' prints them.")
            }
            rows.append(row)
        }
        return rows
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}

extension BenchmarkRow {
    static let heading =
        "work     at           threads  median        p95           speed             of most   peak MB"

    /// A line of the table for people.
    var line: String {
        let place = resolution.map { "\($0) px" } ?? tokens.map { "\($0) tokens" } ?? "-"
        let start =
            work.padded(to: 9) + place.padded(to: 13) + (threads.map { "\($0)" } ?? "-").padded(to: 9)
            + milliseconds(medianMs).padded(to: 14) + milliseconds(p95Ms).padded(to: 14) + speed.padded(to: 18)
            + share.padded(to: 10) + (peakRssMb.map { "\($0)" } ?? "-")
        if let kernel { return start + "  " + kernel + ": " + (size ?? "") + (count.map { ", \($0) x" } ?? "") }
        guard let ttftMs else { return start }
        return start
            + "  first token \(ttftMs.tenths) ms: file \(milliseconds(decodeMs)), pixels \(milliseconds(preprocessMs)), "
            + "encoder \(milliseconds(visionMs)), prompt \(milliseconds(prefillMs))"
    }

    private var speed: String {
        tokensPerSecond.map { "\($0.tenths) tokens/s" } ?? gops.map { "\($0.rounded().whole) GOP/s" }
            ?? bandwidth.map { "\($0.tenths) GB/s" } ?? "-"
    }

    private var share: String { (bandwidthShare ?? peakShare).map { "\((100 * $0).rounded().whole) %" } ?? "-" }

    private func milliseconds(_ value: Double?) -> String {
        value.map { $0 < 1 ? "\(($0 * 1000).rounded() / 1000) ms" : "\($0.tenths) ms" } ?? "-"
    }
}

extension Double {
    /// With one decimal.
    var tenths: String { "\((self * 10).rounded() / 10)" }

    /// Without a decimal point.
    fileprivate var whole: String { Int(exactly: self).map { "\($0)" } ?? "\(self)" }
}
