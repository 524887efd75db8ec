extension ReducedJSON {
    /// The bytes of the value that stands at `keys`, one inside the other; nil if there is none.
    ///
    /// For a value whose keys have to stay in their order, which decoding does not keep. What it finds is JSON only where
    /// the whole is: decode first.
    func value(at keys: [String]) -> [UInt8]? {
        var walker = JSONWalker(rest: json[...])
        for key in keys { guard walker.enter(key) else { return nil } }
        let start = walker.rest
        guard walker.skipValue() else { return nil }
        return Array(start.dropLast(walker.rest.count))
    }
}

/// Goes through JSON without reading it.
private struct JSONWalker {
    var rest: ArraySlice<UInt8>

    /// Goes to the value of `key` in the object that begins here; false if there is none.
    mutating func enter(_ key: String) -> Bool {
        skipSpace()
        guard take("{") else { return false }
        while true {
            skipSpace()
            guard let name = takeString() else { return false }
            skipSpace()
            guard take(":") else { return false }
            skipSpace()
            if name.elementsEqual(key.utf8) { return true }
            guard skipValue() else { return false }
            skipSpace()
            guard take(",") else { return false }
        }
    }

    /// Goes past the value that begins here; false at a broken end.
    mutating func skipValue() -> Bool {
        var level = 0
        while let byte = rest.first {
            switch byte {
            case UInt8(ascii: "\""):
                guard takeString() != nil else { return false }
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                rest.removeFirst()
                level += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                // Of what is around: the value was a bare word.
                if level == 0 { return true }
                rest.removeFirst()
                level -= 1
            case UInt8(ascii: ",") where level == 0: return true
            default:
                rest.removeFirst()
                continue
            }
            if level == 0 { return true }
        }
        return level == 0
    }

    private mutating func skipSpace() { rest = rest.drop { [9, 10, 13, 32].contains($0) } }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard let byte = rest.first, byte == UInt8(ascii: character) else { return false }
        rest.removeFirst()
        return true
    }

    /// A string's bytes as they stand between its quotes.
    private mutating func takeString() -> ArraySlice<UInt8>? {
        guard take("\"") else { return nil }
        let start = rest
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\\"): rest = rest.dropFirst()
            case UInt8(ascii: "\""): return start.dropLast(rest.count + 1)
            default: break
            }
        }
        return nil
    }
}
