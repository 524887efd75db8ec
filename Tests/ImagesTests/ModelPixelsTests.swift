import Images
import Testing

@Suite struct ModelPixelsTests {
    /// Pillow's results for random pictures of many shapes: records of width, height, resolution, fit (16 bits each) and
    /// resolution x resolution x 3 bytes.
    @Test func resizingEqualsPillowToTheBit() throws {
        let golden = try Fixture.bytes("model-pixels.bin")
        var place = 0
        var records = 0
        func number() -> Int {
            defer { place += 2 }
            return Int(golden[place]) | Int(golden[place + 1]) << 8
        }
        while place < golden.count {
            let width = number(), height = number(), resolution = number()
            let fit: PictureFit = number() == 0 ? .pad : .crop
            let count = resolution * resolution * 3
            let expected = golden[place..<(place + count)].map { Float($0) / 255 }
            place += count
            let seed = fit == .pad ? records + 1 : records - 25 + 101
            records += 1
            let picture = try Picture(width: width, height: height, rgb: noise(width * height * 3, seed: UInt32(seed)))
            let pixels = try picture.modelPixels(resolution: resolution, fit: fit)
            #expect(pixels == expected, "\(width) x \(height) to \(resolution), \(fit)")
        }
        #expect(records == 33)
    }

    @Test func paddingIsBlackAndCentred() throws {
        let white = try Picture(width: 8, height: 4, rgb: [UInt8](repeating: 255, count: 96))
        let pixels = try white.modelPixels(resolution: 8)
        let rows = (0..<8).map { pixels[$0 * 24] }
        #expect(rows == [0, 0, 1, 1, 1, 1, 0, 0])
    }

    @Test func cropTakesTheMiddle() throws {
        let rgb = (0..<4).flatMap { _ in (0..<8).flatMap { x in [UInt8](repeating: UInt8(x * 30), count: 3) } }
        let pixels = try Picture(width: 8, height: 4, rgb: rgb).modelPixels(resolution: 4, fit: .crop)
        let row = (0..<4).map { Int(pixels[$0 * 3] * 255 + 0.5) }
        #expect(row == [60, 90, 120, 150])
    }

    @Test func sizesThatDoNotFitAreRefused() throws {
        let picture = try Picture(width: 2, height: 1, rgb: [1, 2, 3, 4, 5, 6])
        for resolution in [Int.min, -1, 0, 8193, Int.max] {
            #expect(
                code { () throws(ImageError) in _ = try picture.modelPixels(resolution: resolution) } == .sizeInvalid)
        }
        var values = [Float](repeating: 0, count: 11)
        values.withUnsafeMutableBufferPointer { target in
            #expect(
                code { () throws(ImageError) in try picture.writeModelPixels(resolution: 2, to: target) }
                    == .sizeInvalid)
        }
        for (width, height) in [(0, 0), (-1, -2), (3, 1), (Int.max, 2), (Int.max, Int.max)] {
            #expect(
                code { () throws(ImageError) in
                    _ = try Picture(width: width, height: height, rgb: [1, 2, 3, 4, 5, 6])
                } == .sizeInvalid)
        }
    }

    /// The generator that made the golden pictures.
    private func noise(_ count: Int, seed: UInt32) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 24)
        }
    }
}
