import Foundation
import HubServer
import ModelHub
import Synchronization
import Testing

/// A folder for a person's cache that goes with its last owner, and what is tried on it.
final class HubHarness: Sendable {
    let cache: String
    private let waited = Mutex<[Duration]>([])

    init() throws {
        cache = FileManager.default.temporaryDirectory.path + "/hub-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: cache, withIntermediateDirectories: false)
    }

    deinit { try? FileManager.default.removeItem(atPath: cache) }

    /// A file of `count` bytes that differ from place to place and from `seed` to `seed`.
    static func bytes(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 33)
        }
    }

    /// A repository of the right names, with `weights` bytes of weights.
    static func shelf(weights: Int = 1_000_000, seed: UInt64 = 1) -> Shelf {
        Shelf(files: [
            "config.json": Array("{}".utf8), "tokenizer.json": Array("{\"model\":{}}".utf8),
            "LICENSE": Array("Do what is right.\n".utf8), "README.md": Array("Not needed.".utf8),
            "model.safetensors": bytes(weights, seed: seed),
        ])
    }

    /// The pauses that were made, which take no time here.
    var pauses: [Duration] { waited.withLock { $0 } }

    /// Asks `server` as a command would.
    func withHub<Outcome: Sendable>(
        _ server: HubServer, token: String? = nil, trust: String? = nil, retries: Int = 5,
        _ body: (ModelHub) async throws -> Outcome
    ) async throws -> Outcome {
        var pace = HubPace()
        pace.pauses = Array(pace.pauses.prefix(retries))
        pace.wait = { pause in self.waited.withLock { $0.append(pause) } }
        return try await ModelHub.withHub(
            at: try HubAddress(server.address), token: token, trust: trust, pace: pace, body)
    }

    /// Fetches all of `shelf` from `server`.
    @discardableResult
    func fetch(
        _ shelf: Shelf, from server: HubServer, token: String? = nil, retries: Int = 5
    ) async throws -> (folder: FetchFolder, files: [FetchedFile]) {
        let address = try HubAddress(server.address)
        return try await withHub(server, token: token, retries: retries) { hub in
            let model = try await hub.model(try HubRepository(shelf.repository), revision: "main")
            let folder = try FetchFolder(for: model, from: address, in: self.cache)
            return (folder, try await hub.fetch(model, into: folder))
        }
    }

    /// The files in the cache but locks, as paths beneath it.
    private var paths: [String] {
        let files = FileManager.default
        return (files.enumerator(atPath: cache)?.allObjects as? [String] ?? []).filter { path in
            var isFolder: ObjCBool = false
            return files.fileExists(atPath: "\(cache)/\(path)", isDirectory: &isFolder) && !isFolder.boolValue
                && !path.hasSuffix("/lock")
        }
    }

    /// The names of the files in the cache but locks, sorted.
    var left: [String] { paths.map { $0.split(separator: "/").last.map(String.init) ?? $0 }.sorted() }

    /// Bytes of the one file called `name`.
    func size(of name: String) throws -> Int {
        let path = try #require(paths.first { $0.hasSuffix("/" + name) })
        return try Data(contentsOf: URL(filePath: "\(cache)/\(path)")).count
    }
}

/// Fails the test unless `body` throws an error of `code` whose message holds `words`.
func expectHubError(
    _ code: HubError.Code, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async {
    do {
        try await body()
        Issue.record("nothing was thrown, expected \(code)", sourceLocation: sourceLocation)
    } catch let error as HubError {
        #expect(error.code == code, "\(error.message)", sourceLocation: sourceLocation)
        for word in words {
            #expect(
                error.message.contains(word), "'\(word)' is not in: \(error.message)", sourceLocation: sourceLocation)
        }
    } catch {
        Issue.record("\(error)", sourceLocation: sourceLocation)
    }
}

/// Numbers that servers and tests share.
final class Shared<Value: Sendable>: Sendable {
    private let value: Mutex<Value>
    init(_ value: Value) { self.value = Mutex(value) }
    var now: Value {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}
