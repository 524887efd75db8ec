internal import Glibc

/// Standard output and standard error.
enum Console {
    static let isTerminal = isatty(STDOUT_FILENO) == 1

    /// Writes `text` and a new line.
    static func line(_ text: String) {
        output(text + "\n")
    }

    /// Writes `text` at once, without a new line.
    static func text(_ text: String) {
        output(text)
    }

    /// Writes a message and a new line to standard error. Messages name files, so that they are shown as
    /// ``printable(_:)`` has them.
    static func error(_ message: String, prefixed: Bool = true) {
        _ = write((prefixed ? "fastvlm: " : "") + printable(message) + "\n", to: STDERR_FILENO)
    }

    /// Writes `text` to standard error as it is, control sequences included.
    static func progress(_ text: String) {
        _ = write(text, to: STDERR_FILENO)
    }

    /// Asks the person; true if they typed yes.
    ///
    /// - Parameter advice: What to do where nobody can be asked.
    static func confirms(_ question: String, or advice: String) throws(CommandFailure) -> Bool {
        guard isatty(STDIN_FILENO) == 1 else {
            throw CommandFailure(.usage, "Nobody can be asked here. \(advice)")
        }
        progress(printable(question) + " [y/N] ")
        return ["y", "yes"].contains(readLine()?.lowercased() ?? "")
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

    /// Writes `text` to standard output, or ends the command: what is lost there was all that it was run for.
    private static func output(_ text: String) {
        switch write(text, to: STDOUT_FILENO) {
        case 0: return
        // Nobody reads any more (`| head`): there is nothing left to say and nobody to say it to.
        case EPIPE: exit(ExitStatus.done.rawValue)
        case let code:
            let reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
            error("Cannot write to standard output: \(reason). Make room, or send the output elsewhere.")
            exit(ExitStatus.inputsRefused.rawValue)
        }
    }

    /// Returns 0, or the `errno` of the write that failed.
    static func write(_ text: String, to descriptor: Int32) -> Int32 {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // Unsafe: the system reads at most as many bytes as there are.
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                return errno
            }
            rest = rest.dropFirst(written)
        }
        return 0
    }
}
