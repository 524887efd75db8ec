internal import CaptionService
internal import FoundationEssentials
internal import Images
internal import Sidecars

/// The results beneath a folder, newest first.
struct GalleryEntries {
    private(set) var all: [GalleryEntry] = []
    /// Results that cannot be read.
    private(set) var problems: [String] = []

    private static let suffix = ".fastvlm.json"

    init(folder: String, pictures: String) throws(CommandFailure) {
        var isFolder = false
        guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder else {
            throw CommandFailure(
                .inputsRefused, "Cannot make a page of '\(folder)': it is no folder. Name one with results.")
        }
        let paths = (try? FileManager.default.subpathsOfDirectory(atPath: folder)) ?? []
        for path in paths where path.hasSuffix(Self.suffix) {
            let place = "\(folder)/\(path)"
            // Larger ones are not ours.
            guard let facts = FileFacts(path: place), facts.isRegular, facts.bytes <= 1 << 20,
                let data = try? Data(contentsOf: URL(filePath: place)),
                let document = try? SidecarDocument(json: Array(data))
            else {
                problems.append("Cannot read the result '\(place)': it is no result of this program, or damaged.")
                continue
            }
            let picture = Self.picture(of: document, at: String(path.dropLast(Self.suffix.count)), in: pictures)
            all.append(GalleryEntry(document: document, path: picture, picture: "\(pictures)/\(picture)"))
        }
        all.sort { ($1.document.created, $0.path) < ($0.document.created, $1.path) }
    }

    /// The picture's path beneath `folder`: as the result is called, or, where a long name was shortened for that, as the
    /// result says.
    private static func picture(of document: SidecarDocument, at path: String, in folder: String) -> String {
        guard FileFacts(path: "\(folder)/\(path)") == nil,
            let said = document.source.file.map({ String(decoding: $0, as: UTF8.self) }), !said.isEmpty,
            !said.contains("/"), said != ".."
        else { return path }
        let other = (path.lastIndex(of: "/").map { String(path[...$0]) } ?? "") + said
        return FileFacts(path: "\(folder)/\(other)") == nil ? path : other
    }

    /// Where the pictures came from, sorted.
    var sources: [String] { Set(all.compactMap(\.document.source.origin)).sorted() }

    /// How many there are of each status.
    var summary: [(String, Int)] {
        ["ok", "refused", "expired"].map { status in (status, all.count { $0.status == status }) }.filter { $0.1 > 0 }
    }
}

/// One picture with its result.
struct GalleryEntry {
    let document: SidecarDocument
    /// Beneath the folder.
    let path: String
    let picture: String

    var status: String {
        switch document.status {
        case .ok: "ok"
        case .refused: "refused"
        case .expired: "expired"
        }
    }

    /// The picture's place as seen from the page.
    func relativePath(from page: String) -> String {
        let place = Self.parts(picture)
        let from = Self.parts(page).dropLast()
        let common = zip(place, from).prefix { $0 == $1 }.count
        return (Array(repeating: "..", count: from.count - common) + place.dropFirst(common)).joined(separator: "/")
    }

    private static func parts(_ path: String) -> [String] {
        let whole = path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
        var parts: [String] = []
        for part in whole.split(separator: "/") where part != "." {
            if part == ".." { parts = parts.dropLast() } else { parts.append(String(part)) }
        }
        return parts
    }
}
