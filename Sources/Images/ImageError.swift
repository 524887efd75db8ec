/// Why bytes did not become a picture: what was being done, to what, expected and got, what to do.
public struct ImageError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of a failure; the raw values are stable and appear in sidecars.
    public enum Code: String, Sendable, Codable, CaseIterable {
        // What the bytes are
        case notAnImage = "not_an_image"
        case unsupportedFormat = "unsupported_format"

        // What is wrong with them
        case jpegTruncated = "jpeg_truncated"
        case jpegCorrupt = "jpeg_corrupt"
        case pngTruncated = "png_truncated"
        case pngCorrupt = "png_corrupt"
        case emptyPicture = "empty_picture"

        // What they ask for
        case tooManyBytes = "too_many_bytes"
        case tooManyPixels = "too_many_pixels"
        case tooManyScans = "too_many_scans"
        case tooMuchMemory = "too_much_memory"

        // Not the picture's fault
        case outOfMemory = "out_of_memory"
        case sizeInvalid = "size_invalid"
    }

    public let code: Code

    /// One sentence or two for the reader.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// Whether another attempt with the same bytes can succeed: the process, not the picture, was short of something.
    public var isResourceFault: Bool { code == .outOfMemory }

    public var description: String { message }
}
