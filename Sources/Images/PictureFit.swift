/// How a picture of any shape becomes a square.
public enum PictureFit: String, Sendable, Codable, CaseIterable {
    /// The whole picture, centred on black: the reference.
    case pad

    /// The middle of the picture, nothing added: `CLIPImageProcessor` of transformers, and Apple's app.
    case crop
}
