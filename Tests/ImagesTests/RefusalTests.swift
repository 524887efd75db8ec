import Images
import Testing

@Suite struct RefusalTests {
    @Test(arguments: [
        "jpeg-420.jpg", "jpeg-progressive.jpg", "jpeg-restart.jpg", "jpeg-arithmetic.jpg", "jpeg-multiscan.jpg",
        "jpeg-cmyk.jpg", "png-rgb8.png", "png-interlaced.png", "png-palette-trns.png",
    ])
    func aFileCutAnywhereIsTruncated(name: String) throws {
        let bytes = try Fixture.bytes(name)
        let truncated: ImageError.Code = name.hasPrefix("jpeg") ? .jpegTruncated : .pngTruncated
        #expect(refusal([]) == .notAnImage)
        for count in 1..<bytes.count {
            #expect(refusal(bytes.start(count)) == truncated, "\(name) cut at \(count)")
        }
        #expect(refusal(bytes) == nil)
    }

    @Test func aTailOfZerosIsTruncated() throws {
        // As left by an upload that reserved its space.
        let jpeg = try Fixture.bytes("jpeg-420.jpg")
        for count in stride(from: 3, to: jpeg.count, by: 7) {
            let zeros = [UInt8](repeating: 0, count: jpeg.count - count + 100)
            #expect(refusal(jpeg.start(count) + zeros) != nil, "cut at \(count)")
        }
    }

    @Test(arguments: Fixture.jpegs + Fixture.pngs)
    func randomDamageNeverCrashes(name: String) throws {
        let bytes = try Fixture.bytes(name)
        var numbers = SplitMix(seed: 7)
        var refused = 0
        for round in 0..<600 {
            var damaged = bytes
            for _ in 0...(round % 4) {
                let place = Int.random(in: 0..<damaged.count, using: &numbers)
                damaged[place] =
                    round.isMultiple(of: 2)
                    ? damaged[place] ^ 1 << UInt8.random(in: 0..<8, using: &numbers)
                    : .random(in: 0...255, using: &numbers)
            }
            if round.isMultiple(of: 5) { damaged.remove(at: Int.random(in: 0..<damaged.count, using: &numbers)) }
            do throws(ImageError) {
                let picture = try ImageDecoder().decode(damaged, covering: round.isMultiple(of: 3) ? 16 : nil)
                #expect(picture.rgb.count == picture.width * picture.height * 3)
            } catch {
                refused += 1
                #expect(!error.isResourceFault, "\(error) in round \(round)")
            }
        }
        #expect(refused > 100)
    }

    @Test func headersAloneCountPixels() throws {
        let jpeg = try Fixture.bytes("jpeg-420.jpg")
        #expect(refusal(Edit.sides(65535, 65535, ofJPEG: jpeg)) == .tooManyPixels)
        #expect(refusal(Edit.sides(10_000, 5_001, ofJPEG: jpeg)) == .tooManyPixels)
        var png = try Fixture.bytes("png-rgb8.png")
        png.replaceSubrange(16..<24, with: Edit.big32(0x7FFF_FFFF) + Edit.big32(0x7FFF_FFFF))
        #expect(refusal(png) == .tooManyPixels)
        // Wider than libjpeg's 65500, though of few pixels.
        #expect(refusal(Edit.sides(65535, 1, ofJPEG: jpeg)) == .tooManyPixels)
    }

    @Test(arguments: ["jpeg-420.jpg", "png-rgb8.png"])
    func limitsAreExact(name: String) throws {
        let bytes = try Fixture.bytes(name)
        var limits = ImageLimits()
        limits.pixels = 37 * 22
        limits.bytes = bytes.count
        #expect(refusal(bytes, limits: limits) == nil)
        limits.pixels -= 1
        #expect(refusal(bytes, limits: limits) == .tooManyPixels)
        limits.pixels += 1
        limits.bytes -= 1
        #expect(refusal(bytes, limits: limits) == .tooManyBytes)
    }

    @Test func theDefaultsAreThoseOfTheContract() {
        let limits = ImageLimits()
        #expect(limits.bytes == 33_554_432)
        #expect(limits.pixels == 50_000_000)
        #expect(limits.scans == 100)
    }

