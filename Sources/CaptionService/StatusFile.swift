internal import Glibc

/// A file that says how the daemon is, replaced as a whole: whoever reads it sees all of one state or all of the next.
///
/// It is no record and is not forced to the disk; it usually lies in memory, under /run.
struct StatusFile: Sendable {
    let path: String

    /// Puts `text` in its place.
    func write(_ text: String) throws(StatusFileError) {
        let temporary = path + ".\(getpid()).tmp"
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw StatusFileError(path, errno) }
        // Those who read files may read this one, whatever the mask.
        fchmod(descriptor, 0o644)
        var rest = Array(text.utf8)[...]
        var code: Int32 = 0
        while !rest.isEmpty, code == 0 {
            // Unsafe: the system reads at most as many bytes as there are.
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { code = errno }
        }
        close(descriptor)
        if code == 0, rename(temporary, path) != 0 { code = errno }
        guard code == 0 else {
            unlink(temporary)
            throw StatusFileError(path, code)
        }
    }

    /// Nobody reads of a daemon that is gone that it runs.
    func remove() { unlink(path) }
}

/// Why the status file cannot be written.
struct StatusFileError: Error, CustomStringConvertible {
    let message: String

    init(_ path: String, _ code: Int32) {
        let reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
        message = "Cannot write the status file '\(path)': \(reason). Check the folder, or set status.file."
    }

    var description: String { message }
}
