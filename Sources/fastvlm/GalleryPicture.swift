internal import CaptionService
internal import Digests
internal import FoundationEssentials
internal import Images
internal import Sidecars

/// What a page shows of a picture's file.
enum GalleryPicture {
    /// `isChanged`: its bytes are no longer those that the result is about.
    case shown(source: String, isChanged: Bool)
    case missing
    /// Another file, or one that is damaged or too large: the decoder's code.
    case unreadable(String)
    /// The page has as much as it may hold.
    case leftOut

    /// Pixels of a thumbnail's longer side: sharp at the width that a card has.
    static let side = 320

    /// Reads the file of `entry` once and makes a thumbnail of it, turned as the model saw it.
    ///
    /// - Parameter room: Bytes that the page still has for it.
    static func thumbnail(of entry: GalleryEntry, room: Int) -> GalleryPicture {
        switch contents(of: entry) {
        case .failure(let reason): return reason
        case .success(let bytes):
            guard room > 0 else { return .leftOut }
            do {
                let picture = try ImageDecoder().decode(bytes, covering: side)
                let source =
                    "data:image/jpeg;base64,"
                    + Data(try picture.thumbnail(side: side)).base64EncodedString()
                return source.utf8.count <= room
                    ? .shown(source: source, isChanged: isChanged(bytes, entry)) : .leftOut
            } catch {
                return .unreadable(error.code.rawValue)
            }
        }
    }

    /// The file of `entry` as `page` finds it.
    static func link(to entry: GalleryEntry, from page: String) -> GalleryPicture {
        switch contents(of: entry) {
        case .failure(let reason): reason
        case .success(let bytes):
            .shown(source: GalleryPage.link(entry.relativePath(from: page)), isChanged: isChanged(bytes, entry))
        }
    }

    private enum Contents {
        case success([UInt8])
        case failure(GalleryPicture)
    }

    private static func contents(of entry: GalleryEntry) -> Contents {
        guard let facts = FileFacts(path: entry.picture) else { return .failure(.missing) }
        guard facts.isRegular else { return .failure(.unreadable("not_a_file")) }
        guard facts.bytes <= ImageLimits().bytes else {
            return .failure(.unreadable(ImageError.Code.tooManyBytes.rawValue))
        }
        guard let data = try? Data(contentsOf: URL(filePath: entry.picture)) else {
            return .failure(.unreadable("unreadable"))
        }
        return .success(Array(data))
    }

    private static func isChanged(_ bytes: [UInt8], _ entry: GalleryEntry) -> Bool {
        guard let known = entry.document.source.sha256 else { return false }
        return SHA256.hex(bytes) != known
    }
}
