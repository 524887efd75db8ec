import Foundation
import Testing

/// Twenty pictures of mixed kinds and names, to be put into a folder.
struct PictureBatch: Sendable {
    struct Item: Sendable {
        let name: [UInt8]
        let picture: Photograph
    }

    let items: [Item]

    /// - Parameter prefix: Tells the batch's names from those of another.
    init(_ prefix: String) {
        let names: [[UInt8]] = [
            Array("\(prefix).jpg".utf8), Array("\(prefix.uppercased()).JPG".utf8), Array("-\(prefix).jpeg".utf8),
            Array("\(prefix) with blanks .JPEG".utf8), Array("\(prefix)\nnew\nline.jpg".utf8),
            Array("\(prefix)-".utf8) + [0xE9, 0xFF] + Array(".jpg".utf8), Array("\(prefix) 写真 🧑‍🚀.jpg".utf8),
            Array("\(prefix)\u{1b}[31mred.jpg".utf8), Array("\(prefix)'\"\\$(false)*?.jpg".utf8),
            Array(prefix.utf8) + [UInt8](repeating: UInt8(ascii: "x"), count: 251 - prefix.utf8.count)
                + Array(".jpg".utf8),
        ]
        let folders = ["", "\(prefix) sub/deep/"]
        let places = folders.flatMap { folder in names.map { Array(folder.utf8) + $0 } }
        items = places.enumerated().map { index, name in
            let picture = House.pictures[(index + index / 10 * 3) % House.pictures.count]
            return Item(name: picture.isPNG ? Self.asPNG(name) : name, picture: picture)
        }
    }

    /// The name with the ending of the other kind, in the same case; one byte more where a `jpeg` becomes a `.png`.
    private static func asPNG(_ name: [UInt8]) -> [UInt8] {
        let stem = Array(name[..<(name.lastIndex(of: UInt8(ascii: ".")) ?? name.endIndex)])
        let isUpper = name.last == UInt8(ascii: "G")
        return stem + Array((isUpper ? ".PNG" : ".png").utf8)
    }

    /// Writes all into `folder` as they are.
    func write(to folder: TemporaryFolder) throws {
        for item in items { try write(item, to: folder) }
    }

    /// Delivers all into `folder` in every way in which programs deliver pictures: written in place, in two parts,
    /// under another name and renamed, or linked.
    func deliver(to folder: TemporaryFolder) throws {
        let outside = try TemporaryFolder()
        for (index, item) in items.enumerated() {
            try makeFolder(of: item, in: folder)
            let bytes = try item.picture.bytes()
            switch index % 4 {
            case 0: try folder.write(bytes, to: item.name)
            case 1:
                // The bytes end too early when the file is closed for the first time.
                try folder.write(Array(bytes.prefix(bytes.count / 2)), to: item.name)
                try folder.write(bytes, to: item.name)
            case 2:
                let partial = Array("delivery-\(index).part".utf8)
                try folder.write(bytes, to: partial)
                try folder.rename(partial, to: item.name)
            default:
                try outside.write(bytes, to: "\(index)")
                try outside.link("\(index)", into: folder, as: item.name)
            }
        }
    }

    private func write(_ item: Item, to folder: TemporaryFolder) throws {
        try makeFolder(of: item, in: folder)
        try folder.write(item.picture.bytes(), to: item.name)
    }

    private func makeFolder(of item: Item, in folder: TemporaryFolder) throws {
        guard let slash = item.name.lastIndex(of: UInt8(ascii: "/")) else { return }
        try folder.makeFolder(String(decoding: item.name[..<slash], as: UTF8.self))
    }
}

extension PictureBatch.Item {
    /// The last part of the path.
    var file: [UInt8] { Array(name[(name.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...]) }

    /// True if `path` is where this picture's sidecar belongs: beside it, under its name, shortened if it must be.
    func hasSidecar(_ path: [UInt8]) -> Bool {
        let suffix = Array(".fastvlm.json".utf8)
        guard file.count + suffix.count > 255 else { return path == name + suffix }
        let kept = name.dropLast(file.count) + file.prefix(225) + [UInt8(ascii: "~")]
        return path.starts(with: kept) && path.suffix(suffix.count).elementsEqual(suffix)
            && path.count == kept.count + 16 + suffix.count
    }
}

extension TemporaryFolder {
    func link(_ name: String, into other: TemporaryFolder, as target: [UInt8]) throws {
        let target = Array(other.path.utf8) + [UInt8(ascii: "/")] + target
        try #require(Glibc.link(self[name], target.map { CChar(bitPattern: $0) } + [0]) == 0)
    }

    /// The paths of all sidecars beneath this folder.
    func sidecars() -> [[UInt8]] {
        files().filter { $0.suffix(13).elementsEqual(".fastvlm.json".utf8) }
    }

    /// Every sidecar, whole and by the schema.
    func readSidecars() throws -> [(path: [UInt8], document: Sidecar)] {
        let documents = try sidecars().map { (path: $0, document: try Sidecar(try #require(read($0)))) }
        try SidecarSchema.expectKept(by: documents.map(\.document))
        return documents
    }

    /// What commits have left that did not end.
    var temporaries: [[UInt8]] { files().filter { $0.suffix(4).elementsEqual(".tmp".utf8) } }
}
