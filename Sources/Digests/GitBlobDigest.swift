internal import CNettle

/// An incremental digest of a file as Git names it: SHA-1 over `blob`, the file's size and its bytes.
///
/// It tells damage and another version apart. It is no proof against somebody who makes two files with one SHA-1 on
/// purpose; use ``SHA256`` for that.
public struct GitBlobDigest: Sendable {
    private var state = sha1_ctx()

    /// - Parameter byteCount: The size of the whole file, which comes first.
    public init(byteCount: Int) {
        nettle_sha1_init(&state)
        // Unsafe: Nettle reads the bytes during the calls only, as many as there are, and writes the whole digest.
        Array("blob \(byteCount)\0".utf8).withUnsafeBytes { update($0) }
    }

    /// Adds `bytes` of the file.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
        nettle_sha1_update(&state, bytes.count, base.assumingMemoryBound(to: UInt8.self))
    }

    /// The digest of everything added so far, as 40 lowercase hexadecimal digits. The hasher is used up.
    public mutating func finish() -> String {
        SHA256.hexadecimal(
            [UInt8](unsafeUninitializedCapacity: Int(SHA1_DIGEST_SIZE)) { buffer, count in
                nettle_sha1_digest(&state, Int(SHA1_DIGEST_SIZE), buffer.baseAddress)
                count = Int(SHA1_DIGEST_SIZE)
            })
    }
}
