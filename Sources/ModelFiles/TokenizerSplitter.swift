/// Cuts text into the stretches that are tokenized by themselves, as Qwen2's pattern does:
///
///     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
///
/// The alternatives are tried in this order at each place, and together they match any text. Each character is looked
/// at a bounded number of times, so that the time is linear. Letters, numbers and spaces are those of the Unicode version
/// that the standard library knows: 17 in Swift 6.3, where the `tokenizers` library has 16.
struct TokenizerSplitter {
    static let pattern =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"#
        + #"\s*[\r\n]+|\s+(?!\S)|\s+"#

    private let text: [UInt8]
    private var position = 0

    /// - Parameter text: UTF-8.
    init(_ text: [UInt8]) {
        self.text = text
    }

    /// What the pattern tells apart; `lineBreak` and `space` (U+0020) are both `\s`.
    private enum Kind {
        case letter, number, lineBreak, space, otherSpace, other

        var isSpace: Bool { self == .lineBreak || self == .space || self == .otherSpace }
    }

    /// The next stretch, or nil at the end.
    mutating func next() -> Range<Int>? {
        let start = position
        guard let (kind, width) = character(at: start) else { return nil }
        position = end(of: kind, width: width, at: start)
        return start..<position
    }

    private func end(of kind: Kind, width: Int, at start: Int) -> Int {
        let second = start + width
        if text[start] == UInt8(ascii: "'"), let end = contraction(after: second) { return end }
        switch kind {
        case .letter: return run(of: .letter, from: second)
        case .number: return second
        case .lineBreak: break
        case .space, .otherSpace, .other:
            if character(at: second)?.kind == .letter { return run(of: .letter, from: second) }
        }
        let symbols = kind == .space ? second : start
        if character(at: symbols)?.kind == .other { return run(of: .lineBreak, from: run(of: .other, from: symbols)) }
        return spaces(from: start)
    }

    /// The end of `s|t|re|ve|m|ll|d` at `place`, in any case. U+017F is a small letter s, too.
    private func contraction(after place: Int) -> Int? {
        func letter(_ index: Int) -> UInt8? { index < text.count ? text[index] | 0x20 : nil }
        switch letter(place) {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return place + 1
        case UInt8(ascii: "r"), UInt8(ascii: "v"):
            return letter(place + 1) == UInt8(ascii: "e") ? place + 2 : nil
        case UInt8(ascii: "l"):
            return letter(place + 1) == UInt8(ascii: "l") ? place + 2 : nil
        default:
            return text[place...].starts(with: [0xC5, 0xBF]) ? place + 2 : nil
        }
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line break; else up to the end of the text; else all but the last
    /// space, which belongs to the word that follows; else that one.
    private func spaces(from start: Int) -> Int {
        var end = start
        var last = start
        var afterLineBreak: Int?
        while let (kind, width) = character(at: end), kind.isSpace {
            last = end
            end += width
            if kind == .lineBreak { afterLineBreak = end }
        }
        if let afterLineBreak { return afterLineBreak }
        return end == text.count || last == start ? end : last
    }

    /// The end of the characters of one kind from `place` on.
    private func run(of kind: Kind, from place: Int) -> Int {
        var end = place
        while let next = character(at: end), next.kind == kind { end += next.width }
        return end
    }

    /// The kind of the character at `place` and its bytes; nil at the end.
    private func character(at place: Int) -> (kind: Kind, width: Int)? {
        guard place < text.count else { return nil }
        let byte = text[place]
        guard byte >= 0x80 else { return (Self.kind(ascii: byte), 1) }
        let width = byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4
        guard place + width <= text.count else { return (.other, text.count - place) }
        var value = UInt32(byte) & (0x7F >> UInt32(width))
        for following in text[(place + 1)..<(place + width)] { value = value << 6 | UInt32(following & 0x3F) }
        guard let scalar = Unicode.Scalar(value) else { return (.other, width) }
        return (Self.kind(of: scalar), width)
    }

    private static func kind(ascii byte: UInt8) -> Kind {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): .letter
        case UInt8(ascii: "0")...UInt8(ascii: "9"): .number
        case 0x0A, 0x0D: .lineBreak
        case 0x20: .space
        case 0x09, 0x0B, 0x0C: .otherSpace
        default: .other
        }
    }

    private static func kind(of scalar: Unicode.Scalar) -> Kind {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: .letter
        case .decimalNumber, .letterNumber, .otherNumber: .number
        default: scalar.properties.isWhitespace ? .otherSpace : .other
        }
    }
}
