/// How well a model answers at one resolution, as measured: any unit, the same one at all resolutions of a model.
///
/// `Codable`: `{"pixels": 512, "general": 52.5, "text": 24.1}`; unknown fields are ignored.
public struct ResolutionAccuracy: Sendable, Equatable, Codable {
    /// Side of the square that is seen.
    public var pixels: Int
    /// Tiles along each side that the square is cut into and that are seen one by one after an overview, all of the same
    /// size; nil is a square in one piece.
    public var tiles: Int?
    public var general: Double
    /// Reading what is written; nil is as good as `general`, and so are the others.
    public var text: Double?
    public var counting: Double?
    /// Whether something is there, or is on.
    public var presence: Double?

    public init(
        pixels: Int, tiles: Int? = nil, general: Double, text: Double? = nil, counting: Double? = nil,
        presence: Double? = nil
    ) {
        self.pixels = pixels
        self.tiles = tiles
        self.general = general
        self.text = text
        self.counting = counting
        self.presence = presence
    }

    /// Side of the square that the encoder sees at once.
    public var passPixels: Int { pixels / max(1, tiles ?? 1) }

    /// Every value with the name of its field.
    var values: [(field: String, value: Double)] {
        [("general", general)]
            + [("text", text), ("counting", counting), ("presence", presence)].compactMap { field, value in
                value.map { (field, $0) }
            }
    }
}
