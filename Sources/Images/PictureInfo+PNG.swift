extension PictureInfo {
    // Unsafe: read through `ByteReader`, which checks every place.
    /// Reads the first chunk of a PNG, and its EXIF chunk wherever it lies (PNG, third edition, 5.3 and 11.3.4).
    static func png(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> PictureInfo {
        let reader = ByteReader(bytes[...])
        guard let length = reader.uint32(at: 8), let type = reader.uint32(at: 12), let width = reader.uint32(at: 16),
            let height = reader.uint32(at: 20)
        else { throw ImageError(.pngTruncated, .truncated(.png)) }
        guard type == headerType, length == 13, width <= Int32.max, height <= Int32.max else {
            throw ImageError(
                .pngCorrupt,
                "Cannot decode the PNG: it does not start with a header chunk. The file is damaged; send it again.")
        }

        var orientation: Orientation?
        var place = 8
        while let length = reader.uint32(at: place), let type = reader.uint32(at: place + 4), type != endType {
            if type == exifType {
                orientation = Orientation(tiff: reader.slice(from: place + 8, length: length))
                break
            }
            place += length + 12
        }
        return PictureInfo(
            format: .png, storedWidth: width, storedHeight: height, orientation: orientation ?? .upright)
    }

    private static let headerType = 0x4948_4452  // IHDR
    private static let exifType = 0x6558_4966  // eXIf
    private static let endType = 0x4945_4E44  // IEND
}
