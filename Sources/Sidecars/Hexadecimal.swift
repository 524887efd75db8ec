internal import Digests

/// Bytes as pairs of lowercase hexadecimal digits.
enum Hexadecimal {
    static func text(_ bytes: [UInt8]) -> String { SHA256.hexadecimal(bytes) }

    /// Nil unless `text` is pairs of hexadecimal digits.
    static func bytes(_ text: String) -> [UInt8]? {
        var result: [UInt8] = []
        var high: UInt8?
        for digit in text.utf8 {
            let value: UInt8
            switch digit {
            case 48...57: value = digit - 48
            case 97...102: value = digit - 87
            case 65...70: value = digit - 55
            default: return nil
            }
            if let upper = high {
                result.append(upper << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return high == nil ? result : nil
    }
}
