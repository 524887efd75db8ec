public import Kernels
public import ModelFiles

extension FastVLMModel {
    /// Side of the calibration picture, in pixels.
    static let calibrationSize = 256

    /// What ``PackedModel`` needs to know of the encoder's activations to quantize it well: the statistics of the input of
    /// each ConvFFN's expansion on one synthetic picture.
    ///
    /// The picture is noise at several scales. What it decides (a shift and a stretch of each channel) changes nothing in
    /// exact arithmetic, so that a picture unlike the camera's costs accuracy in 8 bits at worst. Blocks' weights stay as
    /// they are stored: little memory is used beside the file.
    public static func calibrate(
        _ prepared: PreparedModel, pool: ThreadPool
    ) throws(ModelFileError) -> [String: ChannelStatistics] {
        let encoder = FastViTHDEncoder(
            try FastViTHD(prepared, expandsBlocks: false), height: calibrationSize, width: calibrationSize)
        var statistics: [String: ChannelStatistics] = [:]
        do {
            let picture = FeatureMap(height: calibrationSize, width: calibrationSize, channels: 3)
            picture.pixels.set(calibrationPicture())
            _ = try encoder.run(
                picture, compute: try Compute(pool: pool), checkpoint: { _ in }, observe: nil,
                observeExpansion: { stage, block, map in
                    statistics["vision.stages.\(stage).blocks.\(block).ffn.fc1"] = ChannelStatistics(of: map)
                })
        } catch {
            throw ModelFileError(.packUnsupported, "Cannot calibrate '\(prepared.source.path)': \(error).")
        }
        return statistics
    }

    /// `[height, width, 3]`, 0...1: noise on grids of 4, 16, 64 and 256 cells a side, the coarser the stronger.
    private static func calibrationPicture() -> [Float] {
        var random = SplitMix64(state: 0)
        let size = calibrationSize
        var picture = [Float](repeating: 0, count: size * size * 3)
        for (cells, strength) in [(4, Float(0.4)), (16, 0.3), (64, 0.2), (256, 0.1)] {
            let side = cells + 1
            let grid = (0..<side * side * 3).map { _ in Float(random.unit()) }
            for y in 0..<size {
                let (row, down) = (y * cells / size, Float(y * cells % size) / Float(size))
                for x in 0..<size {
                    let (column, right) = (x * cells / size, Float(x * cells % size) / Float(size))
                    for colour in 0..<3 {
                        func value(_ row: Int, _ column: Int) -> Float { grid[(row * side + column) * 3 + colour] }
                        let upper = value(row, column) * (1 - right) + value(row, column + 1) * right
                        let lower = value(row + 1, column) * (1 - right) + value(row + 1, column + 1) * right
                        picture[(y * size + x) * 3 + colour] += strength * (upper * (1 - down) + lower * down)
                    }
                }
            }
        }
        return picture
    }
}

extension ChannelStatistics {
    /// Over the pixels of `map`.
    init(of map: FeatureMap) {
        let values = map.pixels.values()
        let channels = map.channels
        var sums = [Double](repeating: 0, count: channels)
        var squares = sums
        for (index, value) in values.enumerated() {
            sums[index % channels] += Double(value)
            squares[index % channels] += Double(value) * Double(value)
        }
        let count = Double(max(1, map.pixels.rows))
        let means = sums.map { $0 / count }
        self.init(
            mean: means.map { Float($0) },
            deviation: zip(squares, means).map { Float(max(0, $0 / count - $1 * $1).squareRoot()) })
    }
}
