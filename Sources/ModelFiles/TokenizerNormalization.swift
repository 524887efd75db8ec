/// Unicode's canonical composition (NFC), in which text enters the vocabulary.
///
/// Composition is the standard library's, for the version of Unicode that it knows (17 in Swift 6.3). The `tokenizers`
/// library has older tables: some 160 marks of rare scripts (U+07FD, U+0897, U+11930, …) it neither reorders nor
/// composes, so that ids can differ where they meet other marks.
enum TokenizerNormalization {
    /// `text`, which is UTF-8, in normalization form C.
    ///
    /// Text below U+0300, as nearly all is, costs one look at its bytes.
    static func nfc(_ text: [UInt8]) -> [UInt8] {
        // Below U+0300 (first byte CC) every character is as it should be, and none combines with the one before it.
        guard text.contains(where: { $0 >= 0xCC }) else { return text }
        var scalars = String.UnicodeScalarView()
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            switch scalar {
            // These three have combining class 0, but what they stand for has not; the standard library takes them for
            // the beginning of something new and leaves the marks around them in the wrong order.
            case "\u{F73}": scalars.append(contentsOf: ["\u{F71}", "\u{F72}"])
            case "\u{F75}": scalars.append(contentsOf: ["\u{F71}", "\u{F74}"])
            case "\u{F81}": scalars.append(contentsOf: ["\u{F71}", "\u{F80}"])
            default: scalars.append(scalar)
            }
        }
        return String(scalars)._nfcCodeUnits
    }
}
