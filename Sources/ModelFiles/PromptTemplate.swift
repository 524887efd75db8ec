/// How a question and a picture become the prompt that a model was trained with.
///
///     systemPrefix system systemSuffix  userPrefix  <picture> pictureSeparator question      userSuffix
///     systemPrefix system systemSuffix  userPrefix  question pictureSeparator <picture>      userSuffix
///
/// The second line is `textFirst`. Without `system` there is no system turn. Prefixes, suffixes and the separator are
/// the model's own and are parsed for special tokens; `system` and the question are text, whatever they contain.
///
/// As JSON all fields may be missing, and unknown ones are ignored; `"system": null` is a template without the turn.
public struct PromptTemplate: Sendable, Equatable, Codable {
    /// What comes first in the user's turn.
    public enum Order: String, Sendable, Codable, CaseIterable {
        case pictureFirst = "picture_first"
        case textFirst = "text_first"
    }

    /// The default is "<|im_start|>system\n".
    public var systemPrefix = "<|im_start|>system\n"

    /// The default is "You are a helpful assistant."; nil leaves the system turn out.
    public var system: String? = "You are a helpful assistant."

    /// The default is "<|im_end|>\n".
    public var systemSuffix = "<|im_end|>\n"

    /// The default is "<|im_start|>user\n".
    public var userPrefix = "<|im_start|>user\n"

    /// Between the picture and the question. The default is "\n".
    public var pictureSeparator = "\n"

    /// After the question, up to where the answer begins. The default is "<|im_end|>\n<|im_start|>assistant\n".
    public var userSuffix = "<|im_end|>\n<|im_start|>assistant\n"

    /// The default is `pictureFirst`: everything up to and including the picture is shared by all questions about it.
    public var order = Order.pictureFirst

    /// The template of the public checkpoints (apple/ml-fastvlm, `conv_templates["qwen_2"]`).
    public init() {}

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func text(_ key: CodingKeys, else usual: String) throws -> String {
            try container.decodeIfPresent(String.self, forKey: key) ?? usual
        }
        systemPrefix = try text(.systemPrefix, else: systemPrefix)
        if container.contains(.system) { system = try container.decodeIfPresent(String.self, forKey: .system) }
        systemSuffix = try text(.systemSuffix, else: systemSuffix)
        userPrefix = try text(.userPrefix, else: userPrefix)
        pictureSeparator = try text(.pictureSeparator, else: pictureSeparator)
        userSuffix = try text(.userSuffix, else: userSuffix)
        order = try container.decodeIfPresent(Order.self, forKey: .order) ?? order
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(systemPrefix, forKey: .systemPrefix)
        try container.encode(system, forKey: .system)
        try container.encode(systemSuffix, forKey: .systemSuffix)
        try container.encode(userPrefix, forKey: .userPrefix)
        try container.encode(pictureSeparator, forKey: .pictureSeparator)
        try container.encode(userSuffix, forKey: .userSuffix)
        try container.encode(order, forKey: .order)
    }

    private enum CodingKeys: CodingKey {
        case systemPrefix, system, systemSuffix, userPrefix, pictureSeparator, userSuffix, order
    }
}

extension PromptTemplate {
    /// The ids before and after the picture's rows.
    public func promptTokens(question: String, tokenizer: Tokenizer) -> (before: [Int], after: [Int]) {
        let separator = Tokenizer.Part(pictureSeparator, parsingSpecialTokens: true)
        let asked = Tokenizer.Part(question, parsingSpecialTokens: false)
        let suffix = Tokenizer.Part(userSuffix, parsingSpecialTokens: true)
        return switch order {
        case .pictureFirst:
            (tokenizer.encode(opening), tokenizer.encode([separator, asked, suffix]))
        case .textFirst:
            (tokenizer.encode(opening + [asked, separator]), tokenizer.encode([suffix]))
        }
    }

    /// The ids that every prompt of this template begins with, whatever is asked.
    ///
    /// With `pictureFirst`, all that come before the picture. With `textFirst`, those up to the last special token
    /// before the question: how the text after it is cut depends on the question's first characters.
    public func fixedPrefixTokens(tokenizer: Tokenizer) -> [Int] {
        let ids = tokenizer.encode(opening)
        switch order {
        case .pictureFirst: return ids
        case .textFirst:
            let last = ids.lastIndex { tokenizer.addedTokens.special.contains($0) }
            return Array(ids.prefix(last.map { $0 + 1 } ?? 0))
        }
    }

    /// All that comes before the picture and the question.
    private var opening: [Tokenizer.Part] {
        let user = Tokenizer.Part(userPrefix, parsingSpecialTokens: true)
        guard let system else { return [user] }
        return [
            Tokenizer.Part(systemPrefix, parsingSpecialTokens: true),
            Tokenizer.Part(system, parsingSpecialTokens: false),
            Tokenizer.Part(systemSuffix, parsingSpecialTokens: true), user,
        ]
    }
}
