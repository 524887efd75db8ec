internal import Glibc

/// Standard output and standard error.
enum Console {
    static let isTerminal = isatty(STDOUT_FILENO) == 1

    /// Writes `text` and a new line.
    static func line(_ text: String) {
        write(text + "\n", to: STDOUT_FILENO)
    }

    /// Writes `text` at once, without a new line.
    static func text(_ text: String) {
        write(text, to: STDOUT_FILENO)
    }

    /// Writes a message to standard error.
    static func error(_ message: String, prefixed: Bool = true, endingLine: Bool = true) {
        write((prefixed ? "fastvlm: " : "") + message + (endingLine ? "\n" : ""), to: STDERR_FILENO)
    }

    /// `text` as it may be shown on a terminal: a file's name or a model's words could hold control sequences, which
    /// are shown as `\u{1b}` and the like. New lines and tabs stay.
    static func printable(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isControl) else { return text }
        return text.unicodeScalars.map { isControl($0) ? $0.escaped(asASCII: true) : String($0) }.joined()
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
    }

    private static func write(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                // Nobody reads any more: there is nothing left to say and nobody to say it to.
                if errno == EPIPE { exit(0) }
                return
            }
            rest = rest.dropFirst(written)
        }
    }
}
