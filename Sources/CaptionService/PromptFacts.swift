public import Sidecars

/// What a prompt can say of the picture that it is about, as plain text.
///
/// Names are anyone's to choose: control characters in them become blanks, what is not UTF-8 becomes U+FFFD, and long ones are
/// cut. What looks like one of the model's special tokens is text to the tokenizer, as all of a question is.
public struct PromptFacts: Sendable, Equatable {
    /// The picture's name without folders.
    public var file: String
    /// The name of the folder that it lies in.
    public var folder: String
    /// The watched folder's name in the configuration, or what else sent the picture.
    public var source: String
    /// The file's modification time, such as `2026-11-23T10:00:00.123Z`; empty where it is not known.
    public var modified: String

    /// Most bytes of each.
    static let byteLimit = 256

    public init(file: String, folder: String, source: String, modified: String) {
        self.file = Self.plain(file)
        self.folder = Self.plain(folder)
        self.source = Self.plain(source)
        self.modified = Self.plain(modified)
    }

    /// - Parameter folder: The name of the folder that the picture lies in.
    public init(_ source: SidecarDocument.Source, folder: [UInt8]) {
        let origin = source.origin ?? ""
        self.init(
            file: String(decoding: source.file ?? [], as: UTF8.self), folder: String(decoding: folder, as: UTF8.self),
            source: origin.split(separator: ":", maxSplits: 1).last.map { String($0) } ?? origin,
            modified: source.modified.map { "\($0)" } ?? "")
    }

    private static func plain(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        var bytes = 0
        for scalar in text.unicodeScalars {
            // Line and paragraph separators end a line as a line feed does; the others turn or hide what follows.
            let isControl =
                switch scalar.properties.generalCategory {
                case .control, .lineSeparator, .paragraphSeparator, .format: true
                default: false
                }
            let shown = isControl ? " " : scalar
            bytes += UTF8.width(shown)
            guard bytes <= byteLimit else { break }
            result.append(shown)
        }
        return String(result)
    }

    fileprivate subscript(_ variable: Variable) -> String {
        switch variable {
        case .file: file
        case .folder: folder
        case .source: source
        case .modified: modified
        }
    }

    /// What may stand between braces in a prompt.
    fileprivate enum Variable: String, CaseIterable {
        case file, folder, source, modified
    }

    /// A piece of a prompt.
    fileprivate enum Part {
        case text(String)
        case variable(Variable)
    }

    /// A prompt's pieces, or what is wrong with it.
    fileprivate static func parts(of prompt: String) -> Result<[Part], Problem> {
        var parts: [Part] = []
        var text = String.UnicodeScalarView()
        var rest = prompt.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "{" where rest.first == "{", "}" where rest.first == "}":
                rest.removeFirst()
                text.append(scalar)
            case "{":
                let name = String(String.UnicodeScalarView(rest.prefix { $0 != "}" && $0 != "{" }))
                rest = rest.dropFirst(name.unicodeScalars.count)
                guard rest.popFirst() == "}", let variable = Variable(rawValue: name) else {
                    return .failure(Problem(found: "{\(name)"))
                }
                parts += [.text(String(text)), .variable(variable)]
                text = .init()
            case "}": return .failure(Problem(found: "a single }"))
            default: text.append(scalar)
            }
        }
        return .success(parts + [.text(String(text))])
    }

    fileprivate struct Problem: Error {
        let found: String
    }
}

extension PictureTasks {
    /// These tasks with every variable of prompt and questions (`{file}`, `{folder}`, `{source}`, `{modified}`) replaced by
    /// what `facts` says, and `{{` and `}}` by single braces.
    ///
    /// A text that ``validateVariables(subject:place:)`` refuses stays as it is.
    public func filledIn(_ facts: PromptFacts) -> PictureTasks {
        func filled(_ text: String) -> String {
            guard case .success(let parts) = PromptFacts.parts(of: text) else { return text }
            return parts.map { part in
                switch part {
                case .text(let text): text
                case .variable(let variable): facts[variable]
                }
            }.joined()
        }
        var tasks = self
        tasks.prompt = filled(prompt)
        for index in tasks.questions.indices { tasks.questions[index].text = filled(questions[index].text) }
        return tasks
    }

    /// Throws ``ConfigurationError/Code/invalidValue`` for braces that are no variable; `subject` and `place` say whose
    /// tasks these are.
    ///
    /// - Parameter hasFile: Whether the pictures are files. The default is true; of others only `{source}` is known.
    public func validateVariables(
        subject: String, place: String, hasFile: Bool = true
    ) throws(ConfigurationError) {
        let allowed = hasFile ? PromptFacts.Variable.allCases : [.source]
        for (key, text) in [("prompt", prompt)] + questions.map({ ("questions.question", $0.text) }) {
            let found: String
            switch PromptFacts.parts(of: text) {
            case .failure(let problem): found = problem.found
            case .success(let parts):
                let unknown = parts.lazy.compactMap { part in
                    if case .variable(let variable) = part { variable } else { nil }
                }.first { !allowed.contains($0) }
                guard let unknown else { continue }
                found = "{\(unknown.rawValue)}"
            }
            let known = allowed.map { "{\($0.rawValue)}" }.joined(separator: ", ")
            throw ConfigurationError(
                .invalidValue,
                "Cannot use \(subject): \(place).\(key) holds '\(found)', expected \(known), or {{ and }} for braces "
                    + "that are text.")
        }
    }
}
