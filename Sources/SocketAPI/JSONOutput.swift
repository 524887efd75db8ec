/// JSON that is written with its keys in the order in which they are given.
indirect enum JSONOutput: Sendable {
    case string(String)
    case number(Double)
    case bool(Bool)
    case null
    case array([JSONOutput])
    case object([(String, JSONOutput)])
    /// What is JSON already.
    case raw([UInt8])

    /// On one line, without a line feed.
    var bytes: [UInt8] {
        var text: [UInt8] = []
        write(to: &text)
        return text
    }

    private func write(to text: inout [UInt8]) {
        switch self {
        case .string(let string): Self.quote(string, to: &text)
        case .number(let number):
            if let whole = Int(exactly: number) {
                text += Array(String(whole).utf8)
            } else {
                text += Array((number.isFinite ? "\(number)" : "null").utf8)
            }
        case .bool(let bool): text += Array((bool ? "true" : "false").utf8)
        case .null: text += Array("null".utf8)
        case .raw(let bytes): text += bytes
        case .array(let elements):
            text.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                element.write(to: &text)
            }
            text.append(UInt8(ascii: "]"))
        case .object(let members):
            text.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { text.append(UInt8(ascii: ",")) }
                Self.quote(member.0, to: &text)
                text.append(UInt8(ascii: ":"))
                member.1.write(to: &text)
            }
            text.append(UInt8(ascii: "}"))
        }
    }

    private static func quote(_ string: String, to text: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        text.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): text += [UInt8(ascii: "\\"), byte]
            case 10: text += Array("\\n".utf8)
            case 0..<32, 127: text += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: text.append(byte)
            }
        }
        text.append(UInt8(ascii: "\""))
    }
}

extension JSONOutput {
    static func integer(_ value: Int) -> JSONOutput { .number(Double(value)) }
}
