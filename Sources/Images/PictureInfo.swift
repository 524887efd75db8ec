/// What the header of a picture says.
public struct PictureInfo: Sendable, Hashable {
    public let format: ImageFormat

    /// Pixels as stored in the file.
    public let storedWidth: Int
    public let storedHeight: Int

    /// Upright if the file says nothing.
    public let orientation: Orientation

    /// Pixels once the orientation is applied, at full scale.
    public var width: Int { orientation.swapsSides ? storedHeight : storedWidth }
    public var height: Int { orientation.swapsSides ? storedWidth : storedHeight }

    init(format: ImageFormat, storedWidth: Int, storedHeight: Int, orientation: Orientation) {
        self.format = format
        self.storedWidth = storedWidth
        self.storedHeight = storedHeight
        self.orientation = orientation
    }
}

extension PictureInfo {
    // Unsafe: as in `ImageDecoder.probe`, which calls it.
    /// Reads the header at the start of `bytes`; nothing is decoded or allocated.
    init(header bytes: UnsafeRawBufferPointer) throws(ImageError) {
        switch try ImageFormat(of: bytes) {
        case .jpeg: self = try Self.jpeg(bytes)
        case .png: self = try Self.png(bytes)
        }
        guard storedWidth > 0, storedHeight > 0 else {
            throw ImageError(
                .emptyPicture, "Cannot decode the \(format.name): its size is \(storedWidth) x \(storedHeight) pixels.")
        }
    }
}
