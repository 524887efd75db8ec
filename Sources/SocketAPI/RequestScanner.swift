package import NIOCore

/// Reads the bytes of one connection before the HTTP decoder does, and lets through only what is surely one request after
/// another: heads are held back until they are whole and within their limits.
///
/// It works byte by byte where it decides anything, so that how the bytes are cut makes no difference.
package struct RequestScanner {
    /// What a head says that matters here.
    package struct Head: Equatable {
        package var method = ""
        package var target = ""
        /// Nil for none.
        package var length: Int?
        package var isChunked = false

        var hasBody: Bool { isChunked || (length ?? 0) > 0 }
    }

    package enum Event: Equatable {
        case head(Head)
        case body(bytes: Int)
        /// The request is complete.
        case end
    }

    private enum State {
        case requestLine, fields
        case body(left: Int)
        case chunkSize
        case chunk(left: Int)
        case chunkEnd
        case trailers
    }

    private let limits: SocketAPI.Limits
    private var state = State.requestLine
    /// Of the present line, without its end.
    private var line: [UInt8] = []
    /// The last byte was a carriage return.
    private var isReturn = false
    private var head = Head()
    private var fieldBytes = 0
    private var fieldCount = 0
    private var sawTransferCoding = false
    /// What was read of the head so far.
    private var held: [UInt8] = []

    package init(_ limits: SocketAPI.Limits) { self.limits = limits }

    /// Whether a head or a trailer is being read, and some of it has come.
    var isInsideHead: Bool {
        switch state {
        case .requestLine: !line.isEmpty || isReturn
        case .fields: true
        default: false
        }
    }

    var isInsideBody: Bool {
        switch state {
        case .requestLine, .fields: false
        default: true
        }
    }

    /// Reads all of `input`.
    ///
    /// - Parameters:
    ///   - output: Receives what may go on to the decoder, in order.
    ///   - event: Told of every step.
    /// - Throws: What is wrong; nothing after it means anything.
    package mutating func scan(
        _ input: inout ByteBuffer, into output: inout ByteBuffer, _ event: (Event) -> Void
    ) throws(Problem) {
        while input.readableBytes > 0 {
            switch state {
            case .body(let left), .chunk(let left):
                let count = min(left, input.readableBytes)
                guard var slice = input.readSlice(length: count) else { return }
                output.writeBuffer(&slice)
                event(.body(bytes: count))
                consume(count, of: left, event)
            default:
                guard let byte = input.readInteger(as: UInt8.self) else { return }
                if let line = try endOfLine(byte) { try take(line, &output, event) }
            }
        }
    }

    private mutating func consume(_ count: Int, of left: Int, _ event: (Event) -> Void) {
        if case .chunk = state {
            state = left == count ? .chunkEnd : .chunk(left: left - count)
        } else if left == count {
            finish(event)
        } else {
            state = .body(left: left - count)
        }
    }

    /// Takes one byte of a line; the line without its end once it is whole.
    private mutating func endOfLine(_ byte: UInt8) throws(Problem) -> [UInt8]? {
        if isReturn {
            guard byte == UInt8(ascii: "\n") else {
                throw Problem(.malformedRequest, "A carriage return is not followed by a line feed.")
            }
            isReturn = false
            defer { line.removeAll(keepingCapacity: true) }
            return line
        }
        switch byte {
        case UInt8(ascii: "\r"): isReturn = true
        case UInt8(ascii: "\n"): throw Problem(.bareLineFeed)
        default:
            line.append(byte)
            try checkLimits()
        }
        return nil
    }

    private func checkLimits() throws(Problem) {
        switch state {
        case .requestLine:
            guard line.count <= limits.requestLine else {
                throw Problem(.requestLineTooLong, "At most \(limits.requestLine) bytes are allowed.")
            }
        case .fields, .trailers:
            guard fieldBytes + line.count <= limits.headers else {
                throw Problem(.headersTooLarge, "At most \(limits.headers) bytes are allowed.")
            }
        default:
            guard line.count <= 32 else { throw Problem(.malformedRequest, "A chunk's first line is too long.") }
        }
    }

    private mutating func take(
        _ line: [UInt8], _ output: inout ByteBuffer, _ event: (Event) -> Void
    ) throws(Problem) {
        switch state {
        case .requestLine:
            // Empty lines before a request are passed over, as RFC 9112 wants it.
            guard !line.isEmpty else { return }
            try takeRequestLine(line)
            held = line + [13, 10]
            state = .fields
        case .fields:
            fieldBytes += line.count + 2
            guard line.isEmpty else { return try takeField(line) }
            try checkHead()
            output.writeBytes(held)
            output.writeBytes([13, 10])
            held = []
            event(.head(head))
            if head.isChunked {
                state = .chunkSize
            } else if let length = head.length, length > 0 {
                state = .body(left: length)
            } else {
                finish(event)
            }
        case .chunkSize:
            let size = try Self.chunkSize(line)
            output.writeBytes(line)
            output.writeBytes([13, 10])
            state = size == 0 ? .trailers : .chunk(left: size)
        case .chunkEnd:
            guard line.isEmpty else { throw Problem(.malformedRequest, "A chunk is longer than it says.") }
            output.writeBytes([13, 10])
            state = .chunkSize
        case .trailers:
            fieldBytes += line.count + 2
            // Nobody reads trailers here: they are checked and left out.
            guard line.isEmpty else { return _ = try field(line) }
            output.writeBytes([13, 10])
            finish(event)
        case .body, .chunk: break
        }
    }

    private mutating func finish(_ event: (Event) -> Void) {
        state = .requestLine
        head = Head()
        (fieldBytes, fieldCount, sawTransferCoding) = (0, 0, false)
        event(.end)
    }

    private mutating func takeRequestLine(_ line: [UInt8]) throws(Problem) {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 3, (1...16).contains(parts[0].count), parts[0].allSatisfy({ Self.isToken($0) }) else {
            throw Problem(.malformedRequest, "Expected a method, a path and HTTP/1.1 as the request line.")
        }
        guard parts[1].first == UInt8(ascii: "/"), parts[1].allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Problem(.malformedRequest, "Expected a path that begins with '/'.")
        }
        guard parts[2].elementsEqual("HTTP/1.1".utf8) else {
            throw Problem(.malformedRequest, "Expected HTTP/1.1.")
        }
        head.method = String(decoding: parts[0], as: UTF8.self)
        head.target = String(decoding: parts[1], as: UTF8.self)
    }

    private mutating func takeField(_ line: [UInt8]) throws(Problem) {
        let (name, value) = try field(line)
        switch name {
        case "content-length":
            guard head.length == nil, (1...15).contains(value.utf8.count),
                value.utf8.allSatisfy({ (48...57).contains($0) }), let length = Int(value)
            else { throw Problem(.ambiguousLength, "Expected one Content-Length of digits alone.") }
            head.length = length
        case "transfer-encoding":
            guard !sawTransferCoding else { throw Problem(.ambiguousLength, "Transfer-Encoding stands twice.") }
            sawTransferCoding = true
            guard value.lowercased() == "chunked" else { throw Problem(.unsupportedTransferCoding) }
            head.isChunked = true
        // Nothing is upgraded to here, and a decoder that thinks otherwise would stop reading.
        case "upgrade": return
        default: break
        }
        held += line + [13, 10]
    }

    private func checkHead() throws(Problem) {
        guard head.length == nil || !head.isChunked else {
            throw Problem(.ambiguousLength, "There are both Content-Length and Transfer-Encoding.")
        }
    }

    /// One header field: its name in small letters, and its value.
    private mutating func field(_ line: [UInt8]) throws(Problem) -> (name: String, value: String) {
        guard line.first != UInt8(ascii: " "), line.first != UInt8(ascii: "\t") else { throw Problem(.foldedHeader) }
        fieldCount += 1
        guard fieldCount <= limits.headerFields else {
            throw Problem(.headersTooLarge, "At most \(limits.headerFields) header fields are allowed.")
        }
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0,
            line[..<colon].allSatisfy({ Self.isToken($0) })
        else { throw Problem(.malformedRequest, "A header field has no name.") }
        let value = line[(colon + 1)...]
        guard value.allSatisfy({ $0 == 9 || ($0 >= 32 && $0 != 127) }) else {
            throw Problem(.malformedRequest, "A header field holds a control character.")
        }
        let isSpace = { (byte: UInt8) in byte == 32 || byte == 9 }
        let trimmed = value.drop(while: isSpace).reversed().drop(while: isSpace).reversed()
        return (
            String(decoding: line[..<colon], as: UTF8.self).lowercased(),
            String(decoding: Array(trimmed), as: UTF8.self)
        )
    }

    /// The size that a chunk's first line says; extensions are passed over.
    private static func chunkSize(_ line: [UInt8]) throws(Problem) -> Int {
        let digits = line.prefix { $0 != UInt8(ascii: ";") }
        guard (1...8).contains(digits.count), let size = Int(String(decoding: digits, as: UTF8.self), radix: 16),
            digits.first != UInt8(ascii: "-"), digits.first != UInt8(ascii: "+"),
            line.allSatisfy({ $0 == 9 || (32...126).contains($0) })
        else { throw Problem(.malformedRequest, "A chunk's size is not a hexadecimal number.") }
        return size
    }

    /// A byte that a method or a field's name may have.
    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
