import Foundation
import Images

/// Checked-in pictures and the pixels they hold, made with Pillow and the libjpeg-turbo programs.
enum Fixture {
    static let jpegs = [
        "1x1", "410", "411", "420", "422", "440", "444", "arithmetic", "arithmetic-progressive", "cmyk", "cmyknoadobe",
        "gray", "multiscan", "odd-sampling", "optimized", "progressive", "progressive-gray", "restart", "rgb", "ycck",
    ].map { "jpeg-\($0).jpg" }

    static let pngs = [
        "gamma", "gray1", "gray16", "gray8", "graya8", "interlaced", "interlaced-rgba", "palette-trns", "palette2",
        "palette4", "palette8", "rgb16", "rgb8", "rgb8-trns", "rgba16", "rgba8", "text",
    ].map { "png-\($0).png" }

    static func bytes(_ name: String) throws -> [UInt8] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures")
        return [UInt8](try Data(contentsOf: folder.appendingPathComponent(name)))
    }

    /// The pixels of a picture of the same name.
    static func pixels(of name: String) throws -> [UInt8] {
        try bytes(String(name.prefix { $0 != "." }) + ".rgb")
    }
}

extension Picture {
    var rgb: [UInt8] { withRGB { Array($0) } }
}

/// The code of the error that `body` throws, or nil.
func code(_ body: () throws(ImageError) -> Void) -> ImageError.Code? {
    do throws(ImageError) {
        try body()
        return nil
    } catch {
        return error.code
    }
}

func refusal(_ bytes: [UInt8], limits: ImageLimits = ImageLimits()) -> ImageError.Code? {
    code { () throws(ImageError) in _ = try ImageDecoder(limits: limits).decode(bytes) }
}

/// Edits of whole files.
enum Edit {
    /// Where the payload of the first segment with one of `markers` begins, after its length.
    static func segment(_ markers: ClosedRange<UInt8>, in jpeg: [UInt8]) -> Int? {
        var place = 2
        while place + 4 <= jpeg.count, jpeg[place] == 0xFF {
            if markers.contains(jpeg[place + 1]) { return place + 4 }
            place += 2 + Int(jpeg[place + 2]) << 8 + Int(jpeg[place + 3])
        }
        return nil
    }

    /// A JPEG with other sides in its frame header.
    static func sides(_ width: Int, _ height: Int, ofJPEG jpeg: [UInt8]) -> [UInt8] {
        var jpeg = jpeg
        if let frame = segment(0xC0...0xC2, in: jpeg) {
            jpeg.replaceSubrange((frame + 1)..<(frame + 5), with: big16(height) + big16(width))
        }
        return jpeg
    }

    /// A JPEG with a segment after its first two bytes.
    static func insert(_ marker: UInt8, _ payload: [UInt8], into jpeg: [UInt8]) -> [UInt8] {
        jpeg.start(2) + [0xFF, marker] + big16(payload.count + 2) + payload + jpeg.from(2)
    }

    /// A PNG with a chunk after its header chunk.
    static func insert(_ type: String, _ payload: [UInt8], intoPNG png: [UInt8]) -> [UInt8] {
        png.start(33) + chunk(type, payload) + png.from(33)
    }

    static func chunk(_ type: String, _ payload: [UInt8]) -> [UInt8] {
        let body = Array(type.utf8) + payload
        return big32(payload.count) + body + big32(Int(crc32(body)))
    }

    /// EXIF's TIFF structure with an orientation behind one other entry.
    static func tiff(orientation: Int, littleEndian: Bool) -> [UInt8] {
        func number(_ value: Int, _ length: Int) -> [UInt8] {
            let big = Array(big32(value).suffix(length))
            return littleEndian ? big.reversed() : big
        }
        let mark = Array((littleEndian ? "II" : "MM").utf8)
        let other = number(0x0100, 2) + number(4, 2) + number(1, 4) + number(37, 4)
        let entry = number(0x0112, 2) + number(3, 2) + number(1, 4) + number(orientation, 2) + number(0, 2)
        return mark + number(42, 2) + number(8, 4) + number(2, 2) + other + entry + number(0, 4)
    }

    static let exifName = Array("Exif".utf8) + [0, 0]

    static func big16(_ value: Int) -> [UInt8] { Array(big32(value).suffix(2)) }

    static func big32(_ value: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    private static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xFFFF_FFFF
        for byte in bytes {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? 0xEDB8_8320 ^ crc >> 1 : crc >> 1 }
        }
        return ~crc
    }
}

/// Pieces of files, as arrays.
extension [UInt8] {
    func start(_ count: Int) -> [UInt8] { Array(prefix(count)) }
    func from(_ place: Int) -> [UInt8] { Array(dropFirst(place)) }
    func cut(_ count: Int) -> [UInt8] { Array(dropLast(count)) }
}
