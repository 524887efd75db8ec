/// Brings what is missing of one file.
struct FileDownload: Sendable {
    let client: HubClient
    let address: HubAddress
    let repository: HubRepository

    /// Asks for the rest of `partial` until all of it is there, and checks it.
    ///
    /// - Parameter progress: Is called with the bytes that are there.
    func run(_ partial: consuming PartialFile, progress: (Int) -> Void) async throws(HubError) -> FetchedFile {
        var partial = partial
        progress(partial.count)
        if partial.count < partial.file.byteCount {
            // Where every attempt starts anew, the same bytes again are no progress.
            var furthest = partial.count
            try await client.pace.persist { () async throws(AttemptFailure) in
                do throws(AttemptFailure) {
                    try await attempt(&partial, progress)
                } catch {
                    var failure = error
                    failure.hasProgressed = partial.count > furthest
                    furthest = max(furthest, partial.count)
                    throw failure
                }
            }
        }
        return try partial.finish()
    }

    private func attempt(_ partial: inout PartialFile, _ progress: (Int) -> Void) async throws(AttemptFailure) {
        let subject = "'\(partial.file.name)' of '\(repository)'"
        let size = partial.file.byteCount
        var headers: [(String, String)] = []
        if partial.count > 0, let tag = partial.tag {
            // The whole file comes if it is no longer the one whose bytes are here.
            headers = [("range", "bytes=\(partial.count)-"), ("if-range", tag)]
        } else {
            try changing { () throws(HubError) in try partial.restart() }
        }
        let reply = try await client.attempt(address, of: subject, headers: headers)
        if reply.status == 200 {
            if let length = reply.length, length != size { throw mismatch(subject, size, "\(length)") }
            try changing { () throws(HubError) in
                if partial.count > 0 { try partial.restart() }
                try partial.begin(reply.strongTag)
            }
        } else {
            guard !headers.isEmpty else {
                throw .final(
                    .replyInvalid, "Cannot fetch \(subject): the reply is a part of it, but all was asked for.")
            }
            let isRest = reply.part.map { $0.start == partial.count && ($0.whole ?? size) == size } ?? false
            guard reply.status == 206, isRest, reply.strongTag ?? partial.tag == partial.tag else {
                // Another file, or a server that counts otherwise: from the first byte.
                try changing { () throws(HubError) in try partial.restart() }
                throw .passing(
                    .replyInvalid,
                    "Cannot fetch \(subject): its rest was asked for, but something else came. Try again.")
            }
        }
        try await reply.read { (piece) throws(AttemptFailure) in
            guard piece.count <= size - partial.count else { throw mismatch(subject, size, "more") }
            try changing { () throws(HubError) in try partial.append(piece) }
            progress(partial.count)
        }
        guard partial.count == size else {
            throw .passing(
                .sizeMismatch, "Cannot fetch \(subject): \(partial.count) bytes came, expected \(size). Try again.")
        }
    }

    private func mismatch(_ subject: String, _ expected: Int, _ got: String) -> AttemptFailure {
        .final(
            .sizeMismatch,
            "Cannot fetch \(subject): the reply has \(got) bytes, expected \(expected). The hub contradicts itself; try again "
                + "later.")
    }

    /// What fails on this machine fails for good.
    private func changing(_ body: () throws(HubError) -> Void) throws(AttemptFailure) {
        do {
            try body()
        } catch {
            throw AttemptFailure(error: error, mayPass: false)
        }
    }
}
