internal import Glibc

/// A file that lines are appended to as they come.
final class LineFile {
    private let descriptor: Int32
    private let path: String

    /// Makes the file at `path`, or empties it.
    init(path: String) throws(CommandFailure) {
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        self.path = path
        guard descriptor >= 0 else {
            throw CommandFailure(.setup, "Cannot write '\(path)': its folder is missing or not writable by this user.")
        }
    }

    deinit { close(descriptor) }

    func write(_ line: String) throws(CommandFailure) {
        let code = Console.write(line + "\n", to: descriptor)
        guard code == 0 else {
            let reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
            throw CommandFailure(.inputsRefused, "Cannot write '\(path)': \(reason).")
        }
    }
}
