import FoundationEssentials
import UntrustedJSON

/// Decodes `json`, whose keys are in snake case.
///
/// - Throws: an error with `code` that names the key and what is wrong with its value.
func decodeJSON<Value: Decodable>(
    _ json: [UInt8], subject: String, code: ModelFileError.Code
) throws(ModelFileError) -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    do {
        return try decoder.decode(Value.self, fromUntrusted: json)
    } catch let error as DecodingError {
        throw ModelFileError(code, "Cannot read \(subject): \(describe(error)).")
    } catch {
        throw ModelFileError(code, "Cannot read \(subject): it is not JSON.")
    }
}

/// `value` as JSON with sorted snake-case keys: the same value always gives the same text.
func encodeJSON(_ value: some Encodable) throws(ModelFileError) -> String {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    } catch {
        throw ModelFileError(.optionInvalid, "Cannot write \(type(of: value)) as JSON: \(error).")
    }
}

private func describe(_ error: DecodingError) -> String {
    func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
        let keys = context.codingPath + (last.map { [$0] } ?? [])
        let names = keys.map { $0.intValue.map { "[\($0)]" } ?? snakeCase($0.stringValue) }
        return names.isEmpty ? "the document" : names.joined(separator: ".")
    }
    switch error {
    case .typeMismatch(let type, let context): return "\(path(context)) has the wrong type, expected \(type)"
    case .valueNotFound(let type, let context): return "\(path(context)) is null, expected \(type)"
    case .keyNotFound(let key, let context): return "\(path(context, key)) is missing"
    case .dataCorrupted(let context):
        return context.codingPath.isEmpty ? "it is not valid JSON" : "\(path(context)) has an impossible value"
    @unknown default: return "it cannot be decoded"
    }
}

private func snakeCase(_ name: String) -> String {
    name.reduce(into: "") { text, character in
        if character.isUppercase { text += "_" }
        text += character.lowercased()
    }
}
