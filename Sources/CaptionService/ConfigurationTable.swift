internal import TOMLKit

/// One table of a configuration file: hands out typed values, remembers which keys were asked for, and refuses
/// the others.
struct ConfigurationTable {
    private let table: TOMLTable
    /// Where the table stands, for messages: empty at the top, else `model`, `watch[0]`, …
    private let place: String
    private let file: String
    private var known: Set<String> = []

    init(_ table: TOMLTable, place: String = "", file: String) {
        self.table = table
        self.place = place
        self.file = file
    }

    /// Parses the text of the file called `file`.
    init(parsing text: String, file: String) throws(ConfigurationError) {
        try Self.screen(text, file)
        do {
            self.init(try TOMLTable(string: text), file: file)
        } catch let error as TOMLParseError {
            throw ConfigurationError(
                .syntax,
                "Cannot read the configuration '\(file)': \(error.description), \(error.source.debugDescription).")
        } catch {
            throw ConfigurationError(.syntax, "Cannot read the configuration '\(file)': \(error).")
        }
    }

    /// Refuses what would end the process in the parser.
    private static func screen(_ text: String, _ file: String) throws(ConfigurationError) {
        var screen = TOMLScreen(text)
        guard let finding = screen.finding() else { return }
        let what =
            switch finding {
            case .headerWithoutName:
                "begins with '[' and has no name after it, expected a table such as [model] or [[watch]]"
            case .date: "has a date for a value, and no key takes one; text stands in quotes"
            case .noValue: "has something in an array that is no value, expected a text in quotes, a number or ']'"
            }
        throw ConfigurationError(
            .syntax, "Cannot read the configuration '\(file)': line \(screen.line) \(what).")
    }

    mutating func string(_ key: String) throws(ConfigurationError) -> String? {
        try value(key, expected: "a string") { $0.string }
    }

    mutating func required(_ key: String, example: String) throws(ConfigurationError) -> String {
        guard let value = try string(key), !value.isEmpty else {
            throw ConfigurationError(
                .missingKey,
                "Cannot use the configuration '\(file)': \(name(key)) is missing. Set it, for example \(key) = "
                    + "\"\(example)\".")
        }
        return value
    }

    mutating func bool(_ key: String) throws(ConfigurationError) -> Bool? {
        try value(key, expected: "true or false") { $0.bool }
    }

    mutating func integer(_ key: String, _ range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let number = try value(key, expected: expected, { $0.int }) else { return nil }
        guard range.contains(number) else { throw invalid(key, "\(number)", expected: expected) }
        return number
    }

    /// A whole number, or one of some words in its place.
    enum NumberOrWord {
        case number(Int)
        case word(String)
    }

    mutating func integer(
        _ key: String, _ range: ClosedRange<Int>, or words: [String]
    ) throws(ConfigurationError) -> NumberOrWord? {
        let expected =
            "a whole number from \(range.lowerBound) to \(range.upperBound), or "
            + words.map { "\"\($0)\"" }.joined(separator: " or ")
        let found = try value(key, expected: expected) { found -> NumberOrWord? in
            found.int.map { .number($0) } ?? found.string.map { .word($0) }
        }
        switch found {
        case .number(let number) where !range.contains(number): throw invalid(key, "\(number)", expected: expected)
        case .word(let word) where !words.contains(word): throw invalid(key, "\"\(word)\"", expected: expected)
        default: return found
        }
    }

    /// One of `words`.
    mutating func word(_ key: String, _ words: [String]) throws(ConfigurationError) -> String? {
        let expected = words.map { "\"\($0)\"" }.joined(separator: " or ")
        guard let word = try value(key, expected: expected, { $0.string }) else { return nil }
        guard words.contains(word) else { throw invalid(key, "\"\(word)\"", expected: expected) }
        return word
    }

    mutating func number(_ key: String, _ range: ClosedRange<Double>) throws(ConfigurationError) -> Double? {
        let expected = "a number from \(range.lowerBound) to \(range.upperBound)"
        guard let number = try value(key, expected: expected, { $0.double ?? $0.int.map(Double.init) }) else {
            return nil
        }
        guard range.contains(number) else { throw invalid(key, "\(number)", expected: expected) }
        return number
    }

    mutating func strings(_ key: String) throws(ConfigurationError) -> [String]? {
        let expected = "an array of strings"
        guard let array = try value(key, expected: expected, { $0.array }) else { return nil }
        var strings: [String] = []
        for element in array {
            guard let string = element.string else {
                throw invalid(key, element.debugDescription, expected: expected)
            }
            strings.append(string)
        }
        return strings
    }

    /// The table at `key`.
    mutating func subtable(_ key: String) throws(ConfigurationError) -> ConfigurationTable? {
        guard let found = try value(key, expected: "a table", { $0.table }) else { return nil }
        return ConfigurationTable(found, place: name(key), file: file)
    }

    /// The table at `key`, or the tables of the array there; empty if there is neither.
    mutating func tables(_ key: String) throws(ConfigurationError) -> [ConfigurationTable] {
        if table[key]?.table != nil { return try subtable(key).map { [$0] } ?? [] }
        return try subtables(key)
    }

    /// The tables of the array at `key`; empty if there is none.
    mutating func subtables(_ key: String) throws(ConfigurationError) -> [ConfigurationTable] {
        let expected = "tables, each headed [[\(key)]]"
        guard let array = try value(key, expected: expected, { $0.array }) else { return [] }
        var tables: [ConfigurationTable] = []
        for element in array {
            guard let found = element.table else { throw invalid(key, element.debugDescription, expected: expected) }
            tables.append(ConfigurationTable(found, place: "\(name(key))[\(tables.count)]", file: file))
        }
        return tables
    }

    /// Refuses a key that nobody asked for.
    func finish() throws(ConfigurationError) {
        guard let unknown = table.keys.sorted().first(where: { !known.contains($0) }) else { return }
        throw ConfigurationError(
            .unknownKey,
            "Cannot use the configuration '\(file)': unknown key \(name(unknown)). Known here: "
                + known.sorted().joined(separator: ", ") + ".")
    }

    /// The error for a value that is not allowed.
    func invalid(_ key: String, _ value: String, expected: String) -> ConfigurationError {
        ConfigurationError(
            .invalidValue, "Cannot use the configuration '\(file)': \(name(key)) is \(value), expected \(expected).")
    }

    private mutating func value<Value>(
        _ key: String, expected: String, _ convert: (any TOMLValueConvertible) -> Value?
    ) throws(ConfigurationError) -> Value? {
        known.insert(key)
        guard let found = table[key] else { return nil }
        guard let value = convert(found) else { throw invalid(key, found.debugDescription, expected: expected) }
        return value
    }

    private func name(_ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }
}
