internal import ArgumentParser
internal import CaptionService
internal import ModelFiles

/// What a shell offers for an argument when the tabulator is pressed.
extension CompletionKind {
    /// A packed file, or a checkpoint's folder.
    static let model = CompletionKind.file(extensions: [PackedModel.fileExtension])
    static let picture = CompletionKind.file(extensions: ["jpg", "jpeg", "png", "JPG", "JPEG", "PNG"])
    static let configuration = CompletionKind.file(extensions: ["toml"])
    static let document = CompletionKind.file(extensions: ["json", "jsonl"])

    /// Where results come from, by the daemon's own configuration.
    static let source = CompletionKind.custom { (_: [String], _: Int, _: String) -> [String] in
        let configuration = try? DaemonConfiguration(file: "/etc/fastvlmd/fastvlmd.toml")
        return configuration?.watches.map { "watch:\($0.name)" } ?? []
    }
}
