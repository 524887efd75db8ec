package import CaptionService
package import FastVLM
internal import FoundationEssentials
internal import LatencyBudget
internal import UntrustedJSON

/// A request in the shape of OpenAI's chat completions: one picture and what is asked about it.
package struct ChatRequest: Sendable {
    package var tasks: PictureTasks
    package var picture: [UInt8]
    /// What the model that is asked is called.
    let model: String
    /// The form that the answer is to have; nil for text.
    package var schema: JSONAnswerSchema?
    var isStreamed: Bool
    /// Whether a stream ends with the numbers of tokens.
    var includesUsage: Bool

    /// - Parameters:
    ///   - tasks: What is not said is asked as here.
    ///   - find: Finds a model by its name, as ``ModelShelf/find(_:)``.
    package init(
        _ body: [UInt8], limits: SocketAPI.Limits, tasks: PictureTasks,
        find: (String?) -> (id: String, card: ModelCard)?
    ) throws(Problem) {
        let reduced = try ReducedJSON(body, limit: limits.json, depth: limits.jsonDepth)
        let wire: Wire
        do {
            wire = try JSONDecoder().decode(Wire.self, fromUntrusted: reduced.json)
        } catch let error as DecodingError {
            throw Problem(.invalidJSON, Self.describe(error))
        } catch {
            throw Problem(.invalidJSON)
        }
        try wire.refuseWhatIsNotSupported()
        var tasks = tasks
        // Nothing is what the socket's configuration says, "default" is the first of all.
        if let name = wire.model, !name.isEmpty { tasks.model = name }
        guard let found = find(tasks.model) else { throw Problem(noModel: tasks.model) }
        model = found.id
        let (text, image) = try wire.question()
        self.tasks = try wire.apply(to: tasks, text: text, image: image, ladder: found.card.ladder)
        schema = try wire.response_format.flatMap { (format) throws(Problem) in
            try Self.schema(format.type, in: reduced)
        }
        if let schema { try self.tasks.ask(schema, after: text) }
        picture = try reduced.picture(image.url)
        isStreamed = wire.stream ?? false
        includesUsage = wire.stream_options?.include_usage ?? false
    }

    private static func describe(_ error: DecodingError) -> String {
        let (context, problem): (DecodingError.Context, String) =
            switch error {
            case .keyNotFound(let key, let context): (context, "'\(key.stringValue)' is missing")
            case .typeMismatch(let type, let context): (context, "expected \(Self.name(of: type))")
            case .valueNotFound(let type, let context): (context, "expected \(Self.name(of: type)), found null")
            case .dataCorrupted(let context): (context, "it cannot be read")
            @unknown default: (.init(codingPath: [], debugDescription: ""), "it cannot be read")
            }
        let place = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? ".\($0.stringValue)" }.joined()
        return (place.isEmpty ? "" : "\(place.drop { $0 == "." }): ") + problem + "."
    }

    private static func name(of type: Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Int.Type, is UInt64.Type: "a whole number"
        case is Double.Type: "a number"
        case is Bool.Type: "true or false"
        default: "another shape"
        }
    }
}

/// The keys as OpenAI spells them.
private struct Wire: Decodable {
    var model: String?
    var messages: [Message]
    var stream: Bool?
    var stream_options: StreamOptions?
    var max_tokens: Int?
    var max_completion_tokens: Int?
    var temperature: Double?
    var top_p: Double?
    var seed: Int?
    var n: Int?
    var response_format: Format?
    var tools: [Anything]?
    var functions: [Anything]?
    var logprobs: Bool?
    var stop: Anything?
    /// Of this project alone.
    var budget_ms: Double?

    struct StreamOptions: Decodable { var include_usage: Bool? }
    struct Format: Decodable { var type: String }
    /// Something whose shape does not matter.
    struct Anything: Decodable { init(from decoder: any Decoder) throws {} }

    struct Message: Decodable {
        var role: String
        var content: Content
    }

