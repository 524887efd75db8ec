import Images
import Testing

@Suite struct DecodingTests {
    /// Two steps of tolerance: releases of libjpeg-turbo may round colours differently.
    @Test(arguments: Fixture.jpegs)
    func everyKindOfJPEGGivesItsPixels(name: String) throws {
        let picture = try ImageDecoder().decode(Fixture.bytes(name))
        let expected = try Fixture.pixels(of: name)
        #expect(picture.rgb.count == expected.count)
        #expect(zip(picture.rgb, expected).allSatisfy { abs(Int($0) - Int($1)) <= 2 })
        #expect(picture.source?.format == .jpeg)
        #expect(picture.width * picture.height * 3 == expected.count)
    }

    @Test(arguments: Fixture.pngs)
    func everyKindOfPNGGivesItsPixels(name: String) throws {
        let picture = try ImageDecoder().decode(Fixture.bytes(name))
        #expect(picture.rgb == (try Fixture.pixels(of: name)))
        #expect(picture.source?.format == .png)
        #expect((picture.width, picture.height) == (37, 22))
    }

    @Test(arguments: Orientation.allCases, [true, false])
    func orientationsTurnJPEGs(orientation: Orientation, littleEndian: Bool) throws {
        let tiff = Edit.tiff(orientation: orientation.rawValue, littleEndian: littleEndian)
        let jpeg = try Edit.insert(0xE1, Edit.exifName + tiff, into: Fixture.bytes("jpeg-444.jpg"))
        let picture = try ImageDecoder().decode(jpeg)
        #expect(picture.source?.orientation == orientation)
        #expect((picture.source?.storedWidth, picture.source?.storedHeight) == (37, 22))
        #expect((picture.width, picture.height) == (orientation.swapsSides ? (22, 37) : (37, 22)))
        #expect((picture.source?.width, picture.source?.height) == (picture.width, picture.height))
        #expect(zip(picture.rgb, try turned(orientation)).allSatisfy { abs(Int($0) - Int($1)) <= 2 })
    }

    @Test(arguments: Orientation.allCases)
    func orientationsTurnPNGs(orientation: Orientation) throws {
        // The same turn of other pixels: turning the upright picture by the reference's map.
        let tiff = Edit.tiff(orientation: orientation.rawValue, littleEndian: false)
        let png = try Edit.insert("eXIf", tiff, intoPNG: Fixture.bytes("png-rgb8.png"))
        let upright = try Fixture.pixels(of: "png-rgb8.png")
        let picture = try ImageDecoder().decode(png)
        #expect(picture.source?.orientation == orientation)
        #expect((picture.width, picture.height) == (orientation.swapsSides ? (22, 37) : (37, 22)))
        let corner = { (x: Int, y: Int) in Array(upright[(3 * (y * 37 + x))..<(3 * (y * 37 + x) + 3)]) }
        let firstPixel: [UInt8] =
            switch orientation {
            case .upright, .transposed: corner(0, 0)
            case .mirrored, .quarterTurnAnticlockwise: corner(36, 0)
            case .halfTurn, .transversed: corner(36, 21)
            case .mirroredHalfTurn, .quarterTurnClockwise: corner(0, 21)
            }
        #expect(Array(picture.rgb.prefix(3)) == firstPixel)
        #expect(picture.rgb.sorted() == upright.sorted())
    }

    @Test func brokenEXIFLeavesThePictureAsStored() throws {
        let jpeg = try Fixture.bytes("jpeg-444.jpg")
        let good = Edit.tiff(orientation: 6, littleEndian: true)
        var lies: [[UInt8]] = (0..<(good.count - 4 - 8)).map { good.start($0) }  // cut before the value
        for value in [0, 9, 65535] { lies.append(Edit.tiff(orientation: value, littleEndian: true)) }
        var farAway = good
        farAway.replaceSubrange(4..<8, with: [0xFF, 0xFF, 0xFF, 0xFF])
        var otherType = good
        otherType[24] = 2
        var otherMark = good
        otherMark[0] = 0x41
        lies += [farAway, otherType, otherMark]
        for lie in lies {
            let picture = try ImageDecoder().decode(Edit.insert(0xE1, Edit.exifName + lie, into: jpeg))
            #expect(picture.source?.orientation == .upright, "\(lie)")
        }
    }

