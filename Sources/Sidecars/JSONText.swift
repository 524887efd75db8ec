/// JSON text that keeps keys in the order in which they are encoded; Foundation's encoder does not promise one.
enum JSONText {
    enum Style: Sendable {
        /// Two spaces of indentation, one value a line, a line feed at the end.
        case readable
        /// No white space at all.
        case compact
    }

    /// `value` as JSON.
    ///
    /// - Throws: `EncodingError` for a number that is not finite.
    static func encode(_ value: some Encodable, _ style: Style) throws -> [UInt8] {
        let node = JSONNode()
        try value.encode(to: JSONNodeEncoder(node: node, codingPath: []))
        var text: [UInt8] = []
        node.write(to: &text, style, depth: 0)
        if style == .readable { text.append(UInt8(ascii: "\n")) }
        return text
    }

    /// `text` as a JSON string with its quotes.
    static func quoted(_ text: String) -> [UInt8] {
        let digits = Array("0123456789abcdef".utf8)
        var result: [UInt8] = [UInt8(ascii: "\"")]
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): result += [UInt8(ascii: "\\"), byte]
            case 10: result += Array("\\n".utf8)
            case 13: result += Array("\\r".utf8)
            case 9: result += Array("\\t".utf8)
            case 0..<32, 127: result += Array("\\u00".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            default: result.append(byte)
            }
        }
        result.append(UInt8(ascii: "\""))
        return result
    }

    /// `value` as a JSON number: the shortest digits that read back as the same value; nil if it is not finite.
    static func number(_ value: Double) -> [UInt8]? {
        guard value.isFinite else { return nil }
        if let whole = Int64(exactly: value), abs(value) < 9_007_199_254_740_992 {
            return Array(String(whole).utf8)
        }
        return Array("\(value)".utf8)
    }
}

/// A JSON value that is being built.
final class JSONNode {
    enum Content {
        case scalar([UInt8])
        case object([(key: String, node: JSONNode)])
        case array([JSONNode])
    }

    var content: Content = .scalar(Array("null".utf8))

    /// Adds an entry, making this an object if it is none.
    func child(_ key: String) -> JSONNode {
        let node = JSONNode()
        if case .object(let entries) = content {
            content = .object(entries + [(key, node)])
        } else {
            content = .object([(key, node)])
        }
        return node
    }

    /// Adds an element, making this an array if it is none.
    func element() -> JSONNode {
        let node = JSONNode()
        if case .array(let elements) = content {
            content = .array(elements + [node])
        } else {
            content = .array([node])
        }
        return node
    }

    var elementCount: Int {
        if case .array(let elements) = content { elements.count } else { 0 }
    }

    func write(to text: inout [UInt8], _ style: JSONText.Style, depth: Int) {
        switch content {
        case .scalar(let bytes):
            text += bytes
        case .object(let entries):
            enclose("{", "}", entries, to: &text, style, depth: depth) { entry, text in
                text += JSONText.quoted(entry.key)
                text += Array((style == .readable ? ": " : ":").utf8)
                entry.node.write(to: &text, style, depth: depth + 1)
            }
        case .array(let elements):
            enclose("[", "]", elements, to: &text, style, depth: depth) { element, text in
                element.write(to: &text, style, depth: depth + 1)
            }
        }
    }

    private func enclose<Item>(
        _ open: String, _ close: String, _ items: [Item], to text: inout [UInt8], _ style: JSONText.Style, depth: Int,
        _ writeItem: (Item, inout [UInt8]) -> Void
    ) {
        func lineBreak(_ depth: Int) {
            guard style == .readable, !items.isEmpty else { return }
            text.append(UInt8(ascii: "\n"))
            text += [UInt8](repeating: UInt8(ascii: " "), count: depth * 2)
        }
        text += Array(open.utf8)
        for (index, item) in items.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            lineBreak(depth + 1)
            writeItem(item, &text)
        }
        lineBreak(depth)
        text += Array(close.utf8)
    }
}
