internal import FoundationEssentials

/// JSON whose `data:` URLs were taken out, so that what is left is small: those URLs are never parsed as text, and never
/// copied but to be decoded.
struct ReducedJSON {
    /// The rest, with a number in the place of each URL.
    let json: [UInt8]
    private var urls: [ArraySlice<UInt8>] = []

    private static let scheme = Array("data:".utf8)
    private static let reference = "data:#"

    /// - Throws: `jsonTooLarge` for more than `limit` bytes without URLs, or deeper nesting than `depth`.
    init(_ body: [UInt8], limit: Int, depth: Int) throws(Problem) {
        var rest: [UInt8] = []
        var level = 0
        var index = 0
        func check() throws(Problem) {
            guard rest.count <= limit else {
                throw Problem(.jsonTooLarge, "At most \(limit) bytes besides the picture are allowed.")
            }
        }
        while index < body.count {
            let byte = body[index]
            switch byte {
            case UInt8(ascii: "\""):
                let start = index + 1
                var end = start
                let isURL = body[start...].starts(with: Self.scheme)
                while end < body.count, body[end] != UInt8(ascii: "\"") {
                    end += body[end] == UInt8(ascii: "\\") ? 2 : 1
                }
                guard end < body.count else { throw Problem(.invalidJSON, "A string has no end.") }
                if isURL {
                    rest += Array("\"\(Self.reference)\(urls.count)\"".utf8)
                    urls.append(body[start..<end])
                } else {
                    guard rest.count + end - index <= limit else {
                        throw Problem(.jsonTooLarge, "At most \(limit) bytes besides the picture are allowed.")
                    }
                    rest += body[index...end]
                }
                index = end
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                level += 1
                guard level <= depth else { throw Problem(.jsonTooLarge, "At most \(depth) levels are allowed.") }
                rest.append(byte)
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                level -= 1
                rest.append(byte)
            default: rest.append(byte)
            }
            try check()
            index += 1
        }
        json = rest
    }

    /// The bytes of the picture that `url`, a string of the JSON, stands for.
    func picture(_ url: String) throws(Problem) -> [UInt8] {
        guard url.hasPrefix(Self.reference), let number = Int(url.dropFirst(Self.reference.count)),
            urls.indices.contains(number)
        else { throw Problem(.imageNotInline, "Expected data:image/jpeg;base64,…; nothing is ever fetched.") }
        let text = urls[number]
        guard let comma = text.firstIndex(of: UInt8(ascii: ",")), comma - text.startIndex <= 128 else {
            throw Problem(.invalidDataURL, "There is no comma.")
        }
        let header = String(decoding: text[..<comma], as: UTF8.self).lowercased().replacing("\\/", with: "/")
        guard ["data:image/jpeg;base64", "data:image/jpg;base64", "data:image/png;base64"].contains(header) else {
            throw Problem(.invalidDataURL, "Expected data:image/jpeg;base64,… or data:image/png;base64,….")
        }
        var base64 = text[(comma + 1)...]
        // Some write a slash as \/, as JSON allows.
        if base64.contains(UInt8(ascii: "\\")) { base64 = base64.filter { $0 != UInt8(ascii: "\\") }[...] }
        guard !base64.isEmpty, let data = Data(base64Encoded: Data(base64)) else {
            throw Problem(.invalidDataURL, "What follows the comma is no base64.")
        }
        return Array(data)
    }
}
