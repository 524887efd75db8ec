internal import Glibc
internal import ModelFiles
internal import Synchronization

/// A bar on standard error while something long runs, if that is a terminal; otherwise nothing.
final class ProgressBar: Sendable {
    private let label: String
    private let isShown = isatty(STDERR_FILENO) == 1
    private let percent = Mutex(-1)

    init(_ label: String) {
        self.label = label
    }

    /// Shows that `done` of `total` are done.
    func show(_ done: Int, of total: Int) {
        guard isShown, total > 0 else { return }
        let now = Swift.min(100, Int(Double(done) / Double(total) * 100))
        guard
            percent.withLock({
                let isNew = $0 != now; $0 = now; return isNew
            })
        else { return }
        let filled = now * 30 / 100
        let bar = String(repeating: "#", count: filled) + String(repeating: " ", count: 30 - filled)
        Console.progress("\r\(label) [\(bar)] \(now) %")
    }

    /// Shows how far the packing or the verifying is; never asks to stop.
    func show(_ progress: PackedModel.Progress) -> Bool {
        show(progress.completedBytes, of: progress.totalBytes)
        return true
    }

    /// Removes the bar.
    func finish() {
        guard isShown, percent.withLock({ $0 }) >= 0 else { return }
        Console.progress("\r\u{1b}[K")
    }
}
