internal import FastVLM
public import LatencyBudget

/// Measures what each of a model's resolutions takes on this device, in about a minute.
///
/// Each resolution is run once to warm up and then some times more; a profile holds the medians. They take turns, so that a
/// device that becomes slower meanwhile does so for all alike. What else runs on it makes it slower than it is: calibrate
/// when it is idle.
public struct Calibration {
    private let reader: PictureReader
    /// Time for all resolutions together; each is run at least once, and more than twice only while there is time.
    private let time: Duration
    private let clock = ContinuousClock()

    /// Tokens of each measured answer.
    static let tokens = 24
    /// The most measured runs of one resolution.
    static let mostRuns = 15

    /// - Parameter time: The default is 50 s.
    public init(_ reader: PictureReader, time: Duration = .seconds(50)) {
        self.reader = reader
        self.time = time
    }

    /// Measures the rungs of `ladder`.
    ///
    /// - Parameters:
    ///   - picture: A JPEG or PNG file's bytes: what is usually sent. The default is ``usualPicture``.
    ///   - progress: Receives how much is done, 0...1.
    public func profile(
        _ ladder: Ladder, picture: [UInt8] = Calibration.usualPicture, progress: (Double) -> Void = { _ in }
    ) throws(EngineError) -> DeviceProfile {
        let tasks = PictureTasks()
        let textTokens = reader.model.textTokens(of: tasks)
        var measurements = ladder.steps.map { Measurement($0.rung, time: time / ladder.count) }
        let all = Double(max(1, ladder.steps.reduce(0) { $0 + $1.rung.visualTokens }))
        progress(0)
        while measurements.contains(where: { !$0.isDone }) {
            for index in measurements.indices where !measurements[index].isDone {
                try measure(&measurements[index], tasks, picture)
                progress(measurements.reduce(0) { $0 + Double($1.rung.visualTokens) / all * $1.progress })
            }
        }
        progress(1)
        return DeviceProfile(
            identity: reader.profileIdentity, points: measurements.map { $0.point(textTokens: textTokens) },
            tokenPoints: measurements.map { $0.tokenPoint(textTokens: textTokens) })
    }

    private func measure(
        _ measurement: inout Measurement, _ tasks: PictureTasks, _ picture: [UInt8]
    ) throws(EngineError) {
        var tasks = tasks
        tasks.resolution = measurement.rung.passWidth
        tasks.tiling = measurement.rung.isTiled
        let start = clock.now
        let report = try reader.read(
            tasks, on: picture, forced: [Int](repeating: Self.forcedToken, count: Self.tokens))
        measurement.add(report, in: clock.now - start)
    }

    /// Any word: what is said makes no difference to the time it takes.
    private static let forcedToken = 5

    /// The runs of one rung.
    private struct Measurement {
        let rung: Rung
        private let time: Duration
        private var spent = Duration.zero
        private var reports: [PictureReport] = []

        init(_ rung: Rung, time: Duration) {
            self.rung = rung
            self.time = time
        }

        mutating func add(_ report: PictureReport, in taken: Duration) {
            reports.append(report)
            spent += taken
        }

        var isDone: Bool {
            guard !reports.isEmpty else { return false }
            let each = spent / reports.count
            // A device this slow is not run three times at its slowest.
            return reports.count > Calibration.mostRuns || each > time / 2
                || (reports.count > 3 && spent + each > time)
        }

        /// 0...1.
        var progress: Double {
            isDone ? 1 : min(1, max(spent / time, Double(reports.count) / Double(Calibration.mostRuns + 1)))
        }

        /// At least one; the first run of those that are many is not among them.
        private var runs: ArraySlice<PictureReport> { reports.dropFirst(reports.count > 1 ? 1 : 0) }

        private func median(_ value: (PictureReport) -> Double) -> Double {
            let sorted = runs.map(value).sorted()
            return sorted[sorted.count / 2]
        }

        func point(textTokens: Int) -> DeviceProfile.Point {
            DeviceProfile.Point(
                rung: rung, sourcePixels: Double(reports[0].width) * Double(reports[0].height), textTokens: textTokens,
                decode: median(\.timings.decode), preprocess: median(\.timings.preprocess),
                vision: median(\.timings.vision), prefill: median(\.timings.prefill), samples: runs.count)
        }

        func tokenPoint(textTokens: Int) -> DeviceProfile.TokenPoint {
            DeviceProfile.TokenPoint(
                context: rung.visualTokens + textTokens + Calibration.tokens / 2,
                milliseconds: median(\.timings.generate) / Double(Calibration.tokens - 1))
        }
    }
}

extension Calibration {
    /// A PNG of 1920 x 1080 pixels of noise, stored without compression: it takes about as long to read as a photograph.
    public static var usualPicture: [UInt8] { png(width: 1920, height: 1080) }

    static func png(width: Int, height: Int) -> [UInt8] {
        var rows: [UInt8] = []
        rows.reserveCapacity(height * (width * 3 + 1))
        var state: UInt32 = 1
        for _ in 0..<height {
            rows.append(0)
            for _ in 0..<width * 3 {
                state = state &* 1_664_525 &+ 1_013_904_223
                rows.append(UInt8(truncatingIfNeeded: state >> 24))
            }
        }
        // zlib's two bytes, stored blocks of at most 65,535 bytes, Adler-32 (RFC 1950 and 1951).
        var packed: [UInt8] = [0x78, 0x01]
        packed.reserveCapacity(rows.count + rows.count / 1000 + 16)
        for start in stride(from: 0, to: rows.count, by: 65_535) {
            let count = min(65_535, rows.count - start)
            packed.append(start + count == rows.count ? 1 : 0)
            packed += [UInt8(count & 255), UInt8(count >> 8), UInt8(~count & 255), UInt8((~count >> 8) & 255)]
            packed += rows[start..<start + count]
        }
        var (a, b): (UInt32, UInt32) = (1, 0)
        for byte in rows {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        packed += bigEndian(b << 16 | a)
        let header = bigEndian(UInt32(width)) + bigEndian(UInt32(height)) + [8, 2, 0, 0, 0]
        return [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] + chunk("IHDR", header) + chunk("IDAT", packed)
            + chunk("IEND", [])
    }

    private static func chunk(_ name: String, _ data: [UInt8]) -> [UInt8] {
        let content = Array(name.utf8) + data
        var sum: UInt32 = .max
        for byte in content { sum = (sum >> 8) ^ sums[Int((sum ^ UInt32(byte)) & 255)] }
        return bigEndian(UInt32(data.count)) + content + bigEndian(~sum)
    }

    /// CRC-32 of each byte (PNG, annex D).
    private static let sums: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { sum, _ in sum & 1 == 1 ? 0xedb8_8320 ^ (sum >> 1) : sum >> 1 }
    }

    private static func bigEndian(_ value: UInt32) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
    }
}
