/// What one picture may ask for.
public struct ImageLimits: Sendable, Hashable {
    /// The length of a file. The default is 32 MiB.
    public var bytes = 32 << 20

    /// Stored width x height, checked before anything is allocated. The default is 50 million.
    public var pixels = 50_000_000

    /// The scans of a progressive JPEG. The default is 100.
    public var scans = 100

    /// Scans x pixels of a progressive JPEG: it bounds the time, as every scan may touch every pixel while costing
    /// almost no bytes. Those of arithmetic-coded files count eightfold. The default is 1.5 thousand million: 30 scans of
    /// the largest picture, 100 scans of 15 megapixels; either takes about a second.
    public var scanPixels = 1_500_000_000

    /// Bytes a decoder may hold besides the picture; the coefficients of a progressive JPEG are nearly all of it, 3 to 6
    /// bytes a pixel. The default is 256 MiB.
    public var workingBytes = 256 << 20

    public init() {}
}
