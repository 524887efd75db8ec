/// How well a model answers at one resolution, as measured: any unit, the same one at all resolutions of a model.
///
/// `Codable`: `{"pixels": 512, "general": 52.5, "text": 24.1}`; unknown fields are ignored.
public struct ResolutionAccuracy: Sendable, Equatable, Codable {
    /// Side of the square that the encoder sees.
    public var pixels: Int
    public var general: Double
    /// Reading what is written; nil is as good as `general`, and so are the others.
    public var text: Double?
    public var counting: Double?
    /// Whether something is there, or is on.
    public var presence: Double?

    public init(
        pixels: Int, general: Double, text: Double? = nil, counting: Double? = nil, presence: Double? = nil
    ) {
        self.pixels = pixels
        self.general = general
        self.text = text
        self.counting = counting
        self.presence = presence
    }

    /// Every value with the name of its field.
    var values: [(field: String, value: Double)] {
        [("general", general)]
            + [("text", text), ("counting", counting), ("presence", presence)].compactMap { field, value in
                value.map { (field, $0) }
            }
    }
}
