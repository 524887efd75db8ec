internal import Glibc

/// The lines of standard input, as bytes: what is not UTF-8 is the reader's to refuse, not to be repaired unseen.
struct StandardInput {
    private var buffer: [UInt8] = []
    private var isAtEnd = false

    /// The next line without its end (a new line, or a carriage return and one), or nil after the last.
    mutating func next() throws(CommandFailure) -> [UInt8]? {
        var searched = 0
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = buffer[..<end]
                buffer.removeSubrange(...end)
                return Array(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
            }
            searched = buffer.count
            guard !isAtEnd else {
                defer { buffer = [] }
                return buffer.isEmpty ? nil : buffer
            }
            try fill()
        }
    }

    private mutating func fill() throws(CommandFailure) {
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            // Unsafe: the system writes at most as many bytes as the piece has.
            let count = piece.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                let reason = strerror(errno).map { String(cString: $0) } ?? "error \(errno)"
                throw CommandFailure(.inputsRefused, "Cannot read standard input: \(reason).")
            }
            isAtEnd = count == 0
            buffer += piece[..<count]
            return
        }
    }
}
