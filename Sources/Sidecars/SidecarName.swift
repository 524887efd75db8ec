internal import Digests

/// How sidecars and their temporaries are named. Names are bytes: a file system does not promise UTF-8.
public enum SidecarName {
    /// What follows the picture's name.
    public static let suffix = ".fastvlm.json"

    /// The most bytes of a name on Linux file systems.
    public static let nameLimit = 255

    private static let temporaryPrefix = Array(".fastvlm-".utf8)
    private static let temporarySuffix = Array(".tmp".utf8)
    private static let temporaryDigits = 16

    /// The sidecar's name for a picture's name: `<picture>.fastvlm.json`.
    ///
    /// Where that would be longer than 255 bytes, the picture's name is shortened to its first bytes (at most 225,
    /// ending between two UTF-8 characters), `~` and the first 16 hexadecimal digits of the SHA-256 of the whole
    /// name. The same name always gives the same sidecar.
    public static func sidecar(forPicture name: [UInt8]) -> [UInt8] {
        let ending = Array(suffix.utf8)
        if name.count + ending.count <= nameLimit { return name + ending }
        let mark = Array("~\(SHA256.hex(name).prefix(16))".utf8)
        var kept = min(name.count, nameLimit - ending.count - mark.count)
        // Back to the first byte of a character; a run of more than three followers is no UTF-8 and cut as it is.
        let last = kept
        while kept > 0, last - kept < 4, name[kept] & 0xC0 == 0x80 { kept -= 1 }
        if name[kept] & 0xC0 == 0x80 { kept = last }
        return name[0..<kept] + mark + ending
    }

    /// True for a name that a sidecar can have.
    public static func isSidecar(_ name: [UInt8]) -> Bool {
        name.count > suffix.utf8.count && name.suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
    }

    /// True for a name that only a temporary of an unfinished commit has: `.fastvlm-<16 hexadecimal digits>.tmp`.
    public static func isTemporary(_ name: [UInt8]) -> Bool {
        name.count == temporaryPrefix.count + temporaryDigits + temporarySuffix.count
            && name.starts(with: temporaryPrefix) && name.suffix(temporarySuffix.count).elementsEqual(temporarySuffix)
            && name.dropFirst(temporaryPrefix.count).prefix(temporaryDigits)
                .allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    /// A new temporary's name; two are equal by chance only once in 2^64.
    static func temporary() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        let random = (0..<temporaryDigits / 2).map { _ in UInt8.random(in: 0...255, using: &generator) }
        return temporaryPrefix + Array(SHA256.hexadecimal(random).utf8) + temporarySuffix
    }
}
