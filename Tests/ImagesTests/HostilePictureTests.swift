import Foundation
import Images
import Testing

/// Pictures that are small to send and large to read: each is refused within two seconds and within the memory that the
/// limits allow.
@Suite(.serialized) struct HostilePictureTests {
    /// The most pictures may take: the pixels of the largest, a decoder's own memory, and some for the rest.
    static let memoryLimit = 50_000_000 * 3 + (256 << 20) + (64 << 20)

    static func hostile() throws -> [(name: String, bytes: [UInt8])] {
        let baseline = try Fixture.bytes("jpeg-420.jpg")
        let progressive = try Fixture.bytes("jpeg-progressive.jpg")
        let arithmetic = try Fixture.bytes("jpeg-arithmetic-progressive.jpg")
        let png = try Fixture.bytes("png-rgb8.png")
        let isMarker = { (place: Int) in progressive[place] == 0xFF && progressive[place + 1] != 0 }
        let start = try #require((0..<(progressive.count - 1)).first { isMarker($0) && progressive[$0 + 1] == 0xDA })
        let end = try #require(((start + 2)..<(progressive.count - 1)).first(where: isMarker))
        var scans = Edit.sides(7000, 7000, ofJPEG: progressive).start(end)
        for _ in 0..<50_000 { scans += progressive[start..<end] }
        var segments = baseline.start(2)
        for index in 0..<400 {
            segments += [0xFF, UInt8(0xE0 + index % 16)] + Edit.big16(65_535) + [UInt8](repeating: 0x45, count: 65_533)
        }
        var wide = png
        wide.replaceSubrange(16..<24, with: Edit.big32(49_999_999) + Edit.big32(1))
        var text = png.start(33)
        for _ in 0..<2000 { text += Edit.chunk("tEXt", [UInt8](repeating: 65, count: 10_000)) }
        var lossless = baseline
        let frame = try #require(Edit.segment(0xC0...0xC0, in: baseline))
        lossless[frame - 3] = 0xC3
        var twelve = baseline
        twelve[frame] = 12
        return [
            ("65535 x 65535", Edit.sides(65_535, 65_535, ofJPEG: baseline)),
            ("no width", Edit.sides(0, 100, ofJPEG: baseline)),
            ("largest, and cut off", Edit.sides(7071, 7071, ofJPEG: baseline)),
            ("largest progressive, and cut off", Edit.sides(6500, 6500, ofJPEG: progressive)),
            ("largest arithmetic, and almost nothing in it", Edit.sides(6500, 6500, ofJPEG: arithmetic)),
            ("50,000 scans of 49 megapixels", scans + [0xFF, 0xD9]),
            ("26 MB of segments, and no picture", segments),
            ("lossless", lossless), ("12 bits", twelve),
            ("CMYK, cut off", try Fixture.bytes("jpeg-cmyk.jpg").cut(40)),
            ("arithmetic with its end cut off", try Fixture.bytes("jpeg-arithmetic.jpg").cut(40)),
            ("a PNG of one row", wide), ("20 MB of text, and no picture", text),
            ("33 MiB", baseline + [UInt8](repeating: 0, count: 33 << 20)),
        ]
    }

    @Test func eachIsRefusedSoonAndInLittleMemory() throws {
        for (name, bytes) in try Self.hostile() {
            for side in [nil, 512] {
                let before = try Memory.startPeak()
                var refused: ImageError?
                let took = ContinuousClock().measure {
                    do throws(ImageError) {
                        _ = try ImageDecoder().decode(bytes, covering: side)
                    } catch {
                        refused = error
                    }
                }
                let peak = try Memory.peak() - before
                // Arithmetic-coded data may leave out zeros at their end (T.81, D.1.8): what is missing there is none.
                if refused != nil || !name.contains("arithmetic") {
                    #expect(refused?.isResourceFault == false, "\(name): \(String(describing: refused))")
                }
                #expect(took < .seconds(2), "\(name) took \(took)")
                #expect(peak < Self.memoryLimit, "\(name) took \(peak >> 20) MiB")
            }
        }
    }

    @Test func theMeterSees() throws {
        let before = try Memory.startPeak()
        let large = [UInt8](repeating: 7, count: 100 << 20)
        #expect(large.last == 7)
        #expect(try Memory.peak() - before > 90 << 20)
    }
}

/// Resident memory of this process, in bytes.
private enum Memory {
    /// Starts the peak anew. Returns what is resident now.
    static func startPeak() throws -> Int {
        try Data("5".utf8).write(to: URL(filePath: "/proc/self/clear_refs"))
        return try field("VmRSS:")
    }

    static func peak() throws -> Int { try field("VmHWM:") }

    private static func field(_ name: String) throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name) })
        return try #require(Int(line.split(separator: "\t").last?.split(separator: " ").first ?? "")) << 10
    }
}
