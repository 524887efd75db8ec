internal import FoundationEssentials
internal import UntrustedJSON

/// The reply to `/api/models/OWNER/NAME/revision/REVISION?blobs=true`, as far as it matters here.
private struct ModelReply: Decodable {
    struct Sibling: Decodable {
        struct Large: Decodable {
            let sha256: String
            let size: Int
        }
        let rfilename: String
        let size: Int?
        let blobId: String?
        let lfs: Large?
    }

    /// What the repository's README says at its head: anything.
    struct Card: Decodable {
        let license: String?
        let licenseName: String?
        let licenseLink: String?

        private enum CodingKeys: String, CodingKey {
            case license
            case licenseName = "license_name"
            case licenseLink = "license_link"
        }

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            func text(_ key: CodingKeys) -> String? {
                if let text = try? values.decode(String.self, forKey: key) { return text }
                return (try? values.decode([String].self, forKey: key))?.joined(separator: ", ")
            }
            license = text(.license)
            licenseName = text(.licenseName)
            licenseLink = text(.licenseLink)
        }
    }

    /// `false`, or how the terms are accepted.
    struct Gate: Decodable {
        let isClosed: Bool

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            isClosed = (try? value.decode(Bool.self)) ?? true
        }
    }

    let sha: String
    let gated: Gate?
    let cardData: Card?
    let tags: [String]?
    let siblings: [Sibling]
}

extension HubModel {
    /// Reads and checks what a hub says of `repository`.
    ///
    /// - Throws: `replyInvalid`; `nameRefused` for a name that would leave the folder; `tooLarge`; `incomplete` if no
    ///   checkpoint of this family can be among the files.
    init(_ repository: HubRepository, reply: [UInt8]) throws(HubError) {
        func invalid(_ problem: String) -> HubError {
            HubError(.replyInvalid, "Cannot read what the hub says of '\(repository)': \(problem). Try again later.")
        }
        let model: ModelReply
        do {
            model = try JSONDecoder().decode(ModelReply.self, fromUntrusted: reply)
        } catch {
            throw invalid("expected a JSON object with 'sha' and 'siblings'")
        }
        guard Self.isHexadecimal(model.sha, digits: 40) else { throw invalid("'sha' is no commit") }
        guard model.siblings.count <= Self.maximumNameCount else {
            throw invalid("\(model.siblings.count) files, expected at most \(Self.maximumNameCount)")
        }
        var siblings: [String: ModelReply.Sibling] = [:]
        for sibling in model.siblings {
            guard Self.staysInFolder(sibling.rfilename) else {
                throw HubError(
                    .nameRefused,
                    "Cannot fetch '\(repository)': it has a file named '\(sibling.rfilename.prefix(200))', which would "
                        + "leave its folder. Nothing was fetched; do not trust this repository.")
            }
            guard siblings.updateValue(sibling, forKey: sibling.rfilename) == nil else {
                throw invalid("'\(sibling.rfilename)' is there twice")
            }
        }
        var files: [HubFile] = []
        for name in Self.wanted(among: Set(siblings.keys)) {
            guard let sibling = siblings[name] else { continue }
            files.append(try Self.file(sibling, of: repository))
        }
        try Self.checkComplete(files, repository)
        self.repository = repository
        commit = model.sha.lowercased()
        let tag = model.tags?.first { $0.hasPrefix("license:") }.map { String($0.dropFirst("license:".count)) }
        let stated = model.cardData?.license ?? tag
        // "other" only says that the name stands elsewhere.
        licence = Self.short(stated == "other" ? model.cardData?.licenseName ?? stated : stated)
        licenceLink = Self.short(model.cardData?.licenseLink)
        isGated = model.gated?.isClosed ?? false
        self.files = files
    }

    /// The files of a checkpoint among `names`, small ones first.
    private static func wanted(among names: Set<String>) -> [String] {
        var weights = [weightsName]
        if !names.contains(weightsName) {
            weights = names.filter { !$0.contains("/") && $0.hasSuffix(".safetensors") }.sorted()
            weights.insert(indexName, at: 0)
        }
        return ([configurationName] + licenceNames + tokenizerNames + weights).filter { names.contains($0) }
    }

    private static func checkComplete(_ files: [HubFile], _ repository: HubRepository) throws(HubError) {
        let names = Set(files.map(\.name))
        var missing: [String] = []
        if !names.contains(configurationName) { missing.append(configurationName) }
        if !names.contains(weightsName), !names.contains(indexName) { missing.append(weightsName) }
        if !names.contains("tokenizer.json"), !names.contains("vocab.json") { missing.append("tokenizer.json") }
        guard missing.isEmpty else {
            throw HubError(
                .incomplete,
                "Cannot fetch '\(repository)': it has no \(missing.joined(separator: " and no ")), so it is no FastVLM "
                    + "checkpoint of a known layout. Name another repository or --revision.")
        }
        guard files.count(where: \.isWeights) <= maximumShardCount else {
            throw HubError(.tooLarge, "Cannot fetch '\(repository)': it has more than \(maximumShardCount) shards.")
        }
    }

    private static func file(_ sibling: ModelReply.Sibling, of repository: HubRepository) throws(HubError) -> HubFile {
        let name = sibling.rfilename
        guard let size = sibling.lfs?.size ?? sibling.size, size >= 0, sibling.size ?? size == size else {
            throw HubError(
                .replyInvalid,
                "Cannot fetch '\(name)' of '\(repository)': the hub does not say how large it is, or says two sizes.")
        }
        let isWeights = name.hasSuffix(".safetensors")
        let limit =
            isWeights
            ? maximumWeightsByteCount : licenceNames.contains(name) ? maximumLicenceByteCount : maximumFileByteCount
        guard size <= limit else {
            throw HubError(
                .tooLarge,
                "Cannot fetch '\(name)' of '\(repository)': it has \(size) bytes, expected at most \(limit).")
        }
        let digest: HubDigest
        if let large = sibling.lfs {
            guard isHexadecimal(large.sha256, digits: 64) else {
                throw HubError(
                    .replyInvalid, "Cannot fetch '\(name)' of '\(repository)': its SHA-256 is no such number.")
            }
            digest = .sha256(large.sha256.lowercased())
        } else if let blob = sibling.blobId, isHexadecimal(blob, digits: 40) {
            digest = .gitBlob(blob.lowercased())
        } else {
            digest = .none
        }
        return HubFile(name: name, byteCount: size, digest: digest)
    }

    /// True if `name`, beneath a folder, is a file beneath that folder and has an ordinary name.
    private static func staysInFolder(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return name.utf8.count <= 1_024 && !name.contains("\\")
            && name.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
            && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 240 }
    }

    private static func isHexadecimal(_ text: String, digits: Int) -> Bool {
        text.utf8.count == digits && text.allSatisfy { $0.isASCII && $0.isHexDigit }
    }

    /// `text` where it can be shown and stored; nil where it is empty.
    private static func short(_ text: String?) -> String? {
        guard let text else { return nil }
        let plain = text.unicodeScalars.filter { $0.properties.generalCategory != .control }
        let result = String(String(String.UnicodeScalarView(plain)).prefix(120))
        return result.isEmpty || result.utf8.count > 200 ? nil : result
    }
}
