import Images
import Testing

@Suite struct ThumbnailTests {
    private func picture(_ width: Int, _ height: Int, _ colour: [UInt8]) throws -> Picture {
        try Picture(width: width, height: height, rgb: (0..<width * height).flatMap { _ in colour })
    }

    @Test(arguments: [
        (640, 427, 320, 320, 213), (100, 400, 320, 80, 320), (40, 30, 320, 40, 30), (1, 1, 320, 1, 1),
        (5000, 3, 320, 320, 1),
    ]) func theLongerSideIsSetAndTheShapeStays(_ width: Int, _ height: Int, _ side: Int, _ columns: Int, _ rows: Int)
        throws
    {
        let info = try ImageDecoder.probe(try picture(width, height, [9, 9, 9]).thumbnail(side: side))
        #expect(info.format == .jpeg && info.width == columns && info.height == rows)
    }

    @Test func coloursStay() throws {
        let colour: [UInt8] = [200, 90, 30]
        let small = try ImageDecoder().decode(try picture(300, 200, colour).thumbnail(side: 64))
        // The outermost rows take in a little of the black that the square is filled up with.
        small.withRGB { samples in
            for (index, sample) in samples.enumerated() { #expect(abs(Int(sample) - Int(colour[index % 3])) <= 6) }
        }
    }

    @Test func aBetterQualityTakesMoreBytes() throws {
        let rgb = (0..<200 * 200 * 3).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 11) }
        let picture = try Picture(width: 200, height: 200, rgb: rgb)
        #expect(try picture.thumbnail(side: 200, quality: 30).count < picture.thumbnail(side: 200, quality: 95).count)
    }

    @Test func whatCannotBeIsRefused() throws {
        let picture = try picture(4, 4, [0, 0, 0])
        for (side, quality) in [(0, 80), (8_193, 80), (-1, 80), (320, 0), (320, 101)] {
            #expect(throws: ImageError.self) { try picture.thumbnail(side: side, quality: quality) }
        }
    }
}
