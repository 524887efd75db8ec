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
            let picture = String(path.dropLast(Self.suffix.count))
            all.append(GalleryEntry(document: document, path: picture, picture: "\(pictures)/\(picture)"))
        }
        all.sort { ($1.document.created, $0.path) < ($0.document.created, $1.path) }
    }

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

    /// The picture as a page takes it in; nil where it is gone, too large or no picture.
    var dataURI: String? {
        let limit = ImageLimits().bytes
        guard let facts = FileFacts(path: picture), facts.isRegular, facts.bytes <= limit,
            let data = try? Data(contentsOf: URL(filePath: picture)), let type = Self.type(data)
        else { return nil }
        return "data:\(type);base64," + data.base64EncodedString()
    }

    /// By the first bytes, as the daemon tells: a browser shows nothing else.
    private static func type(_ data: Data) -> String? {
        if data.starts(with: [0x89, 0x50, 0x4e, 0x47]) { return "image/png" }
        return data.starts(with: [0xff, 0xd8, 0xff]) ? "image/jpeg" : nil
    }

    /// The picture's place as seen from the page; nil where it is gone.
    func relativePath(from page: String) -> String? {
        guard FileManager.default.fileExists(atPath: picture) else { return nil }
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
