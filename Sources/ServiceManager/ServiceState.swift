/// One thing that a service tells its manager (sd_notify(3)).
public enum ServiceState: Sendable, Equatable {
    /// It has started, or has read its configuration anew.
    case ready
    /// What it does, in a few words for people.
    case status(String)
    /// It reads its configuration anew, since this many microseconds on `CLOCK_MONOTONIC`; ``ready`` ends it.
    case reloading(monotonicMicroseconds: UInt64)
    /// It ends.
    case stopping
    /// Starting or stopping may take this much longer from now on.
    case extendTimeout(Duration)
    /// It still moves.
    case watchdog

    /// Reloading from now on.
    public static var reloadingNow: ServiceState { .reloading(monotonicMicroseconds: MonotonicClock.microseconds) }

    /// The assignment as it is sent; without the line break.
    var assignment: String {
        switch self {
        case .ready: return "READY=1"
        case .status(let text): return "STATUS=" + Self.oneLine(text)
        case .reloading(let microseconds): return "RELOADING=1\nMONOTONIC_USEC=\(microseconds)"
        case .stopping: return "STOPPING=1"
        case .extendTimeout(let duration): return "EXTEND_TIMEOUT_USEC=\(Self.microseconds(duration))"
        case .watchdog: return "WATCHDOG=1"
        }
    }

    /// Most bytes of a status text; the manager shows one line.
    static let statusLimit = 512

    /// Without control characters, which would end the assignment or reach a terminal: a path may hold them.
    private static func oneLine(_ text: String) -> String {
        var line = ""
        for scalar in text.unicodeScalars {
            let isControl = scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value)
            let next: Unicode.Scalar = isControl ? " " : scalar
            guard line.utf8.count + UTF8.width(next) <= statusLimit else { break }
            line.unicodeScalars.append(next)
        }
        return line
    }

    private static func microseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        let (whole, overflows) = seconds.multipliedReportingOverflow(by: 1_000_000)
        return overflows ? Int64.max : max(0, whole + attoseconds / 1_000_000_000_000)
    }
}