    @Test(arguments: ["jpeg-progressive.jpg", "jpeg-multiscan.jpg"])
    func endlessScansAreRefusedSoon(name: String) throws {
        let jpeg = try Fixture.bytes(name)
        // The first scan again and again, while its tables are in force.
        let isMarker = { (place: Int) in jpeg[place] == 0xFF && jpeg[place + 1] != 0 }
        let start = try #require((0..<(jpeg.count - 1)).first { isMarker($0) && jpeg[$0 + 1] == 0xDA })
        let end = try #require(((start + 2)..<(jpeg.count - 1)).first(where: isMarker))
        var bomb = jpeg.start(end)
        for _ in 0..<50_000 { bomb += jpeg[start..<end] }
        bomb += jpeg.from(end)
        let took = ContinuousClock().measure { #expect(refusal(bomb) == .tooManyScans) }
        #expect(took < .seconds(2))
    }

    @Test func scansAreCounted() throws {
        var limits = ImageLimits()
        limits.scans = 3
        #expect(refusal(try Fixture.bytes("jpeg-multiscan.jpg"), limits: limits) == nil)
        limits.scans = 2
        #expect(refusal(try Fixture.bytes("jpeg-multiscan.jpg"), limits: limits) == .tooManyScans)
        limits = ImageLimits()
        limits.scanPixels = 3 * 37 * 22
        #expect(refusal(try Fixture.bytes("jpeg-multiscan.jpg"), limits: limits) == nil)
        limits.scanPixels -= 1
        #expect(refusal(try Fixture.bytes("jpeg-multiscan.jpg"), limits: limits) == .tooManyScans)
    }

    @Test func aScanThatContradictsTheOthersIsCorrupt() throws {
        // The last scan twice: its refinement was already made.
        let jpeg = try Fixture.bytes("jpeg-progressive.jpg")
        let last = try #require(jpeg.indices.dropLast().last { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xDA })
        #expect(refusal(jpeg.cut(2) + jpeg.from(last)) == .jpegCorrupt)
    }

    @Test func coefficientsAreCountedBeforeTheyAreHeld() throws {
        var limits = ImageLimits()
        limits.workingBytes = 3000
        #expect(refusal(try Fixture.bytes("jpeg-progressive.jpg"), limits: limits) == .tooMuchMemory)
        #expect(refusal(try Fixture.bytes("jpeg-420.jpg"), limits: limits) == nil)
        limits.workingBytes = 1000
        #expect(refusal(try Fixture.bytes("png-rgb8.png"), limits: limits) == .tooMuchMemory)
        // 7000 x 7000 x 3 coefficients of two bytes.
        let large = try Edit.sides(7000, 7000, ofJPEG: Fixture.bytes("jpeg-progressive.jpg"))
        #expect([.tooMuchMemory, .jpegCorrupt, .jpegTruncated].contains(try #require(refusal(large))))
    }

    @Test func hugeSegmentsAreSkipped() throws {
        let payload = [UInt8](repeating: 0xFF, count: 65_533)
        let jpeg = try Fixture.bytes("jpeg-420.jpg")
        var large = jpeg.start(2)
        for i in 0..<300 { large += [0xFF, UInt8(0xE0 + i % 16)] + Edit.big16(65_535) + payload }
        large += jpeg.from(2)
        let picture = try ImageDecoder().decode(large)
        #expect(picture.rgb == (try ImageDecoder().decode(jpeg).rgb))
        #expect(refusal(jpeg.start(2) + [0xFF, 0xE1, 0xFF, 0xFF] + jpeg.from(2)) == .jpegTruncated)
        #expect(refusal(jpeg.start(2) + [0xFF, 0xE1, 0, 1] + jpeg.from(2)) == .jpegCorrupt)
    }

    @Test func picturesWithoutPixelsAreRefused() throws {
        let jpeg = try Fixture.bytes("jpeg-420.jpg")
        #expect(refusal(Edit.sides(0, 22, ofJPEG: jpeg)) == .emptyPicture)
        #expect(refusal(Edit.sides(37, 0, ofJPEG: jpeg)) == .emptyPicture)
        var png = try Fixture.bytes("png-rgb8.png")
        png.replaceSubrange(16..<20, with: Edit.big32(0))
        #expect(refusal(png) == .emptyPicture)
    }

    @Test(
        arguments: [(0xC3, 8, "lossless"), (0xC5, 8, "hierarchical"), (0xC1, 12, "12-bit"), (0xC2, 12, "12-bit")]
            as [(UInt8, UInt8, String)])
    func kindsThatAreNotDecodedAreNamed(marker: UInt8, precision: UInt8, name: String) throws {
        var jpeg = try Fixture.bytes("jpeg-420.jpg")
        let frame = try #require(Edit.segment(0xC0...0xC0, in: jpeg))
        jpeg[frame - 3] = marker
        jpeg[frame] = precision
        let error = #expect(throws: ImageError.self) { try ImageDecoder().decode(jpeg) }
        #expect(error?.code == .unsupportedFormat)
        #expect(error?.message.contains(name) == true)
    }

    @Test func twoComponentsAreUnsupported() throws {
        #expect(refusal(try Fixture.bytes("refused-two-components.jpg")) == .unsupportedFormat)
    }

    @Test func bytesBeforeTheEndMarkerMustBePadding() throws {
        let jpeg = try Fixture.bytes("jpeg-420.jpg")
        let end: [UInt8] = [0xFF, 0xD9]
        #expect(refusal(jpeg.cut(2) + [UInt8](repeating: 0, count: 40) + end) == nil)
        #expect(refusal(jpeg.cut(2) + [UInt8](repeating: 1, count: 40) + end) == .jpegCorrupt)
        // The data ends, and the end marker is there too soon.
        #expect(refusal(jpeg.cut(60) + end) == .jpegCorrupt)
    }

    @Test func damagedChunksAreCorrupt() throws {
        let png = try Fixture.bytes("png-rgb8.png")
        var checksum = png
        checksum[60] ^= 1  // inside the compressed pixels
        #expect(refusal(checksum) == .pngCorrupt)
        var header = png
        header[25] = 5  // no such colour type
        #expect(refusal(header) == .pngCorrupt)
        #expect(refusal(png.start(33) + Edit.chunk("IEND", [])) == .pngCorrupt)
        #expect(refusal(png.start(33) + Edit.chunk("IDAT", [1, 2, 3, 4]) + Edit.chunk("IEND", [])) == .pngCorrupt)
    }

    @Test func messagesSayWhatAndWhatToDo() throws {
        let jpeg = try Fixture.bytes("jpeg-420.jpg")
        let error = #expect(throws: ImageError.self) {
            try ImageDecoder().decode(Edit.sides(9000, 8000, ofJPEG: jpeg))
        }
        #expect(
            error?.description
                == "Cannot decode the JPEG: it has 9000 x 8000 pixels, at most 50000000 are allowed. Scale it down first."
        )
        #expect(Set(ImageError.Code.allCases.map(\.rawValue)).count == ImageError.Code.allCases.count)
    }
}

/// Numbers that are the same in every run.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
