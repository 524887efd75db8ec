/// What an answer may be.
///
/// The default everywhere is ``text``. For the others the model's own words are not asked for: the engine looks at the
/// probabilities of everything that it might say next and takes the likeliest answer of the type. So every answer is one of
/// its type, and its confidence is measured.
public enum AnswerType: Sendable, Equatable, Hashable {
    /// Any words.
    case text
    /// Whether the model would begin with yes (Yes, YES, true, True, TRUE) or with no (the same of no and false).
    case boolean
    /// A whole number of at most 15 digits.
    case integer
    /// A number of at most 15 digits, and as many behind the point.
    case number
    /// One of these options, each as it stands, in small letters, or with a capital first letter.
    case choice([String])

    /// `text`, `boolean`, `integer`, `number` or `choice`.
    public var word: String {
        switch self {
        case .text: "text"
        case .boolean: "boolean"
        case .integer: "integer"
        case .number: "number"
        case .choice: "choice"
        }
    }

    /// Every ``word``.
    public static let words = ["text", "boolean", "integer", "number", "choice"]

    /// Options that a choice may have, and bytes of each.
    public static let optionCounts = 2...64
    public static let optionByteCounts = 1...128

    /// The type called `word`; `options` are a choice's.
    ///
    /// Throws ``FastVLMError/Code/answerType`` for another word, for options where there is no choice, and as ``validate()``.
    public init(word: String, options: [String] = []) throws(FastVLMError) {
        switch word {
        case "text": self = .text
        case "boolean": self = .boolean
        case "integer": self = .integer
        case "number": self = .number
        case "choice": self = .choice(options)
        default:
            throw .answerType("the type '\(word)'", expected: Self.words.joined(separator: ", "))
        }
        guard options.isEmpty || word == "choice" else {
            throw .answerType("options for the type '\(word)'", expected: "them for 'choice' alone")
        }
        try validate()
    }

    /// Throws ``FastVLMError/Code/answerType`` unless a choice has 2 to 64 different options of 1 to 128 bytes, without
    /// control characters and without white space at their ends.
    public func validate() throws(FastVLMError) {
        guard case .choice(let options) = self else { return }
        guard Self.optionCounts.contains(options.count) else {
            throw .answerType(
                "\(options.count) options",
                expected: "\(Self.optionCounts.lowerBound) to \(Self.optionCounts.upperBound)")
        }
        guard Set(options.map { Array($0.utf8) }).count == options.count else {
            throw .answerType("options \(options)", expected: "each once")
        }
        for option in options {
            guard Self.optionByteCounts.contains(option.utf8.count), option.first?.isWhitespace == false,
                option.last?.isWhitespace == false,
                option.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
            else {
                throw .answerType(
                    "the option '\(option)'",
                    expected: "1 to 128 bytes without control characters, nor white space at the ends")
            }
        }
    }
}

/// An answer of an ``AnswerType``.
public enum AnswerValue: Sendable, Equatable {
    case text(String)
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    /// The option as it was given.
    case choice(String)

    /// In words: `true`, `42`, `-3.5`, the option, the text.
    public var text: String {
        switch self {
        case .text(let text), .choice(let text): text
        case .boolean(let value): value ? "true" : "false"
        case .integer(let value): "\(value)"
        case .number(let value): Int(exactly: value).map { "\($0)" } ?? "\(value)"
        }
    }
}

extension FastVLMError {
    static func answerType(_ found: String, expected: String) -> FastVLMError {
        FastVLMError(.answerType, "Cannot ask for an answer with \(found): expected \(expected).")
    }
}
