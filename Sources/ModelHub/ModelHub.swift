internal import Digests

/// A hub of the kind that Hugging Face runs, from which a person fetches a checkpoint.
///
/// Only the person's command uses this room, and only when it is told to. The daemon has no network code.
public struct ModelHub: Sendable {
    private let client: HubClient

    /// Longest description of a repository: 8 MiB.
    private static let maximumReplyByteCount = 8 << 20

    /// Lets `body` ask the hub at `address`, and ends all connections after it.
    ///
    /// - Parameters:
    ///   - token: What the person proves with who they are; sent to the hub's own host alone. The default is nobody.
    ///   - agent: Who asks: `NAME/VERSION`.
    ///   - trust: A file with certificates to trust in place of the system's, PEM. The default is the system's.
    /// - Throws: `tokenInvalid`, and what `body` throws.
    public static func withHub<Outcome: Sendable>(
        at address: HubAddress, token: String? = nil, agent: String, trust: String? = nil,
        _ body: (ModelHub) async throws -> Outcome
    ) async throws -> Outcome {
        try await withHub(at: address, token: token, agent: agent, trust: trust, pace: HubPace(), body)
    }

    package static func withHub<Outcome: Sendable>(
        at address: HubAddress, token: String? = nil, agent: String = "fastvlm-tests", trust: String? = nil,
        pace: HubPace, _ body: (ModelHub) async throws -> Outcome
    ) async throws -> Outcome {
        if let token {
            guard (1...1_024).contains(token.utf8.count), token.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
                throw HubError(
                    .tokenInvalid, "Cannot use HF_TOKEN: expected up to 1024 letters, digits and signs without spaces.")
            }
        }
        let client = HubClient(address, token: token, agent: agent, trust: trust, pace: pace)
        let outcome: Result<Outcome, any Error>
        do {
            outcome = .success(try await body(ModelHub(client: client)))
        } catch {
            outcome = .failure(error)
        }
        await client.shutdown()
        return try outcome.get()
    }

    /// What the hub has under `repository`. Fetches no file.
    ///
    /// - Parameter revision: A branch, tag or commit.
    /// - Throws: `repositoryInvalid` for a revision that is none, and every error of a request and of a description.
    public func model(_ repository: HubRepository, revision: String) async throws(HubError) -> HubModel {
        guard (1...200).contains(revision.utf8.count), revision.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw HubError(
                .repositoryInvalid,
                "Cannot fetch '\(repository)': the revision '\(revision)' is none. Expected a branch, a tag or a commit."
            )
        }
        let path =
            "/api/models/\(repository.owner)/\(repository.name)/revision/\(HubAddress.encoded(revision))?blobs=true"
        let reply = try await client.bytes(
            client.hub.appending(path), of: "what the hub has of '\(repository)'", limit: Self.maximumReplyByteCount)
        return try HubModel(repository, reply: reply)
    }

    /// The licence in full; nil if the repository has no file with it.
    ///
    /// - Throws: every error of a request; `sizeMismatch`, `digestMismatch`.
    public func licenceText(of model: HubModel) async throws(HubError) -> String? {
        guard let file = model.licenceFile else { return nil }
        return String(decoding: try await contents(of: file, in: model), as: UTF8.self)
    }

    /// The checkpoint's `config.json`, which says what it is.
    ///
    /// - Throws: every error of a request; `sizeMismatch`, `digestMismatch`, `incomplete`.
    public func configuration(of model: HubModel) async throws(HubError) -> [UInt8] {
        guard let file = model.files.first(where: { $0.name == HubModel.configurationName }) else {
            throw HubError(.incomplete, "Cannot fetch '\(model.repository)': it has no \(HubModel.configurationName).")
        }
        return try await contents(of: file, in: model)
    }

    /// A small file, checked.
    private func contents(of file: HubFile, in model: HubModel) async throws(HubError) -> [UInt8] {
        let bytes = try await client.bytes(
            address(of: file, in: model), of: "'\(file.name)' of '\(model.repository)'", limit: file.byteCount)
        guard bytes.count == file.byteCount else {
            throw HubError(
                .sizeMismatch,
                "Cannot use '\(file.name)': \(bytes.count) bytes came, expected \(file.byteCount). Try again.")
        }
        let found: String
        switch file.digest {
        case .sha256: found = SHA256.hex(bytes)
        case .gitBlob:
            var digest = GitBlobDigest(byteCount: bytes.count)
            // Unsafe: the digest reads the bytes during the call only.
            bytes.withUnsafeBytes { digest.update($0) }
            found = digest.finish()
        case .none: found = ""
        }
        guard file.digest.value == found else {
            throw HubError(
                .digestMismatch,
                "Cannot use '\(file.name)': what came has the \(file.digest.name) \(found), expected \(file.digest.value). "
                    + "Try again; if that stays, the hub is not to be trusted.")
        }
        return bytes
    }

    /// Fetches all files of `model` into `folder`, going on where an earlier command was stopped, and checks each.
    ///
    /// - Parameter progress: Is called with the bytes that are there and those that there shall be.
    /// - Returns: the files, in the order of `model.files`.
    /// - Throws: `noSpace` before anything is fetched; every error of a request; `sizeMismatch`, `digestMismatch`,
    ///   `cacheUnusable`.
    public func fetch(
        _ model: HubModel, into folder: FetchFolder, progress: (Int, Int) -> Void = { _, _ in }
    ) async throws(HubError) -> [FetchedFile] {
        try folder.checkSpace(for: model.files)
        let total = model.byteCount
        var done = 0
        var fetched: [FetchedFile] = []
        for file in model.files {
            let download = FileDownload(
                client: client, address: address(of: file, in: model), repository: model.repository)
            let hadSome = folder.presentByteCount(of: file) > 0
            do {
                fetched.append(
                    try await download.run(try PartialFile(file, in: folder.path)) { progress(done + $0, total) })
            } catch {
                // What an earlier command left may be at fault: once more from the first byte.
                guard error.code == .digestMismatch, hadSome else { throw error }
                fetched.append(
                    try await download.run(try PartialFile(file, in: folder.path)) { progress(done + $0, total) })
            }
            done += file.byteCount
        }
        return fetched
    }

    private func address(of file: HubFile, in model: HubModel) -> HubAddress {
        let repository = model.repository
        return client.hub.appending(
            "/\(repository.owner)/\(repository.name)/resolve/\(model.commit)/\(HubAddress.encoded(file.name))")
    }
}
