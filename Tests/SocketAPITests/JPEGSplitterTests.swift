import SocketAPI
import Testing

@Suite struct JPEGSplitterTests {
    private func events(_ bytes: [UInt8], limit: Int = 1 << 20, pieces: [Int] = []) -> [JPEGSplitter.Event] {
        var splitter = JPEGSplitter(limit: limit)
        var events: [JPEGSplitter.Event] = []
        var start = 0
        for end in pieces + [bytes.count] where end > start {
            splitter.read(bytes[start..<end]) { if $0 != .begin { events.append($0) } }
            start = end
        }
        return events
    }

    private static let part = Array("--b\r\nContent-Type: image/jpeg\r\nContent-Length: 21\r\n\r\n".utf8)

    static let streams: [(bytes: [UInt8], pictures: [UInt8], broken: Int)] = [
        (Pictures.small(1) + Pictures.small(2), [1, 2], 0),
        (part + Pictures.small(1) + [13, 10] + part + Pictures.small(2) + Array("\r\n--b--".utf8), [1, 2], 0),
        // Stuffed bytes, restarts and fillers in the data; another marker behind it, as in progressive files.
        (
            Pictures.small(3, scan: [0xFF, 0x00, 0xD9, 0xFF, 0xD0, 0xFF, 0xFF, 0xC4, 0, 3, 9, 0xFF, 0xDA, 0, 2, 5]),
            [3], 0
        ),
        // A small picture in a header, with its own beginning and end.
        ([0xFF, 0xD8, 0xFF, 0xE1, 0, 8, 0xFF, 0xD8, 0xFF, 0xD9, 4, 5, 0xFF, 0xDA, 0, 2, 1, 0xFF, 0xD9], [0xFF], 0),
        // Cut short by the next one, once between segments and once in the data.
        ([0xFF, 0xD8, 0xFF, 0xE0, 0, 3, 1] + Pictures.small(4), [4], 1),
        (Array(Pictures.small(1).dropLast(2)) + Pictures.small(5), [5], 1),
        // No segment where one should be, and a length that cannot be.
        ([0xFF, 0xD8, 0xFF, 0xE0, 0, 3, 1, 7] + Pictures.small(6), [6], 1),
        ([0xFF, 0xD8, 0xFF, 0xE0, 0, 1, 1] + Pictures.small(7), [7], 1),
        ([0xFF, 0xFF, 0xD8, 0x00, 0xFF] + Pictures.small(8), [8], 0),
        ([UInt8](repeating: 0xFF, count: 50), [], 0),
    ]

    @Test(arguments: streams) func picturesAreFoundHoweverTheBytesAreCut(
        stream: (bytes: [UInt8], pictures: [UInt8], broken: Int)
    ) {
        let whole = events(stream.bytes)
        let marks = whole.compactMap { event -> UInt8? in
            if case .picture(let bytes) = event { bytes[6] } else { nil }
        }
        #expect(marks == stream.pictures)
        #expect(whole.count { $0 == .broken } == stream.broken)
        for cut in 1..<stream.bytes.count { #expect(events(stream.bytes, pieces: [cut]) == whole, "cut at \(cut)") }
        #expect(events(stream.bytes, pieces: Array(1..<stream.bytes.count)) == whole)
    }

    @Test func whatIsTooLargeIsThrownAwayUpToTheNextBeginning() {
        for large in [
            Pictures.small(1, scan: [UInt8](repeating: 7, count: 5000)),
            [0xFF, 0xD8, 0xFF, 0xE0, 0x20, 0x00] + [UInt8](repeating: 7, count: 0x1FFE) + [0xFF, 0xD9],
        ] {
            let bytes = large + Pictures.small(2)
            let whole = events(bytes, limit: 100)
            #expect(whole == [.broken, .picture(Pictures.small(2))])
            #expect(events(bytes, limit: 100, pieces: Array(1..<bytes.count)) == whole)
        }
        #expect(events(Pictures.small(1), limit: Pictures.small(1).count) == [.picture(Pictures.small(1))])
        #expect(events(Pictures.small(1), limit: Pictures.small(1).count - 1) == [.broken])
    }

    @Test func realPhotographsComeOutAsTheyAre() throws {
        let (china, flower) = (try Pictures.china, try Pictures.flower)
        #expect(events(china + flower + china) == [.picture(china), .picture(flower), .picture(china)])
    }
}
