internal import Glibc

/// What went wrong with a watched folder or a frame in it: what was being done, to what, expected and got, what to do.
public struct FrameSourceError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What the caller does next.
    public enum Kind: String, Sendable, Codable, CaseIterable {
        /// The file is gone, or something on the way to it is, or a link stands there now.
        case vanished
        /// Not the content that settled: a new generation is on its way.
        case changed
        /// A folder, a FIFO, a socket, a device or a link: not a frame.
        case notARegularFile = "not_a_regular_file"
        /// More bytes than the limit.
        case tooLarge = "too_large"
        /// The machine cannot do it now (`EACCES`, `EMFILE`, `EIO`, `ENOMEM`, …): back off and try again. Never the
        /// frame's fault.
        case resource
        /// A path or an option that cannot be used.
        case invalid
    }

    public let kind: Kind

    /// One sentence or two for the reader.
    public let message: String

    /// The system's error number; 0 where there is none.
    public let systemCode: Int32

    public init(_ kind: Kind, _ message: String, systemCode: Int32 = 0) {
        self.kind = kind
        self.message = message
        self.systemCode = systemCode
    }

    public var description: String { message }

    /// The error for a system call that failed with `code` while doing `work`, such as "open 'a.jpg'".
    static func system(_ code: Int32, _ work: String) -> FrameSourceError {
        let kind: Kind =
            switch code {
            case ENOENT, ENOTDIR, ELOOP, ESTALE, EXDEV: .vanished
            case ENXIO, ENODEV, EISDIR: .notARegularFile
            case EINVAL, ENAMETOOLONG, EILSEQ: .invalid
            default: .resource
            }
        return FrameSourceError(kind, "Cannot \(work): \(systemMessage(code)).", systemCode: code)
    }
}

/// The system's words for an `errno` value.
func systemMessage(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return String(cString: text)
}
