extension PictureInfo {
    // Unsafe: read through `ByteReader`, which checks every place.
    /// Walks the segments of a JPEG up to its first scan (ITU-T T.81, annex B).
    static func jpeg(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> PictureInfo {
        let reader = ByteReader(bytes[...])
        var place = 2
        var frame: (width: Int, height: Int)?
        var orientation: Orientation?

        // A frame header is enough: what follows it may be missing here, but not in a decoder.
        func found() throws(ImageError) -> PictureInfo {
            guard let frame else { throw ImageError(.jpegTruncated, .truncated(.jpeg)) }
            return PictureInfo(
                format: .jpeg, storedWidth: frame.width, storedHeight: frame.height,
                orientation: orientation ?? .upright)
        }

        while true {
            guard let lead = reader.uint8(at: place) else { return try found() }
            guard lead == 0xFF else {
                throw ImageError(.jpegCorrupt, corrupt("byte \(place) is 0x\(hex(lead)), expected a marker"))
            }
            while reader.uint8(at: place) == 0xFF { place += 1 }  // fill bytes
            guard let marker = reader.uint8(at: place) else { return try found() }
            place += 1

            switch marker {
            case 0x01, 0xD0...0xD7: continue  // no length
            case 0x00, 0xD8:
                throw ImageError(.jpegCorrupt, corrupt("the marker 0x\(hex(marker)) at byte \(place - 1) is misplaced"))
            case 0xD9, 0xDA:
                guard frame != nil else {
                    throw ImageError(.jpegCorrupt, corrupt("no frame header before byte \(place)"))
                }
                return try found()
            default: break
            }

            guard let length = reader.uint16(at: place) else { return try found() }
            guard length >= 2 else {
                throw ImageError(.jpegCorrupt, corrupt("the segment at byte \(place) has a length of \(length)"))
            }
            switch marker {
            case 0xC0...0xC3, 0xC5...0xC7, 0xC9...0xCB, 0xCD...0xCF:
                guard frame == nil else { throw ImageError(.jpegCorrupt, corrupt("it has two frame headers")) }
                guard let precision = reader.uint8(at: place + 2), let height = reader.uint16(at: place + 3),
                    let width = reader.uint16(at: place + 5)
                else { return try found() }
                try checkFrame(marker: marker, precision: precision)
                frame = (width, height)
            case 0xE1:
                let payload = reader.slice(from: place + 2, length: length - 2)
                if orientation == nil, payload.starts(with: [0x45, 0x78, 0x69, 0x66, 0, 0]) {  // "Exif", 0, 0
                    orientation = Orientation(tiff: payload.dropFirst(6))
                }
            default: break
            }
            place += length
        }
    }

    /// Refuses by name what libjpeg does not decode.
    private static func checkFrame(marker: Int, precision: Int) throws(ImageError) {
        let name: String
        switch marker {
        case 0xC3, 0xCB: name = "a lossless JPEG"
        case 0xC5...0xC7, 0xCD...0xCF: name = "a hierarchical JPEG"
        case _ where precision != 8: name = "a \(precision)-bit JPEG"
        default: return
        }
        throw ImageError(
            .unsupportedFormat,
            "Cannot decode the JPEG: it is \(name), expected 8 bits, baseline or progressive. Convert it first.")
    }

    private static func corrupt(_ what: String) -> String {
        "Cannot decode the JPEG: \(what). The file is damaged; send it again."
    }

    private static func hex(_ byte: Int) -> String { String(byte, radix: 16, uppercase: true) }
}
