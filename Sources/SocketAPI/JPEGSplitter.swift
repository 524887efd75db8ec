/// Finds the JPEG pictures in bytes that never end, whatever stands between them.
///
/// A picture is walked through from marker to marker, so that a small picture inside another's header is not taken for the
/// end of anything. What does not keep to that is thrown away up to the next beginning.
package struct JPEGSplitter {
    package enum Event: Equatable {
        /// A picture begins.
        case begin
        /// A whole picture, from its first marker to its last.
        case picture([UInt8])
        /// What began as a picture was none, or too large.
        case broken
    }

    private enum State {
        /// Between pictures.
        case outside
        /// After FF outside.
        case start
        /// After FF D8 outside: one more byte says whether it was a picture's.
        case begun
        /// Where a marker's FF is expected.
        case marker
        /// After a marker's FF.
        case markerCode
        /// The two bytes of a segment's length.
        case lengthHigh(isScan: Bool)
        case lengthLow(isScan: Bool, high: UInt8)
        case segment(isScan: Bool, left: Int)
        /// Compressed data.
        case scan
        case scanMarker
    }

    /// Bytes of one picture.
    package let limit: Int
    private var state = State.outside
    private var picture: [UInt8] = []

    package init(limit: Int) { self.limit = limit }

    /// Bytes of the picture that is being read.
    var count: Int { picture.count }

    /// Forgets the picture that is being read.
    mutating func drop() {
        picture = []
        state = .outside
    }

    /// Reads all of `bytes`. How they are cut makes no difference.
    package mutating func read(_ bytes: some Collection<UInt8>, _ event: (Event) -> Void) {
        var rest = bytes[...]
        while !rest.isEmpty {
            switch state {
            case .outside:
                guard let start = rest.firstIndex(of: 0xFF) else { return }
                rest = rest[rest.index(after: start)...]
                state = .start
            case .segment(let isScan, let left):
                let piece = rest.prefix(min(left, limit + 1 - picture.count))
                picture += piece
                rest = rest.dropFirst(piece.count)
                state =
                    left > piece.count
                    ? .segment(isScan: isScan, left: left - piece.count) : isScan ? .scan : .marker
            case .scan:
                let data = rest.prefix(limit + 1 - picture.count).prefix { $0 != 0xFF }
                picture += data
                rest = rest.dropFirst(data.count)
                if picture.count <= limit, rest.popFirst() != nil {
                    picture.append(0xFF)
                    state = .scanMarker
                }
            default:
                if let byte = rest.popFirst() { step(byte, event) }
            }
            if picture.count > limit { fail(event) }
        }
    }

    private mutating func step(_ byte: UInt8, _ event: (Event) -> Void) {
        switch state {
        case .start: state = byte == 0xD8 ? .begun : byte == 0xFF ? .start : .outside
        case .begun:
            guard byte == 0xFF else { return state = .outside }
            picture = [0xFF, 0xD8, 0xFF]
            state = .markerCode
            event(.begin)
        case .marker:
            guard byte == 0xFF else { return fail(event, byte) }
            picture.append(byte)
            state = .markerCode
        case .markerCode:
            picture.append(byte)
            take(marker: byte, event)
        case .scanMarker:
            picture.append(byte)
            switch byte {
            // A stuffed zero, a restart, or a filler.
            case 0x00, 0xD0...0xD7: state = .scan
            case 0xFF: break
            default: take(marker: byte, event)
            }
        case .lengthHigh(let isScan):
            picture.append(byte)
            state = .lengthLow(isScan: isScan, high: byte)
        case .lengthLow(let isScan, let high):
            picture.append(byte)
            let length = Int(high) << 8 | Int(byte)
            guard length >= 2 else { return fail(event, byte) }
            state = length == 2 ? (isScan ? .scan : .marker) : .segment(isScan: isScan, left: length - 2)
        case .outside, .segment, .scan: break
        }
    }

    private mutating func take(marker: UInt8, _ event: (Event) -> Void) {
        switch marker {
        case 0xFF: state = .markerCode
        case 0xD9:
            guard picture.count <= limit else { return fail(event) }
            event(.picture(picture))
            drop()
        case 0xDA: state = .lengthHigh(isScan: true)
        case 0x01: state = .marker
        case 0x00, 0xD0...0xD8: fail(event, marker)
        default: state = .lengthHigh(isScan: false)
        }
    }

    /// Gives the picture up. Where `last`, the byte that was wrong, may begin the next one, it does.
    private mutating func fail(_ event: (Event) -> Void, _ last: UInt8 = 0) {
        let wasMarker = picture.count >= 2 && picture[picture.count - 2] == 0xFF && last == 0xD8
        drop()
        event(.broken)
        state = wasMarker ? .begun : last == 0xFF ? .start : .outside
    }
}
