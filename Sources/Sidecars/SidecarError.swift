internal import Glibc

/// What went wrong with a sidecar: what was being done, to what, expected and got, what to do.
public struct SidecarError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Who or what is to blame; decides what the caller does next.
    public enum Kind: String, Sendable, Codable, CaseIterable {
        /// The machine cannot store the result now (`ENOSPC`, `EDQUOT`, `EROFS`, `EIO`, `EMFILE`, `ENFILE`,
        /// `EACCES`, `EPERM`, `ENOMEM`, and whatever else is not known): keep the result, back off, try again.
        /// Never the picture's fault.
        case resource
        /// A file that is no sidecar of ours stands at the sidecar's name: it stays, the result has no place.
        case conflict
        /// The picture changed or went while its result was made: the result is for nothing.
        case superseded
        /// The sidecar's folder is gone, or a link or a file stands in its place.
        case placeGone = "place_gone"
        /// A name, a document or an option that cannot be used; trying again changes nothing.
        case invalid
    }

    public let kind: Kind

    /// One sentence or two for the reader; names files, expected and got.
    public let message: String

    /// The system's error number; 0 where there is none.
    public let systemCode: Int32

    public init(_ kind: Kind, _ message: String, systemCode: Int32 = 0) {
        self.kind = kind
        self.message = message
        self.systemCode = systemCode
    }

    public var description: String { message }

    /// The error for a system call that failed with `code` while doing `work`, such as "write 'a.json'".
    static func system(_ code: Int32, _ work: String) -> SidecarError {
        SidecarError(kind(of: code), "Cannot \(work): \(systemMessage(code)).", systemCode: code)
    }

    private static func kind(of code: Int32) -> Kind {
        switch code {
        case ENOENT, ENOTDIR, ELOOP, ESTALE: .placeGone
        case EEXIST, EISDIR, ENOTEMPTY: .conflict
        case ENAMETOOLONG, EINVAL, EILSEQ: .invalid
        default: .resource
        }
    }
}

/// The system's words for an `errno` value.
func systemMessage(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return String(cString: text)
}
