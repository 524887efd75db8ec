internal import Glibc

/// Commits sidecars so that after a crash or a power cut each is there whole or not at all.
///
/// A temporary is made in the sidecar's own folder (`O_EXCL`), written and synchronized; the caller looks at the
/// picture once more; the temporary gets the sidecar's name; the folder is synchronized. Until the last step has
/// succeeded the frame does not count as done. A new sidecar is put in place by a rename that cannot overwrite
/// anything; only a sidecar of our own is replaced, by a plain one. Either way those who watch the folder are told of
/// a file moved in.
public struct SidecarWriter: Sendable {
    private let store: SidecarStore
    private let calls: any FileCalls

    public init(store: SidecarStore) {
        self.store = store
        calls = store.calls
    }

    /// Commits `document` as the sidecar of `picture`, a path relative to the root. Blocks on the disk.
    ///
    /// - Parameter isCurrent: called when everything but the name is on the disk; false if the picture is no longer
    ///   the one the document was made from.
    /// - Throws: `superseded` if `isCurrent` says no; `conflict` if a file that is not ours has the sidecar's name;
    ///   `placeGone` if the picture's folder is gone; `resource` for everything that can succeed later, with nothing
    ///   but perhaps a temporary left behind; `invalid`.
    public func commit(
        _ document: SidecarDocument, for picture: [UInt8], isCurrent: () -> Bool
    ) throws(SidecarError) {
        try commit(json: try document.json(), for: picture, isCurrent: isCurrent)
    }

    /// Commits a document that is already JSON.
    ///
    /// - Throws: as `commit(_:for:isCurrent:)`.
    public func commit(json: [UInt8], for picture: [UInt8], isCurrent: () -> Bool) throws(SidecarError) {
        let place = try SidecarPlace(picture)
        let folder: Descriptor
        do {
            folder = try store.openFolder(place.folders, making: store.makesFolders)
        } catch {
            throw .system(error.code, "open the folder for the sidecar of \(place)")
        }
        let temporary = try writeTemporary(json, in: folder, place)
        guard isCurrent() else {
            try? calls.remove(temporary, in: folder.number)
            throw SidecarError(.superseded, "No sidecar for \(place): the picture changed while it was processed.")
        }
        do {
            try putInPlace(temporary, in: folder, place)
        } catch {
            try? calls.remove(temporary, in: folder.number)
            throw error
        }
        do {
            try calls.synchronize(folder.number)
        } catch {
            // Some file systems have no way to synchronize a folder and say so.
            if error.code != EINVAL && error.code != EOPNOTSUPP {
                throw .system(error.code, "synchronize the folder of the sidecar of \(place)")
            }
        }
    }

    /// Makes a temporary with `json` as its synchronized content; after any error it is gone again.
    private func writeTemporary(
        _ json: [UInt8], in folder: borrowing Descriptor, _ place: SidecarPlace
    ) throws(SidecarError) -> [UInt8] {
        let name = SidecarName.temporary()
        do throws(SystemFault) {
            let file = Descriptor(
                try calls.open(
                    name, in: folder.number, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode: 0o644))
            var rest = json[...]
            while !rest.isEmpty {
                let count = try calls.write(rest, to: file.number)
                if count == 0 { throw SystemFault(EIO) }
                rest = rest.dropFirst(count)
            }
            // After a failure the kernel may forget what it did not write: the file is given up, never synchronized
            // again.
            try calls.synchronize(file.number)
            return name
        } catch {
            try? calls.remove(name, in: folder.number)
            throw .system(error.code, "write the sidecar of \(place)")
        }
    }

    /// Gives the temporary the sidecar's name.
    private func putInPlace(
        _ temporary: [UInt8], in folder: borrowing Descriptor, _ place: SidecarPlace
    ) throws(SidecarError) {
        do {
            try calls.renameExclusively(temporary, to: place.sidecar, in: folder.number)
            return
        } catch {
            switch error.code {
            // Something is there, or the kernel, its file system or a sandbox knows no such rename.
            case EEXIST, EINVAL, ENOSYS, EOPNOTSUPP, EPERM: break
            default: throw .system(error.code, "put the sidecar of \(place) in place")
            }
        }
        let finding: SidecarFinding
        do {
            finding = try store.finding(place.sidecar, in: folder)
        } catch {
            throw .system(error.code, "read the older sidecar of \(place)")
        }
        guard finding != .foreign else {
            throw SidecarError(
                .conflict,
                "Cannot write the sidecar of \(place): '\(String(decoding: place.sidecar, as: UTF8.self))' is there and "
                    + "is not a sidecar of this program. Move it away.",
                systemCode: EEXIST)
        }
        do {
            try calls.rename(temporary, to: place.sidecar, in: folder.number)
        } catch {
            throw .system(error.code, "put the sidecar of \(place) in place")
        }
    }
}
