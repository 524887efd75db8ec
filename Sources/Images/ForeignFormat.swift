/// What bytes are that are neither JPEG nor PNG, as far as their beginning tells.
struct ForeignFormat {
    /// With its article: "a GIF picture".
    let name: String
    let isPicture: Bool

    // Unsafe: bytes are looked at where they lie, for the time of the call.
    init(of bytes: UnsafeRawBufferPointer) {
        if bytes.isEmpty {
            self.init("empty")
        } else if let known = Self.signatures.first(where: { $0.matches(bytes) }) {
            self.init(known.name, isPicture: known.isPicture)
        } else if let container = Self.container(bytes) {
            self = container
        } else if let text = Self.text(bytes) {
            self = text
        } else {
            self.init("of an unknown format")
        }
    }

    private init(_ name: String, isPicture: Bool = false) {
        self.name = name
        self.isPicture = isPicture
    }

    var error: ImageError {
        isPicture
            ? ImageError(
                .unsupportedFormat,
                "Cannot decode the picture: the file is \(name), expected JPEG or PNG. Convert it first.")
            : ImageError(.notAnImage, "Cannot decode the picture: the file is \(name), expected JPEG or PNG.")
    }

    private struct Signature {
        let name: String
        let isPicture: Bool
        let pieces: [(offset: Int, bytes: [UInt8])]

        init(_ name: String, isPicture: Bool = true, _ pieces: (offset: Int, bytes: [UInt8])...) {
            self.name = name
            self.isPicture = isPicture
            self.pieces = pieces
        }

        func matches(_ bytes: UnsafeRawBufferPointer) -> Bool {
            pieces.allSatisfy { bytes.dropFirst($0.offset).starts(with: $0.bytes) }
        }
    }

    private static let signatures: [Signature] = [
        Signature("a GIF picture", (0, Array("GIF8".utf8))),
        Signature("a WebP picture", (0, Array("RIFF".utf8)), (8, Array("WEBP".utf8))),
        Signature("a TIFF picture", (0, [0x49, 0x49, 0x2A, 0x00])),
        Signature("a TIFF picture", (0, [0x4D, 0x4D, 0x00, 0x2A])),
        Signature("a TIFF picture", (0, [0x49, 0x49, 0x2B, 0x00])),
        Signature("a TIFF picture", (0, [0x4D, 0x4D, 0x00, 0x2B])),
        Signature("a BMP picture", (0, Array("BM".utf8)), (6, [0, 0, 0, 0])),
        Signature("a PDF document", (0, Array("%PDF".utf8))),
        Signature("a JPEG 2000 picture", (0, [0, 0, 0, 0x0C, 0x6A, 0x50, 0x20, 0x20])),
        Signature("a JPEG 2000 picture", (0, [0xFF, 0x4F, 0xFF, 0x51])),
        Signature("a JPEG XL picture", (0, [0, 0, 0, 0x0C, 0x4A, 0x58, 0x4C, 0x20])),
        Signature("a JPEG XL picture", (0, [0xFF, 0x0A])),
        Signature("a Windows icon", (0, [0, 0, 1, 0])),
        Signature("a Photoshop picture", (0, Array("8BPS".utf8))),
        Signature("an OpenEXR picture", (0, [0x76, 0x2F, 0x31, 0x01])),
        Signature("a QOI picture", (0, Array("qoif".utf8))),
        Signature("a ZIP archive", isPicture: false, (0, [0x50, 0x4B, 0x03, 0x04])),
        Signature("gzip data", isPicture: false, (0, [0x1F, 0x8B])),
        Signature("an AVI video", isPicture: false, (0, Array("RIFF".utf8)), (8, Array("AVI ".utf8))),
        Signature("a Matroska video", isPicture: false, (0, [0x1A, 0x45, 0xDF, 0xA3])),
    ]

    /// ISO base media files name their brand in the first box.
    private static func container(_ bytes: UnsafeRawBufferPointer) -> ForeignFormat? {
        guard bytes.count >= 12, bytes[4..<8].elementsEqual("ftyp".utf8) else { return nil }
        switch String(decoding: bytes[8..<12], as: UTF8.self) {
        case "avif", "avis": return ForeignFormat("an AVIF picture", isPicture: true)
        case "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1":
            return ForeignFormat("a HEIC picture", isPicture: true)
        default: return ForeignFormat("an MP4 or QuickTime video")
        }
    }

    /// SVG, PNM, HTML and other text by the first kilobyte.
    private static func text(_ bytes: UnsafeRawBufferPointer) -> ForeignFormat? {
        let start = bytes.prefix(1024)
        let isText = start.allSatisfy { ($0 >= 0x20 && $0 != 0x7F) || (0x09...0x0D).contains($0) || $0 == 0x1B }
        if start.count >= 3, start[0] == UInt8(ascii: "P"), (UInt8(ascii: "1")...UInt8(ascii: "6")).contains(start[1]),
            (0x09...0x0D).contains(start[2]) || start[2] == 0x20
        {
            return ForeignFormat("a PNM picture", isPicture: true)
        }
        guard isText else { return nil }
        let words = String(decoding: start, as: UTF8.self).lowercased()
        if words.contains("<svg") { return ForeignFormat("an SVG drawing", isPicture: true) }
        if words.contains("<html") || words.contains("<!doctype html") { return ForeignFormat("an HTML page") }
        // Text in a legacy encoding looks like binary data: only valid UTF-8, but for a cut at the end, is called text.
        return words.dropLast().contains("\u{FFFD}") ? nil : ForeignFormat("text")
    }
}
