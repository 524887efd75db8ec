import Images
import Testing

@Suite struct FormatTests {
    @Test(arguments: [
        ("GIF89a......", "GIF"), ("RIFF\u{1}\u{2}\u{3}\u{4}WEBPVP8 ", "WebP"), ("\0\0\0\u{18}ftypheic....", "HEIC"),
        ("\0\0\0\u{18}ftypavif....", "AVIF"), ("II*\0........", "TIFF"), ("MM\0*........", "TIFF"),
        ("BM\u{1}\u{1}\u{1}\u{1}\0\0\0\0....", "BMP"), ("%PDF-1.7\n", "PDF"),
        ("<?xml version=\"1.0\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "SVG"), ("P6\n1 1\n255\n...", "PNM"),
        ("8BPS........", "Photoshop"), ("\0\0\0\u{0C}JXL ....", "JPEG XL"),
    ])
    func otherPicturesAreNamed(start: String, name: String) {
        let error = #expect(throws: ImageError.self) { try ImageDecoder().decode(Array(start.utf8)) }
        #expect(error?.code == .unsupportedFormat)
        #expect(error?.message.contains(name) == true, "\(String(describing: error))")
    }

    @Test(arguments: [
        ("", "empty"), ("hello, world\n", "text"), ("{\"a\": \"ü\"}", "text"), ("<!DOCTYPE html><p>", "HTML"),
        ("PK\u{3}\u{4}....", "ZIP"), ("\0\0\0\u{18}ftypisom....", "video"), ("\u{1}\u{2}\u{3}", "unknown"),
    ])
    func whatIsNoPictureIsNamedToo(start: String, name: String) {
        let error = #expect(throws: ImageError.self) { try ImageDecoder().decode(Array(start.utf8)) }
        #expect(error?.code == .notAnImage)
        #expect(error?.message.contains(name) == true, "\(String(describing: error))")
    }

    @Test func bytesThatAreNotUTF8AreUnknown() {
        let error = #expect(throws: ImageError.self) {
            try ImageDecoder().decode([0xC3, 0x28, 0xA0, 0xA1, 0xE2, 0x20])
        }
        #expect(error?.message.contains("unknown") == true)
        #expect(refusal([UInt8](repeating: 0, count: 4096)) == .notAnImage)
    }

    @Test func endMarkersAreFoundInTheTail() throws {
        let jpeg = try Fixture.bytes("jpeg-420.jpg")
        let png = try Fixture.bytes("png-rgb8.png")
        for (format, bytes) in [(ImageFormat.jpeg, jpeg), (.png, png)] {
            #expect(format.hasEndMarker(inTail: bytes))
            #expect(format.hasEndMarker(inTail: Array(bytes.suffix(8))))
            #expect(format.hasEndMarker(inTail: bytes + [UInt8](repeating: 0, count: 500)))
            #expect(!format.hasEndMarker(inTail: bytes.cut(1)))
            #expect(!format.hasEndMarker(inTail: [UInt8]()))
            #expect(!format.hasEndMarker(inTail: Array(bytes.suffix(1))))
        }
        #expect(!ImageFormat.jpeg.hasEndMarker(inTail: Array(png.suffix(12))))
    }
}
