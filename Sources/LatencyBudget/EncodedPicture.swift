/// What is known of a picture's file before it is decoded.
public struct EncodedPicture: Sendable, Equatable {
    /// How the file is coded: what decoding costs differs, so each is learned by itself.
    public enum Coding: Int, Sendable, CaseIterable {
        case jpeg
        case png
    }

    public var coding: Coding
    /// Of the whole file.
    public var bytes: Double
    /// Pixels of the whole picture.
    public var width: Int
    public var height: Int

    public init(_ coding: Coding, bytes: Int, width: Int, height: Int) {
        self.coding = coding
        self.bytes = Double(bytes.bounded(to: 0...1 << 40))
        self.width = width.bounded(to: 0...1 << 20)
        self.height = height.bounded(to: 0...1 << 20)
    }

    /// The picture's form, which decides how much of a rung is resized and how much is bars.
    enum Outline: Int, Sendable {
        case unknown, square, wide, tall
    }

    var outline: Outline {
        guard width > 0, height > 0 else { return .unknown }
        let ratio = Double(width) / Double(height)
        return ratio > 1.1 ? .wide : ratio < 1 / 1.1 ? .tall : .square
    }

    /// Pixels that come out of the decoder for `rung`: a JPEG is decoded at the smallest of 1/8, 2/8, 4/8 and 8/8 of its
    /// size whose longer side still covers the rung's.
    public func decodedPixels(for rung: Rung) -> Double {
        guard coding == .jpeg else { return Double(width) * Double(height) }
        let side = max(rung.width, rung.height)
        var eighths = 1
        while eighths < 8, (max(width, height) * eighths + 7) / 8 < side { eighths *= 2 }
        return Double((width * eighths + 7) / 8) * Double((height * eighths + 7) / 8)
    }
}
