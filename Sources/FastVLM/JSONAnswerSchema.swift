import ModelFiles

/// The form of an answer that is one JSON object: its fields, each of a type.
///
/// The program writes the JSON and the model only the values, so that every answer is an object of this form.
public struct JSONAnswerSchema: Sendable, Equatable {
    public struct Field: Sendable, Equatable {
        /// The key.
        public var name: String
        public var type: AnswerType
        /// What is asked; nil asks for the field by its name.
        public var question: String?

        public init(name: String, type: AnswerType, question: String? = nil) {
            self.name = name
            self.type = type
            self.question = question
        }
    }

    /// In the order in which they are asked and written.
    public let fields: [Field]

    /// Fields that a schema may have, and bytes of a field's name.
    public static let fieldCounts = 1...64
    public static let nameByteCounts = 1...64
    /// Bytes that a schema in JSON may have.
    public static let byteLimit = 1 << 16

    /// Throws ``FastVLMError/Code/answerType`` for no fields or too many, a name that stands twice or cannot be a key, and
    /// as ``AnswerType/validate()``.
    public init(_ fields: [Field]) throws(FastVLMError) {
        guard Self.fieldCounts.contains(fields.count) else {
            throw .answerType(
                "\(fields.count) fields",
                expected: "\(Self.fieldCounts.lowerBound) to \(Self.fieldCounts.upperBound)")
        }
        var names = Set<[UInt8]>()
        for field in fields {
            guard Self.nameByteCounts.contains(field.name.utf8.count),
                field.name.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7f })
            else {
                throw .answerType(
                    "the field '\(field.name)'", expected: "a name of 1 to 64 bytes without control characters")
            }
            guard names.insert(Array(field.name.utf8)).inserted else {
                throw .answerType("the field '\(field.name)' twice", expected: "each name once")
            }
            try field.type.validate()
        }
        self.fields = fields
    }

    /// Reads the part of JSON Schema that can be kept: `{"type": "object", "properties": {NAME: {"type": TYPE}, …}}`, where
    /// TYPE is `boolean`, `integer`, `number`, or `string`, with `"enum": […]` beside it for a choice. A property's
    /// `description` is its question.
    ///
    /// All properties are written, required or not. `$schema`, `title`, `required`, `additionalProperties`, and the object's
    /// `description` may stand there too; any other keyword asks for what is not kept, and is refused.
    ///
    /// Throws ``FastVLMError/Code/answerType``.
    public init(json: [UInt8]) throws(FastVLMError) {
        guard json.count <= Self.byteLimit else {
            throw .answerType("a schema of \(json.count) bytes", expected: "at most \(Self.byteLimit)")
        }
        var fields: [Field] = []
        do throws(ModelFileError) {
            var scanner = JSONScanner(json, subject: "the answer's schema", code: .optionInvalid)
            var isObject = false
            try scanner.object { (scanner, key) throws(ModelFileError) in
                switch key {
                case "type":
                    guard scanner.isString(), try scanner.string() == "object" else {
                        throw scanner.failure("expected the type 'object'")
                    }
                    isObject = true
                case "properties":
                    try scanner.object { (scanner, name) throws(ModelFileError) in
                        fields.append(try Self.field(name, &scanner))
                    }
                case "$schema", "title", "description", "required", "additionalProperties", "name", "strict":
                    try scanner.skipValue()
                default: throw scanner.failure("the keyword '\(key)' is not supported beside 'properties'")
                }
            }
            try scanner.end()
            guard isObject else { throw scanner.failure("expected \"type\": \"object\"") }
        } catch {
            throw FastVLMError(.answerType, error.message)
        }
        try self.init(fields)
    }

    private static func field(_ name: String, _ scanner: inout JSONScanner) throws(ModelFileError) -> Field {
        var type: String?
        var options: [String]?
        var question: String?
        try scanner.object { (scanner, key) throws(ModelFileError) in
            switch key {
            case "type":
                guard scanner.isString() else { throw scanner.failure("the type of '\(name)' is not one word") }
                type = try scanner.string()
            case "enum":
                var found: [String] = []
                try scanner.array { (scanner) throws(ModelFileError) in
                    guard scanner.isString() else { throw scanner.failure("an option of '\(name)' is not a string") }
                    found.append(try scanner.string())
                }
                options = found
            case "description": question = try scanner.string()
            case "title": try scanner.skipValue()
            default: throw scanner.failure("the keyword '\(key)' of '\(name)' is not supported")
            }
        }
        let known: AnswerType
        switch (type, options) {
        case ("string", nil): known = .text
        case ("string", let options?), (nil, let options?): known = .choice(options)
        case ("boolean", nil): known = .boolean
        case ("integer", nil): known = .integer
        case ("number", nil): known = .number
        default:
            throw scanner.failure(
                "the type of '\(name)' is \(type.map { "'\($0)'" } ?? "missing")"
                    + (options == nil ? "" : " with options") + ", expected boolean, integer, number or string")
        }
        return Field(name: name, type: known, question: question)
    }

    /// What is asked for `field`, after `prompt`, which may be empty.
    public func question(for field: Field, after prompt: String) -> String {
        prompt.isEmpty ? field.question ?? field.name : prompt + "\n" + (field.question ?? field.name)
    }

    /// Field `index` with its value as it stands in the object, with what comes before and after it there: all pieces
    /// together are the object, without white space between its parts.
    public func piece(_ index: Int, _ value: AnswerValue) -> String {
        guard fields.indices.contains(index) else { return "" }
        return (index == 0 ? "{" : ",") + Self.quoted(fields[index].name) + ":" + Self.written(value)
            + (index == fields.count - 1 ? "}" : "")
    }

    /// The object with `values`, one for each field in their order.
    public func object(_ values: [AnswerValue]) -> String {
        values.enumerated().map { piece($0, $1) }.joined()
    }
}