    enum Content: Decodable {
        case text(String)
        case parts([Part])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let text = try? container.decode(String.self) {
                self = .text(text)
            } else {
                self = .parts(try container.decode([Part].self))
            }
        }

        var parts: [Part] {
            switch self {
            case .text(let text): [Part(type: "text", text: text)]
            case .parts(let parts): parts
            }
        }
    }

    struct Part: Decodable {
        var type: String
        var text: String?
        var image_url: Image?
    }

    struct Image: Decodable {
        var url: String
        var detail: String?
    }

    func refuseWhatIsNotSupported() throws(Problem) {
        func refuse(_ name: String, _ expected: String) -> Problem {
            Problem(.unsupportedParameter, "\(name): \(expected).")
        }
        if let n, n != 1 { throw refuse("n", "only 1 is supported") }
        if tools?.isEmpty == false || functions?.isEmpty == false { throw refuse("tools", "not supported") }
        if logprobs == true { throw refuse("logprobs", "not supported") }
        if stop != nil { throw refuse("stop", "not supported") }
    }

    /// The text and the one picture of all messages.
    func question() throws(Problem) -> (text: String, image: Image) {
        var texts: [String] = []
        var images: [Image] = []
        for message in messages {
            guard ["user", "system", "developer"].contains(message.role) else {
                throw Problem(
                    .unsupportedParameter,
                    "messages: only user, system and developer are supported: one question a request.")
            }
            for part in message.content.parts {
                switch part.type {
                case "text": if let text = part.text, !text.isEmpty { texts.append(text) }
                case "image_url":
                    guard let image = part.image_url else {
                        throw Problem(.invalidJSON, "messages: image_url is missing.")
                    }
                    images.append(image)
                default: throw Problem(.unsupportedParameter, "messages: only text and image_url are supported.")
                }
            }
        }
        guard let image = images.first else {
            throw Problem(.imageMissing, "Give one picture as image_url with a data: URL.")
        }
        guard images.count == 1 else { throw Problem(.tooManyImages, "Found \(images.count), expected 1.") }
        return (texts.joined(separator: "\n"), image)
    }

    func apply(
        to tasks: PictureTasks, text: String, image: Image, ladder: Ladder
    ) throws(Problem) -> PictureTasks {
        func check<Value: Comparable & Sendable>(
            _ name: String, _ value: Value?, _ range: ClosedRange<Value>
        ) throws(Problem) {
            guard let value, !range.contains(value) else { return }
            throw Problem(.invalidParameter, "\(name): expected \(range.lowerBound) to \(range.upperBound).")
        }
        let longest = max_completion_tokens ?? max_tokens
        try check("max_tokens", longest, 1...Int.max)
        try check("temperature", temperature, PictureTasks.temperatureRange)
        try check("top_p", top_p, PictureTasks.topPRange)
        try check("budget_ms", budget_ms, PictureTasks.budgetRange)
        guard text.utf8.count <= PictureTasks.promptByteLimit else {
            throw Problem(
                .invalidParameter, "messages: at most \(PictureTasks.promptByteLimit) bytes of text are allowed.")
        }
        var tasks = tasks
        tasks.questions = []
        tasks.prompt = text.isEmpty ? (tasks.prompt.isEmpty ? PictureTasks.defaultPrompt : tasks.prompt) : text
        if let longest { tasks.maxTokens = min(longest, PictureTasks.maxTokensRange.upperBound) }
        if let temperature { tasks.temperature = temperature }
        if let top_p { tasks.topP = top_p }
        if let seed { tasks.seed = UInt64(bitPattern: Int64(seed)) }
        if let budget_ms { (tasks.budget, tasks.followsBudget) = (budget_ms, true) }
        let rung: Rung?
        switch image.detail ?? "auto" {
        case "auto": return tasks
        case "low": rung = ladder.steps.first?.rung
        case "high": rung = ladder.steps.last?.rung
        default: throw Problem(.invalidParameter, "detail: expected \"low\", \"high\" or \"auto\".")
        }
        if let rung { (tasks.resolution, tasks.followsBudget) = (rung.width, true) }
        return tasks
    }
}
