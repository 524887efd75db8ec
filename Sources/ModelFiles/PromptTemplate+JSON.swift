extension PromptTemplate {
    /// Reads a template from `json`, the content of the file at `path`.
    ///
    /// - Throws: `optionInvalid`.
    public init(json: [UInt8], path: String) throws(ModelFileError) {
        self = try decodeJSON(json, subject: "'\(path)'", code: .optionInvalid)
    }
}

extension PackedModel.Summary {
    /// On one line.
    public func json() throws(ModelFileError) -> String { try encodeJSON(self) }
}
