import Foundation
import Testing

/// The two programs, as they were built with these tests.
enum Program: String {
    case fastvlm, fastvlmd

    /// Beside the tests; `FASTVLM_PROGRAMS` names another folder.
    private static let folder: String =
        ProcessInfo.processInfo.environment["FASTVLM_PROGRAMS"]
        ?? URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().path

    var path: String { "\(Self.folder)/\(rawValue)" }
}

/// What the repository holds for trying the programs out.
enum House {
    private static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    static let model = "\(root)/etc/tiny-model/random-tiny.fastvlm"
    static let demoModel = "\(root)/etc/demo-model/panel-reader.fastvlm"
    static let demoCheckpoint = "\(root)/etc/demo-model/checkpoint"
    static let demoPicture = "\(root)/etc/demo-model/pictures/scene-4242-0.jpg"
    static let readme = "\(root)/README.md"
    static let modelDigest = "sha256:1704893ca3215b9fe29bb1bfdef6a2e4d51f33a6134836effbbeb4c2dc9c595b"
    static let sampleConfiguration = "\(root)/etc/fastvlmd.toml"
    static let install = "\(root)/etc/install"
    static let uninstall = "\(root)/etc/uninstall"
    static let serviceUnit = "\(root)/systemd/fastvlmd.service"
    static let socketUnit = "\(root)/systemd/fastvlmd.socket"
    static let sidecarSchema = "\(root)/etc/schema/fastvlm.sidecar-1.schema.json"
    static let china = Photograph(path: "\(root)/etc/photographs/china.jpg", width: 640, height: 427)
    static let flower = Photograph(path: "\(root)/etc/photographs/flower.jpg", width: 640, height: 427)

    /// Pictures of every kind that cameras and people make.
    static let pictures =
        [china, flower]
        + [
            ("progressive.jpg", 200, 133), ("grayscale.jpg", 200, 133), ("rotated.jpg", 133, 200),
            ("cmyk.jpg", 200, 133),
            ("colour.png", 100, 67), ("palette.png", 100, 67), ("transparent.png", 100, 67), ("single-pixel.png", 1, 1),
        ].map { Photograph(path: "\(root)/Tests/CommandTests/Fixtures/\($0)", width: $1, height: $2) }
}

/// A picture file with its size in pixels, as a person sees it.
struct Photograph: Sendable, CustomTestStringConvertible {
    let path: String
    let width: Int
    let height: Int

    var name: String { path.split(separator: "/").last.map(String.init) ?? "" }
    var isPNG: Bool { name.hasSuffix(".png") }
    var testDescription: String { name }

    func bytes() throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }
}
