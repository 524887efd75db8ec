internal import Digests
internal import FoundationEssentials

/// One repository as a hub has it, and the replies that a well-behaved hub would give.
package struct Shelf: Sendable {
    package var repository = "panels/reader"
    package var commit = String(repeating: "c0ffee12", count: 5)
    package var files: [String: [UInt8]]
    /// The licence that the hub states.
    package var licence = "made-up-1.0"
    /// Further members of the description, as JSON text that starts with a comma.
    package var more = ""
    /// What is said of a file in place of the truth.
    package var saidSizes: [String: Int] = [:]
    package var saidDigests: [String: String] = [:]
    /// Names that are said to be there.
    package var saidNames: [String] = []
    /// True if small files have no digest.
    package var hasNoBlobs = false

    package init(files: [String: [UInt8]]) { self.files = files }

    /// The files of `folder`, as they are.
    package init(folder: String) throws {
        files = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            files[name] = Array(try Data(contentsOf: URL(filePath: "\(folder)/\(name)")))
        }
    }

    package func path(of file: String) -> String { "/\(repository)/resolve/\(commit)/\(file)" }

    /// The tag that a file has while its content is this.
    package func tag(of file: String) -> String { "\"\(SHA256.hex(files[file] ?? []).prefix(16))\"" }

    /// The reply to any request about this repository.
    package func reply(to request: HubServer.Request) -> HubServer.Reply {
        if request.target.hasPrefix("/api/models/\(repository)/revision/") {
            return HubServer.Reply(headers: ["content-type": "application/json"], body: Array(description.utf8))
        }
        guard let name = request.target.split(separator: "/").last.map(String.init), request.target == path(of: name),
            let content = files[name]
        else { return HubServer.Reply(404) }
        let tag = tag(of: name)
        // Ranges as RFC 9110 has them: only if the tag is still this file's.
        if let range = request.headers["range"]?.wholeMatch(of: /bytes=(\d+)-/), let start = Int(range.1),
            request.headers["if-range"] ?? tag == tag
        {
            guard start < content.count else {
                return HubServer.Reply(416, headers: ["content-range": "bytes */\(content.count)"])
            }
            return HubServer.Reply(
                206,
                headers: [
                    "etag": tag, "content-range": "bytes \(start)-\(content.count - 1)/\(content.count)",
                ], body: Array(content[start...]))
        }
        return HubServer.Reply(headers: ["etag": tag], body: content)
    }

    private var description: String {
        var siblings = files.sorted { $0.key < $1.key }.map { name, content in
            let size = saidSizes[name] ?? content.count
            guard name.hasSuffix(".safetensors") else {
                var digest = GitBlobDigest(byteCount: content.count)
                content.withUnsafeBytes { digest.update($0) }
                let blob = saidDigests[name] ?? digest.finish()
                return "{\"rfilename\":\"\(name)\",\"size\":\(size)\(hasNoBlobs ? "" : ",\"blobId\":\"\(blob)\"")}"
            }
            let sum = saidDigests[name] ?? SHA256.hex(content)
            return "{\"rfilename\":\"\(name)\",\"size\":\(size),\"blobId\":\"\(String(repeating: "a", count: 40))\","
                + "\"lfs\":{\"sha256\":\"\(sum)\",\"size\":\(size),\"pointerSize\":134}}"
        }
        siblings += saidNames.map { "{\"rfilename\":\"\($0)\",\"size\":1}" }
        return "{\"id\":\"\(repository)\",\"sha\":\"\(commit)\",\"gated\":false,\"tags\":[\"license:\(licence)\"],"
            + "\"cardData\":{\"license\":\"other\",\"license_name\":\"\(licence)\"}\(more),"
            + "\"siblings\":[\(siblings.joined(separator: ","))]}"
    }
}
