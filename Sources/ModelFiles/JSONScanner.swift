/// A strict reader of the big JSON documents that come with a model: safetensors headers, shard indices, tokenizers.
///
/// Unlike a general decoder it sees duplicate keys, keeps no tree, and refuses deep nesting.
package struct JSONScanner {
    private let bytes: [UInt8]
    private var position = 0
    private let subject: String
    private let code: ModelFileError.Code

    /// Deepest nesting that `skipValue` follows.
    package static let maximumDepth = 16

    /// - Parameters:
    ///   - subject: what is being read, as it follows "Cannot read ".
    ///   - code: the code of an error of syntax.
    package init(_ bytes: [UInt8], subject: String, code: ModelFileError.Code) {
        self.bytes = bytes
        self.subject = subject
        self.code = code
    }

    /// An error about this document at the present place.
    package func failure(_ problem: String) -> ModelFileError {
        ModelFileError(code, "Cannot read \(subject): \(problem) (at byte \(position)).")
    }

    /// Reads an object, calling `member` for each key with the scanner before its value.
    package mutating func object(
        _ member: (inout JSONScanner, String) throws(ModelFileError) -> Void
    ) throws(ModelFileError) {
        try expect(UInt8(ascii: "{"))
        if skip(UInt8(ascii: "}")) { return }
        repeat {
            let key = try string()
            try expect(UInt8(ascii: ":"))
            try member(&self, key)
        } while skip(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"))
    }

    /// As `object`, with each key as the bytes of its text, in a buffer that is used again for the next: for the
    /// hundred thousands of keys of a vocabulary.
    package mutating func object(
        keyBytes key: inout [UInt8], _ member: (inout JSONScanner, [UInt8]) throws(ModelFileError) -> Void
    ) throws(ModelFileError) {
        try expect(UInt8(ascii: "{"))
        if skip(UInt8(ascii: "}")) { return }
        repeat {
            try string(into: &key)
            try expect(UInt8(ascii: ":"))
            try member(&self, key)
        } while skip(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"))
    }

    /// Reads an array, calling `item` before each element.
    package mutating func array(_ item: (inout JSONScanner) throws(ModelFileError) -> Void) throws(ModelFileError) {
        try expect(UInt8(ascii: "["))
        if skip(UInt8(ascii: "]")) { return }
        repeat {
            try item(&self)
        } while skip(UInt8(ascii: ","))
        try expect(UInt8(ascii: "]"))
    }

    /// Reads a whole number from 0 to `Int.max`.
    mutating func unsigned() throws(ModelFileError) -> Int {
        skipSpace()
        let start = position
        var value = 0
        while let digit = peek, digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") {
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(Int(digit - UInt8(ascii: "0")))
            guard !overflow, !carry else { throw failure("a number does not fit in 63 bits") }
            value = sum
            position += 1
        }
        guard position > start, position == start + 1 || bytes[start] != UInt8(ascii: "0") else {
            throw failure("expected a whole number")
        }
        if let next = peek, next == UInt8(ascii: ".") || next | 0x20 == UInt8(ascii: "e") {
            throw failure("expected a whole number, found a fraction or an exponent")
        }
        return value
    }

    /// Reads a string.
    package mutating func string() throws(ModelFileError) -> String {
        var content: [UInt8] = []
        try string(into: &content)
        guard let text = String(validating: content, as: UTF8.self) else {
            throw failure("a string is not UTF-8")
        }
        return text
    }

    /// Reads a string as the bytes of its text, in place of what `content` held; they need not be UTF-8.
    mutating func string(into content: inout [UInt8]) throws(ModelFileError) {
        try expect(UInt8(ascii: "\""))
        content.removeAll(keepingCapacity: true)
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                return
            case UInt8(ascii: "\\"):
                content.append(contentsOf: Array(String(try escape()).utf8))
            case 0..<0x20:
                throw failure("a control character in a string")
            default:
                content.append(byte)
            }
        }
        throw failure("a string has no end")
    }

    /// True if the next value is a string; nothing is read but space.
    package mutating func isString() -> Bool {
        skipSpace()
        return peek == UInt8(ascii: "\"")
    }

    /// Skips one value of any kind and returns its text.
    mutating func rawValue() throws(ModelFileError) -> [UInt8] {
        skipSpace()
        let start = position
        try skipValue()
        return Array(bytes[start..<position])
    }

    /// Skips one value of any kind.
    package mutating func skipValue(depth: Int = 0) throws(ModelFileError) {
        guard depth < Self.maximumDepth else { throw failure("nested deeper than \(Self.maximumDepth)") }
        skipSpace()
        switch peek {
        case UInt8(ascii: "{"):
            try object { scanner, _ throws(ModelFileError) in try scanner.skipValue(depth: depth + 1) }
        case UInt8(ascii: "["):
            try array { scanner throws(ModelFileError) in try scanner.skipValue(depth: depth + 1) }
        case UInt8(ascii: "\""):
            _ = try string()
        default:
            let start = position
            while let byte = peek, Self.isScalar(byte) { position += 1 }
            guard Self.isScalar(bytes[start..<position]) else { throw failure("expected a value") }
        }
    }

    /// True for `true`, `false`, `null` and what has the form of a number.
    private static func isScalar(_ text: ArraySlice<UInt8>) -> Bool {
        if ["true", "false", "null"].contains(where: { text.elementsEqual($0.utf8) }) { return true }
        var rest = text
        func skipDigits() -> Bool {
            let digits = rest.prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
            rest = rest.dropFirst(digits.count)
            return !digits.isEmpty
        }
        if rest.first == UInt8(ascii: "-") { rest.removeFirst() }
        guard skipDigits() else { return false }
        if rest.first == UInt8(ascii: ".") {
            rest.removeFirst()
            guard skipDigits() else { return false }
        }
        if let exponent = rest.first, exponent | 0x20 == UInt8(ascii: "e") {
            rest.removeFirst()
            if rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: "-") { rest.removeFirst() }
            guard skipDigits() else { return false }
        }
        return rest.isEmpty
    }

    /// Checks that nothing but space follows.
    package mutating func end() throws(ModelFileError) {
        skipSpace()
        guard position == bytes.count else { throw failure("unexpected text after the document") }
    }

    // MARK: - Characters

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    /// True for the characters that words and numbers are made of.
    private static func isScalar(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func skip(_ byte: UInt8) -> Bool {
        skipSpace()
        guard peek == byte else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ byte: UInt8) throws(ModelFileError) {
        guard skip(byte) else { throw failure("expected '\(Character(UnicodeScalar(byte)))'") }
    }

    /// The character of an escape sequence; the backslash has been read.
    private mutating func escape() throws(ModelFileError) -> Unicode.Scalar {
        guard let byte = peek else { throw failure("a string has no end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let first = try hexadecimal()
            guard first & 0xFC00 == 0xD800 else {
                guard let scalar = Unicode.Scalar(first) else { throw failure("an unpaired surrogate") }
                return scalar
            }
            guard peek == UInt8(ascii: "\\"), position + 1 < bytes.count, bytes[position + 1] == UInt8(ascii: "u")
            else { throw failure("an unpaired surrogate") }
            position += 2
            let second = try hexadecimal()
            guard second & 0xFC00 == 0xDC00,
                let scalar = Unicode.Scalar(0x10000 + ((first & 0x3FF) << 10) + (second & 0x3FF))
            else { throw failure("an unpaired surrogate") }
            return scalar
        default: throw failure("an unknown escape sequence")
        }
    }

    private mutating func hexadecimal() throws(ModelFileError) -> UInt32 {
        guard position + 4 <= bytes.count,
            let digits = String(validating: bytes[position..<(position + 4)], as: UTF8.self),
            digits.utf8.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
            let value = UInt32(digits, radix: 16)
        else { throw failure("expected four hexadecimal digits") }
        position += 4
        return value
    }
}
