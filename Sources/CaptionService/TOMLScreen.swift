/// Looks through a configuration for what would end the process in the TOML parser, an assertion of its own, instead of being
/// refused: a table header without a name, an array that holds a closing brace where a value belongs, and dates, whose time is
/// not looked at before it is read (no key takes a date).
///
/// It follows the text only as far as TOML is well formed: after the first mistake the parser reads no further.
struct TOMLScreen {
    /// What the parser must not see.
    enum Finding: Equatable {
        /// `[` or `[[` at the beginning of a line, and no name after it.
        case headerWithoutName
        /// A bare value that begins as a date does.
        case date
        /// Something in an array that no value begins with.
        case noValue
    }

    private let bytes: [UInt8]
    private var position = 0
    /// The line that `position` is in, from 1.
    private(set) var line = 1

    init(_ text: String) {
        bytes = Array(text.utf8)
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
    }

    /// The first finding, whose line is `line`; nil if the parser may have the text.
    mutating func finding() -> Finding? {
        while let byte = byte() {
            switch byte {
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"), UInt8(ascii: "\n"): advance()
            case UInt8(ascii: "#"): skipComment()
            case UInt8(ascii: "["):
                if let finding = header() { return finding }
            default:
                if let finding = pair() { return finding }
            }
        }
        return nil
    }

    // MARK: - Statements

    private mutating func header() -> Finding? {
        advance()
        skipBlanks()
        if byte() == UInt8(ascii: "[") {
            advance()
            skipBlanks()
        }
        guard let first = byte(), first == UInt8(ascii: "]") || Self.beginsName(first) else {
            return .headerWithoutName
        }
        skipLine()
        return nil
    }

    /// A key, `=` and its value.
    private mutating func pair() -> Finding? {
        while let byte = byte(), byte != UInt8(ascii: "\n") {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "'"): skipString(byte)
            case UInt8(ascii: "="):
                advance()
                return value()
            default: advance()
            }
        }
        return nil
    }

    private mutating func value() -> Finding? {
        /// The brackets and braces that are open here.
        var open: [UInt8] = []
        /// Whether a value belongs here.
        var isAwaited = true
        while let byte = byte() {
            let isInArray = open.last == UInt8(ascii: "[")
            switch byte {
            case UInt8(ascii: "\n"):
                if open.isEmpty { return nil }
                advance()
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"): advance()
            case UInt8(ascii: "#"): skipComment()
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                skipString(byte)
                isAwaited = false
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                open.append(byte)
                isAwaited = byte == UInt8(ascii: "[")
                advance()
            case UInt8(ascii: "}") where isInArray && isAwaited: return .noValue
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                _ = open.popLast()
                isAwaited = false
                advance()
            case UInt8(ascii: ","):
                isAwaited = isInArray
                advance()
            case UInt8(ascii: "="):
                isAwaited = true
                advance()
            default:
                if isAwaited {
                    if isInArray && !Self.beginsValue(byte) { return .noValue }
                    if isDate() { return .date }
                }
                isAwaited = false
                advance()
            }
        }
        return nil
    }

    /// Whether four digits and a hyphen begin here.
    private func isDate() -> Bool {
        position + 4 < bytes.count && bytes[position..<position + 4].allSatisfy(Self.isDigit)
            && bytes[position + 4] == UInt8(ascii: "-")
    }

    // MARK: - Walking

    private func byte(after count: Int = 0) -> UInt8? {
        position + count < bytes.count ? bytes[position + count] : nil
    }

    private mutating func advance() {
        if bytes[position] == UInt8(ascii: "\n") { line += 1 }
        position += 1
    }

    private mutating func skipBlanks() {
        while let byte = byte(), byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") { advance() }
    }

    private mutating func skipComment() {
        while let byte = byte(), byte != UInt8(ascii: "\n") { advance() }
    }

    /// To the end of the line that a header is on, strings in its names and all.
    private mutating func skipLine() {
        while let byte = byte(), byte != UInt8(ascii: "\n"), byte != UInt8(ascii: "#") {
            if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { skipString(byte) } else { advance() }
        }
    }

    /// Over a string that begins here with `quote`, of one line or, behind three quotes, of several.
    private mutating func skipString(_ quote: UInt8) {
        let hasSeveralLines = byte(after: 1) == quote && byte(after: 2) == quote
        for _ in 0..<(hasSeveralLines ? 3 : 1) { advance() }
        while let byte = byte() {
            switch byte {
            case UInt8(ascii: "\\") where quote == UInt8(ascii: "\""):
                advance()
                if position < bytes.count { advance() }
            case quote:
                if !hasSeveralLines {
                    advance()
                    return
                }
                // One or two quotes may stand before the three that end it.
                var count = 0
                while count < 5, self.byte() == quote {
                    count += 1
                    advance()
                }
                if count >= 3 { return }
            case UInt8(ascii: "\n") where !hasSeveralLines: return
            default: advance()
            }
        }
    }

    // MARK: - Kinds of bytes

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    private static func beginsName(_ byte: UInt8) -> Bool {
        isDigit(byte) || isLetter(byte) || "_-\"'".utf8.contains(byte)
    }

    private static func beginsValue(_ byte: UInt8) -> Bool {
        isDigit(byte) || isLetter(byte) || "+-".utf8.contains(byte)
    }
}
