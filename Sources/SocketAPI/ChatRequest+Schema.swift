internal import CaptionService
internal import FastVLM
internal import Sidecars

extension ChatRequest {
    /// The form of the answer that `response_format` asks for; nil for text.
    ///
    /// - Parameter type: What `response_format.type` says.
    static func schema(_ type: String, in reduced: ReducedJSON) throws(Problem) -> JSONAnswerSchema? {
        switch type {
        case "text": return nil
        case "json_object":
            // An object of no set form: what is said, as its one member.
            return try form { () throws(FastVLMError) in try JSONAnswerSchema([.init(name: "answer", type: .text)]) }
        case "json_schema":
            guard let json = reduced.value(at: ["response_format", "json_schema", "schema"]) else {
                throw Problem(.invalidJSON, "response_format.json_schema.schema is missing.")
            }
            return try form { () throws(FastVLMError) in try JSONAnswerSchema(json: json) }
        default:
            throw Problem(
                .unsupportedParameter, "response_format: expected the type text, json_object or json_schema.")
        }
    }

    private static func form(
        _ make: () throws(FastVLMError) -> JSONAnswerSchema
    ) throws(Problem) -> JSONAnswerSchema {
        do {
            return try make()
        } catch {
            throw Problem(.unsupportedParameter, "response_format: \(error.message)")
        }
    }
}

extension PictureTasks {
    /// One question for each field of `schema`, in place of the prompt.
    mutating func ask(_ schema: JSONAnswerSchema, after text: String) throws(Problem) {
        questions = schema.fields.map { field in
            // A form of no set fields asks what was asked.
            let isAnything = schema.fields.count == 1 && field.question == nil && field.name == "answer"
            let question = isAnything && !text.isEmpty ? text : schema.question(for: field, after: text)
            return Question(id: field.name, text: question, type: field.type)
        }
        prompt = ""
        guard questions.allSatisfy({ $0.text.utf8.count <= Self.promptByteLimit }) else {
            throw Problem(
                .invalidParameter, "response_format: a question has more than \(Self.promptByteLimit) bytes.")
        }
    }
}

extension JSONAnswerSchema {
    /// The object that `document` answers.
    func object(_ document: SidecarDocument) -> String {
        object(zip(fields, document.answers).map { field, answer in AnswerValue(answer.answer, field.type) })
    }
}

extension AnswerValue {
    fileprivate init(_ value: SidecarDocument.Answer.Value?, _ type: AnswerType) {
        switch (value, type) {
        case (.string(let text), _): self = .text(text)
        case (.boolean(let value), _): self = .boolean(value)
        case (.number(let value), .integer): self = Int(exactly: value).map { .integer($0) } ?? .number(value)
        case (.number(let value), _): self = .number(value)
        case (nil, _): self = .text("")
        }
    }
}