    @Test(arguments: [PictureFit.pad, .crop])
    func theScaleIsTheSmallestThatCovers(fit: PictureFit) throws {
        let jpeg = try Fixture.bytes("scale-1000x700.jpg")
        let side = fit == .pad ? 1000 : 700
        for target in [
            1, 87, 88, 89, 125, 126, 250, 251, 256, 375, 500, 501, 512, 625, 768, 875, 876, 1000, 1024, 4000,
        ] {
            let picture = try ImageDecoder().decode(jpeg, covering: target, fit: fit)
            let smallest = [1, 2, 4, 8].first { (side * $0 + 7) / 8 >= target } ?? 8
            #expect(picture.eighths == smallest, "\(target)")
            #expect((picture.width, picture.height) == ((1000 * smallest + 7) / 8, (700 * smallest + 7) / 8))
            #expect((picture.source?.width, picture.source?.height) == (1000, 700))
        }
    }

    @Test func scaledPicturesShowTheSame() throws {
        let jpeg = try Fixture.bytes("scale-1000x700.jpg")
        let whole = try ImageDecoder().decode(jpeg)
        for target in [125, 250, 375, 500, 625, 750, 875] {
            let picture = try ImageDecoder().decode(jpeg, covering: target)
            // The middles of the eight flat areas.
            for (x, y) in [(1, 1), (3, 1), (5, 1), (7, 1), (1, 3), (3, 3), (5, 3), (7, 3)] {
                let small = picture.rgb[3 * (picture.height * y / 4 * picture.width + picture.width * x / 8)]
                let large = whole.rgb[3 * (whole.height * y / 4 * whole.width + whole.width * x / 8)]
                #expect(abs(Int(small) - Int(large)) <= 2)
            }
        }
    }

    @Test func anOrientedPictureIsScaledToo() throws {
        let tiff = Edit.tiff(orientation: 6, littleEndian: true)
        let jpeg = try Edit.insert(0xE1, Edit.exifName + tiff, into: Fixture.bytes("scale-1000x700.jpg"))
        let picture = try ImageDecoder().decode(jpeg, covering: 256)
        #expect((picture.width, picture.height) == (350, 500))
        #expect((picture.source?.width, picture.source?.height) == (700, 1000))
    }

    @Test func whatFollowsTheFirstJPEGIsIgnored() throws {
        let jpeg = try Fixture.bytes("jpeg-420.jpg")
        let alone = try ImageDecoder().decode(jpeg)
        for trailer in [[0], [UInt8](repeating: 0xFF, count: 3000), try Fixture.bytes("jpeg-gray.jpg")] {
            #expect(try ImageDecoder().decode(jpeg + trailer).rgb == alone.rgb)
        }
    }

    @Test func theHeaderIsEnoughToProbe() throws {
        let jpeg = try Fixture.bytes("jpeg-progressive.jpg")
        let png = try Fixture.bytes("png-rgb8.png")
        let frame = try #require(Edit.segment(0xC0...0xC2, in: jpeg))
        for (bytes, format) in [(jpeg.start(frame + 5), ImageFormat.jpeg), (png.start(24), .png)] {
            let info = try ImageDecoder.probe(bytes)
            #expect(info.format == format)
            #expect((info.width, info.height) == (37, 22))
            #expect(info.orientation == .upright)
            let truncated: ImageError.Code = format == .jpeg ? .jpegTruncated : .pngTruncated
            #expect(code { () throws(ImageError) in _ = try ImageDecoder.probe(bytes.cut(1)) } == truncated)
        }
    }

    /// Pillow's `ImageOps.exif_transpose` of the picture, all eight behind one another.
    private func turned(_ orientation: Orientation) throws -> ArraySlice<UInt8> {
        let size = 37 * 22 * 3
        return try Fixture.bytes("orientations.rgb")[
            ((orientation.rawValue - 1) * size)..<(orientation.rawValue * size)]
    }
}
