/// The formats that are decoded.
public enum ImageFormat: String, Sendable, Codable, CaseIterable {
    case jpeg
    case png

    /// How many of a file's last bytes `hasEndMarker` needs to see.
    public static let tailLength = 4096

    /// Whether the end-of-image marker of this format lies in `tail`, the last bytes of a file.
    ///
    /// A hint for watchers of unfinished uploads, far cheaper than decoding. A marker is found wherever it lies in the
    /// tail, as padding and trailers may follow it; the decoder has the last word.
    public func hasEndMarker(inTail tail: UnsafeRawBufferPointer) -> Bool {
        switch self {
        case .jpeg: Self.contains([0xFF, 0xD9], in: tail)
        case .png: Self.contains([0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82], in: tail)  // IEND and its checksum
        }
    }

    public func hasEndMarker(inTail tail: [UInt8]) -> Bool {
        tail.withUnsafeBytes { hasEndMarker(inTail: $0) }
    }

    // Unsafe: bytes are looked at where they lie, for the time of the call; every index is below the count.
    private static func contains(_ marker: [UInt8], in bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= marker.count else { return false }
        return (0...(bytes.count - marker.count)).reversed().contains { start in
            marker.indices.allSatisfy { bytes[start + $0] == marker[$0] }
        }
    }
}

extension ImageFormat {
    static let pngSignature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
    static let jpegSignature: [UInt8] = [0xFF, 0xD8, 0xFF]

    /// The format of a file that starts with `bytes`.
    ///
    /// - Throws: `jpegTruncated` or `pngTruncated` if the file ends within the signature, `unsupportedFormat` for
    ///   pictures of other formats, `notAnImage` for all else.
    public init(of bytes: UnsafeRawBufferPointer) throws(ImageError) {
        if bytes.starts(with: Self.jpegSignature) {
            self = .jpeg
        } else if bytes.starts(with: Self.pngSignature) {
            self = .png
        } else if !bytes.isEmpty, Self.jpegSignature.starts(with: bytes) {
            throw ImageError(.jpegTruncated, .truncated(.jpeg))
        } else if !bytes.isEmpty, Self.pngSignature.starts(with: bytes) {
            throw ImageError(.pngTruncated, .truncated(.png))
        } else {
            throw ForeignFormat(of: bytes).error
        }
    }

    var name: String { self == .jpeg ? "JPEG" : "PNG" }
    var truncated: ImageError.Code { self == .jpeg ? .jpegTruncated : .pngTruncated }
    var corrupt: ImageError.Code { self == .jpeg ? .jpegCorrupt : .pngCorrupt }
}

extension String {
    static func truncated(_ format: ImageFormat) -> String {
        "Cannot decode the \(format.name): the file ends before the picture does. Send the whole file."
    }
}
