import FastVLM
import Images
import Kernels
import Testing

@Suite struct TilesTests {
    let session: FastVLMSession
    let overview: [Float]
    let tiles: [[Float]]

    init() throws {
        session = try TinyModel.session()
        overview = try TinyModel.pixels("china", 128)
        tiles = try ["flower", "china", "flower", "china"].map { try TinyModel.pixels($0, 128) }
    }

    @Test func theRowsAreThoseOfEachViewInTheirOrder() throws {
        let encoded = try session.encode(views: [overview] + tiles, height: 128, width: 128)
        #expect(encoded.tokens == 5 * 4)
        for (number, pixels) in ([overview] + tiles).enumerated() {
            let alone = try session.encode(pixels, height: 128, width: 128)
            #expect(encoded.rows.rows(number * 4..<number * 4 + 4).values() == alone.rows.values())
        }
    }

    @Test func anAnswerReadsEveryView() throws {
        func first(_ views: [[Float]]) throws -> [Float] {
            var logits: [Float] = []
            _ = try session.answer(
                "What?", about: try session.encode(views: views, height: 128, width: 128),
                options: .init(maxTokens: 1), observe: { logits = $0 })
            return logits
        }
        let all = try first([overview] + tiles)
        #expect(try difference([first([overview] + tiles)], [all]) < 1e-5)
        // The last tile, and the order, matter.
        #expect(try difference([first([overview] + tiles.dropLast() + [tiles[0]])], [all]) > 1e-3)
        #expect(try difference([first([overview] + tiles.reversed())], [all]) > 1e-3)
    }

    @Test func partsAreNamedAndTheShareGrowsOverAllViews() throws {
        var names: [String] = []
        var shares: [Double] = []
        _ = try session.encode(
            views: [overview, tiles[0]], height: 128, width: 128,
            mayGoOn: {
                shares.append($0)
                return true
            }, observe: { name, _ in names.append(name) })
        let parts = names.prefix(names.count / 2)
        #expect(parts.contains("stem") && parts.contains("final_conv"))
        #expect(names.dropFirst(parts.count).elementsEqual(parts.map { "tile0.\($0)" }))
        #expect(zip(shares, shares.dropFirst()).allSatisfy(<) && shares.contains(0.5) && shares.allSatisfy { $0 < 1 })
    }

    @Test func tilesAreTheWindowsOfTheWholePicture() throws {
        let samples = (0..<70 * 40 * 3).map { index in UInt8(truncatingIfNeeded: (index &* 2_654_435_761) >> 7) }
        let picture = try Picture(width: 70, height: 40, rgb: samples)
        let whole = try picture.modelPixels(resolution: 96)
        let tiles = try picture.modelTiles(resolution: 48, across: 2)
        #expect(tiles.count == 4)
        for (number, tile) in tiles.enumerated() {
            let (row, column) = (number / 2 * 48, number % 2 * 48)
            var window: [Float] = []
            for y in row..<row + 48 {
                let first = (y * 96 + column) * 3
                window += whole[first..<first + 48 * 3]
            }
            #expect(tile == window, "tile \(number)")
        }
        // Without bars: the middle rows.
        let middle = try picture.modelPixels(resolution: 96, width: 96, height: 64)
        #expect(middle == Array(whole[16 * 96 * 3..<80 * 96 * 3]))
        #expect(throws: ImageError.self) { try picture.modelPixels(resolution: 96, width: 97, height: 64) }
        #expect(throws: ImageError.self) { try picture.modelPixels(resolution: 96, width: 96, height: 0) }
        #expect(throws: ImageError.self) { try picture.modelTiles(resolution: 8192, across: 2) }
        #expect(throws: ImageError.self) { try picture.modelTiles(resolution: 0, across: 2) }
    }
}
