/// One way to show a picture to the encoder: a size, and whether it is cut into tiles.
///
/// A rung without tiles is encoded in one pass of `width` x `height` pixels. A rung with tiles is encoded as an
/// overview and then tile by tile, row by row, every pass of one tile's size; the features are concatenated
/// (arXiv 2412.13303, section 4.2: 2048 pixels as 2 x 2 tiles and an overview give 5 x 256 tokens).
public struct Rung: Sendable, Hashable, Codable, CustomStringConvertible {
    /// Pixels of the whole picture.
    public var width: Int
    public var height: Int
    /// Tiles across and down; 1 and 1 is a picture in one piece.
    public var columns: Int
    public var rows: Int

    /// - Parameters:
    ///   - columns: The default is 1: no tiles.
    ///   - rows: The default is 1: no tiles.
    public init(width: Int, height: Int, columns: Int = 1, rows: Int = 1) {
        self.width = width
        self.height = height
        self.columns = columns
        self.rows = rows
    }

    /// A square picture in one piece.
    public init(pixels: Int) {
        self.init(width: pixels, height: pixels)
    }

    /// The largest side and the most tiles along it that a rung may have.
    public static let sides = 32...8192
    public static let tilesAlong = 1...8

    private enum CodingKeys: String, CodingKey {
        case width, height, columns, rows
    }

    /// `columns` and `rows` may be left out: no tiles.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        width = try values.decode(Int.self, forKey: .width)
        height = try values.decode(Int.self, forKey: .height)
        columns = try values.decodeIfPresent(Int.self, forKey: .columns) ?? 1
        rows = try values.decodeIfPresent(Int.self, forKey: .rows) ?? 1
    }

    /// Whether the picture is cut into tiles.
    public var isTiled: Bool { columns > 1 || rows > 1 }

    /// Runs of the encoder: one, or one for each tile and one for the overview.
    public var encoderPasses: Int {
        isTiled ? columns.bounded(to: Self.tilesAlong) * rows.bounded(to: Self.tilesAlong) + 1 : 1
    }

    /// Pixels of one run of the encoder.
    public var passWidth: Int { width.bounded(to: 1...65536) / columns.bounded(to: Self.tilesAlong) }
    public var passHeight: Int { height.bounded(to: 1...65536) / rows.bounded(to: Self.tilesAlong) }

    /// Rows that the projector gives: one for each 64 x 64 pixels of every pass, begun ones included.
    public var visualTokens: Int {
        encoderPasses * max(1, (passWidth + 63) / 64) * max(1, (passHeight + 63) / 64)
    }

    /// Without the black bars that a picture of `width` x `height` pixels would have, but for what makes each side a
    /// multiple of 64 pixels; as it is where it has tiles or sides that are no multiples of 64.
    public func trimmed(toWidth width: Int, height: Int) -> Rung {
        let side = max(self.width, self.height)
        guard !isTiled, width > 0, height > 0, side.isMultiple(of: 64) else { return self }
        func shown(_ length: Int) -> Int {
            let pixels = (Double(length) * Double(side) / Double(max(width, height))).rounded(.up)
            return min(side, max(64, (Int(pixels) + 63) / 64 * 64))
        }
        return Rung(width: shown(width), height: shown(height))
    }

    /// `512`, `1024x576`, `2048 in 2x2`.
    public var description: String {
        let size = width == height ? "\(width)" : "\(width)x\(height)"
        return isTiled ? "\(size) in \(columns)x\(rows)" : size
    }

    /// Refuses what no picture can have.
    func validate() throws(LatencyBudgetError) {
        guard Self.sides.contains(width), Self.sides.contains(height) else {
            throw LatencyBudgetError(
                .ladderInvalid,
                "Cannot use a rung of \(width) x \(height) pixels: expected sides of \(Self.sides.lowerBound) to "
                    + "\(Self.sides.upperBound).")
        }
        guard Self.tilesAlong.contains(columns), Self.tilesAlong.contains(rows) else {
            throw LatencyBudgetError(
                .ladderInvalid,
                "Cannot use rung \(width)x\(height) with \(columns) x \(rows) tiles: expected 1 to "
                    + "\(Self.tilesAlong.upperBound) each way.")
        }
        guard width % columns == 0, height % rows == 0 else {
            throw LatencyBudgetError(
                .ladderInvalid, "Cannot use rung \(self): its sides are not whole multiples of its tiles.")
        }
    }
}

extension Comparable {
    /// The nearest value inside `range`.
    func bounded(to range: ClosedRange<Self>) -> Self {
        min(max(self, range.lowerBound), range.upperBound)
    }
}