/// An answer of the form of a ``JSONAnswerSchema``.
public struct JSONAnswer: Sendable, Equatable {
    /// One object without white space between its parts, its keys in the schema's order.
    public let json: String
    /// One for each of the schema's fields.
    public let answers: [TypedAnswer]
    /// Tokens of all prompts together, the picture's rows counted once.
    public let promptTokens: Int
    /// Runs of the decoder for all fields.
    public var steps: Int { answers.reduce(0) { $0 + $1.steps } }
    /// ``FinishReason/length`` if a text was cut.
    public var finishReason: FinishReason { answers.contains { $0.finishReason == .length } ? .length : .stop }
}

extension FastVLMSession {
    /// Answers with a JSON object: one value after the other, each asked for by itself after `prompt`.
    ///
    /// - Parameters:
    ///   - prompt: Stands before each field's question; may be empty.
    ///   - options: For fields of ``AnswerType/text``, each.
    ///   - onField: Called with each field's piece of the object as it is written; all pieces together are the object.
    ///
    /// Throws as ``answer(_:about:as:options:isCancelled:onStep:)``.
    public func answer(
        _ prompt: String, about picture: EncodedPicture, as schema: JSONAnswerSchema,
        options: GenerationOptions = .init(),
        isCancelled: () -> Bool = { false }, onField: (_ json: String) -> Void = { _ in }
    ) throws(FastVLMError) -> JSONAnswer {
        var json = ""
        var answers: [TypedAnswer] = []
        var promptTokens = picture.tokens
        for field in schema.fields {
            let answer = try answer(
                schema.question(for: field, after: prompt), about: picture, as: field.type, options: options,
                isCancelled: isCancelled)
            answers.append(answer)
            promptTokens += answer.promptTokens - picture.tokens
            let piece = schema.piece(answers.count - 1, answer.value)
            json += piece
            onField(piece)
        }
        return JSONAnswer(json: json, answers: answers, promptTokens: promptTokens)
    }
}

extension JSONAnswerSchema {
    private static func written(_ value: AnswerValue) -> String {
        switch value {
        case .text(let text): quoted(text)
        case .choice(let option): quoted(option)
        case .boolean, .integer, .number: value.text
        }
    }

    /// `text` as a JSON string (RFC 8259, section 7).
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\" + String(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
