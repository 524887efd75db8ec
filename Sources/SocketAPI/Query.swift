internal import CaptionService
internal import FastVLM
internal import HummingbirdCore

/// The parameters after a path's question mark; each may stand once, but for questions, and only those that are known.
struct Query {
    private var values: [String: String] = [:]
    private var questions: [PictureTasks.Question] = []

    init(_ request: Request, _ allowed: Set<String>) throws(Problem) {
        guard let query = request.uri.query else { return }
        for pair in query.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(parts[0]), let value = Self.decoded(parts.count > 1 ? parts[1] : "") else {
                throw Problem(.invalidParameter, "The query holds an escape that cannot be read.")
            }
            guard allowed.contains(name) else {
                throw Problem(
                    .invalidParameter,
                    "Unknown parameter '\(name.prefix(64))'. Known here: \(allowed.sorted().joined(separator: ", ")).")
            }
            if name == "ask" {
                questions.append(try Self.question(value))
                continue
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw Problem(.invalidParameter, "'\(name)' stands twice.")
            }
        }
    }

    subscript(_ name: String) -> String? { values[name] }

    /// `text` without its escapes; nil if one cannot be read or the whole is no UTF-8.
    private static func decoded(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(32)
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst(), let low = rest.popFirst(), let first = digit(high),
                    let second = digit(low)
                else { return nil }
                bytes.append(first << 4 | second)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension Query {
    /// The name of a source, if there is one.
    func source() throws(Problem) -> String? {
        guard let name = self["source"] else { return nil }
        guard Spool.isSourceName(name) else {
            throw Problem(.invalidParameter, "source: expected 1 to 64 letters, digits, '.', '_' and '-'.")
        }
        return name
    }

    /// Milliseconds, if there are any.
    func budget() throws(Problem) -> Double? {
        guard let text = self["budget_ms"] else { return nil }
        guard let budget = Double(text), PictureTasks.budgetRange.contains(budget) else {
            throw Problem(.invalidParameter, "budget_ms: expected a number from 1 to 3600000.")
        }
        return budget
    }

    func prompt() throws(Problem) -> String? {
        guard let text = self["prompt"] else { return nil }
        guard (1...PictureTasks.promptByteLimit).contains(text.utf8.count) else {
            throw Problem(.invalidParameter, "prompt: expected 1 to \(PictureTasks.promptByteLimit) bytes.")
        }
        return text
    }
}

extension Query {
    /// What the request asks in place of what is asked of every frame; of what it does not say, `tasks` is kept.
    ///
    /// With questions alone there is no caption.
    func apply(to tasks: PictureTasks) throws(Problem) -> PictureTasks {
        var tasks = tasks
        if let budget = try budget() { tasks.budget = budget }
        let prompt = try prompt()
        if let prompt { tasks.prompt = prompt }
        if let model = self["model"] { tasks.model = model }
        guard !questions.isEmpty else { return tasks }
        tasks.questions = questions
        tasks.prompt = prompt ?? ""
        do {
            try tasks.validate(subject: "the request", place: "ask")
        } catch {
            throw Problem(.invalidParameter, error.message)
        }
        return tasks
    }

    /// What the request asks beside its picture, to be kept with it.
    func spooled() throws(Problem) -> Spool.Request {
        _ = try apply(to: PictureTasks())
        return Spool.Request(prompt: try prompt(), model: self["model"], budget: try budget(), questions: questions)
    }

    /// One question, `ID:TYPE:TEXT`, where TYPE is `text`, `boolean`, `integer`, `number` or `choice(RED|GREEN|…)`.
    private static func question(_ value: String) throws(Problem) -> PictureTasks.Question {
        let parts = value.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, !parts[2].isEmpty else {
            throw Problem(.invalidParameter, "ask: expected ID:TYPE:QUESTION, such as lamp:boolean:Is the lamp on?")
        }
        var (word, options) = (parts[1][...], [String]())
        if word.hasPrefix("choice("), word.hasSuffix(")") {
            options = word.dropFirst(7).dropLast().split(separator: "|", omittingEmptySubsequences: false).map(
                String.init)
            word = "choice"
        }
        do {
            let type = try AnswerType(word: String(word), options: options)
            return PictureTasks.Question(id: String(parts[0]), text: String(parts[2]), type: type)
        } catch {
            throw Problem(.invalidParameter, "ask: \(error.message)")
        }
    }
}
