/// How a stored picture must be turned to stand upright: the EXIF tag 0x0112.
public enum Orientation: Int, Sendable, Codable, CaseIterable {
    case upright = 1
    case mirrored
    case halfTurn
    case mirroredHalfTurn
    case transposed
    case quarterTurnClockwise
    case transversed
    case quarterTurnAnticlockwise

    /// Whether width and height change places.
    public var swapsSides: Bool { rawValue >= Orientation.transposed.rawValue }
}

extension Orientation {
    /// The orientation in `tiff`, the TIFF structure of EXIF data; nil if there is none or the structure lies.
    ///
    /// Only the first directory is read. A picture with broken EXIF data is still a picture: it is taken as it is stored.
    init?(tiff: Slice<UnsafeRawBufferPointer>) {
        let littleEndian: Bool
        switch (tiff.first, tiff.dropFirst().first) {
        case (UInt8(ascii: "I"), UInt8(ascii: "I")): littleEndian = true
        case (UInt8(ascii: "M"), UInt8(ascii: "M")): littleEndian = false
        default: return nil
        }
        let bytes = ByteReader(tiff, littleEndian: littleEndian)
        guard bytes.uint16(at: 2) == 42, let directory = bytes.uint32(at: 4), let count = bytes.uint16(at: directory)
        else {
            return nil
        }
        for entry in 0..<count {
            let place = directory + 2 + 12 * entry
            guard let tag = bytes.uint16(at: place) else { return nil }
            guard tag == 0x0112 else { continue }
            // One SHORT, in the first half of the value field. LONG is seen from careless writers.
            switch bytes.uint16(at: place + 2) {
            case 3: self.init(optionalRawValue: bytes.uint16(at: place + 8))
            case 4: self.init(optionalRawValue: bytes.uint32(at: place + 8))
            default: return nil
            }
            return
        }
        return nil
    }

    private init?(optionalRawValue: Int?) {
        guard let optionalRawValue else { return nil }
        self.init(rawValue: optionalRawValue)
    }
}

/// Checked reads of whole numbers; offsets count from the first byte of the slice.
struct ByteReader {
    // Unsafe: a part of the picture's bytes, for the time of one call; every read is checked against it.
    private let bytes: Slice<UnsafeRawBufferPointer>
    private let littleEndian: Bool

    init(_ bytes: Slice<UnsafeRawBufferPointer>, littleEndian: Bool = false) {
        self.bytes = bytes
        self.littleEndian = littleEndian
    }

    var count: Int { bytes.count }

    func uint8(at offset: Int) -> Int? {
        guard offset >= 0, offset < bytes.count else { return nil }
        return Int(bytes[bytes.startIndex + offset])
    }

    func uint16(at offset: Int) -> Int? { number(at: offset, length: 2) }

    func uint32(at offset: Int) -> Int? { number(at: offset, length: 4) }

    /// `length` is 2 or 4, so the result fits.
    private func number(at offset: Int, length: Int) -> Int? {
        guard offset >= 0, offset <= bytes.count - length else { return nil }
        let start = bytes.startIndex + offset
        var value = 0
        for i in 0..<length {
            value = value << 8 | Int(bytes[littleEndian ? start + length - 1 - i : start + i])
        }
        return value
    }

    /// The bytes from `offset` on, at most `length`.
    func slice(from offset: Int, length: Int) -> Slice<UnsafeRawBufferPointer> {
        bytes.dropFirst(offset).prefix(length)
    }
}
