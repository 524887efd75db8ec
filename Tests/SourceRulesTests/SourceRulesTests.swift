import Foundation
import Testing

/// Rules that no compiler checks: where the program takes the safety of memory into its own hands, the reason stands
/// beside it.
@Suite struct SourceRulesTests {
    private static let root = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Every Swift file below `folder`: its path from there, and its lines.
    private static func files(in folder: String) throws -> [(path: String, lines: [String])] {
        let start = root.appending(path: folder)
        let paths = try #require(FileManager.default.enumerator(atPath: start.path)).compactMap { $0 as? String }
        return try paths.sorted().filter { $0.hasSuffix(".swift") }.map { path in
            let text = try String(contentsOf: start.appending(path: path), encoding: .utf8)
            return ("\(folder)/\(path)", text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
        }
    }

    @Test func whatTheCompilerIsToldToTrustStatesItsInvariant() throws {
        let files = try Self.files(in: "Sources") + Self.files(in: "Tests").filter { !$0.path.contains("SourceRules") }
        #expect(files.count > 250, "the sources are not where they are looked for")
        for (path, lines) in files {
            for line in Reasons.missingInvariants(lines) {
                Issue.record("\(path):\(line): its invariant is not stated")
            }
        }
    }

    @Test func filesWithUnsafePointersSayWhy() throws {
        for (path, lines) in try Self.files(in: "Sources") where Reasons.lacksReasonForPointers(lines) {
            Issue.record("\(path): unsafe pointers, and no comment that begins with 'Unsafe:'")
        }
    }

    /// Foundation's decoder ends the process at some documents: only `UntrustedJSON` hands it one.
    @Test func jsonIsDecodedAsUntrusted() throws {
        let files = try Self.files(in: "Sources").filter { !$0.path.hasPrefix("Sources/UntrustedJSON/") }
        var decoded = 0
        for (path, lines) in files where lines.contains(where: { $0.contains("JSONDecoder()") }) {
            let text = lines.joined(separator: "\n")
            decoded += text.split(separator: "fromUntrusted:").count - 1
            if text.contains("from: Data(") || text.contains("from: try Data(") {
                Issue.record("\(path): decodes by itself")
            }
        }
        #expect(decoded > 10, "what decodes is not where it is looked for")
    }

    @Test(arguments: ["@unchecked Sendable", "nonisolated(unsafe)"])
    func anInvariantStandsBesideWhatItExplains(trust: String) {
        let declaration = "final class Store: \(trust) {"
        let invariant = "    // Invariant: written once,"
        #expect(Reasons.missingInvariants([invariant, "    // before others know of it.", declaration]) == [])
        #expect(Reasons.missingInvariants([invariant, declaration, declaration]) == [])
        #expect(Reasons.missingInvariants(["\(declaration)  // Invariant: written once."]) == [])
        #expect(Reasons.missingInvariants(["let a = 1", declaration, "    // Fast."]) == [2])
        #expect(Reasons.missingInvariants(["    // Fast.", declaration]) == [2])
        #expect(Reasons.missingInvariants(["    // Invariant: ", declaration]) == [2])
        #expect(Reasons.missingInvariants([declaration, invariant]) == [1])
        #expect(Reasons.missingInvariants([invariant, "", declaration]) == [3])
        #expect(Reasons.missingInvariants([invariant, "let a = 1", declaration]) == [3])
        #expect(Reasons.missingInvariants(["// Not \(trust): it has a lock."]) == [])
    }

    @Test(arguments: [
        "let start: UnsafeRawPointer", "bytes.withUnsafeBytes { read($0) }", "Unmanaged.passRetained(box)",
        "unsafeBitCast(address, to: type)", "[UInt8](unsafeUninitializedCapacity: 3) { _, _ in }",
    ])
    func pointersNeedAReason(use: String) {
        #expect(Reasons.lacksReasonForPointers([use]))
        #expect(Reasons.lacksReasonForPointers([use, "// Unsafe: "]))
        #expect(!Reasons.lacksReasonForPointers(["// Unsafe: C reads it.", use]))
        #expect(!Reasons.lacksReasonForPointers(["// \(use)"]))
    }
}

private enum Reasons {
    /// Lines, from 1, that tell the compiler to trust without a comment on the invariant beside them: on the line, or right
    /// above it or a run of such lines.
    static func missingInvariants(_ lines: [String]) -> [Int] {
        func isTrust(_ line: String) -> Bool {
            ["@unchecked Sendable", "nonisolated(unsafe)"].contains(where: code(line).contains)
        }
        func isComment(_ line: String) -> Bool { comment(line) != nil && code(line).allSatisfy(\.isWhitespace) }
        return lines.indices.filter { index in
            guard isTrust(lines[index]) else { return false }
            let above = lines[..<index].reversed().drop(while: isTrust).prefix(while: isComment)
            return !([lines[index]] + above).contains { states("Invariant: ", comment($0)) }
        }.map { $0 + 1 }
    }

    /// Whether a comment says something behind `word`.
    private static func states(_ word: String, _ comment: Substring?) -> Bool {
        guard let comment, let place = comment.range(of: word) else { return false }
        return !comment[place.upperBound...].allSatisfy(\.isWhitespace)
    }

    /// Whether pointers that nobody checks are used and no comment says why.
    static func lacksReasonForPointers(_ lines: [String]) -> Bool {
        let uses = lines.contains { line in
            [
                "UnsafePointer", "UnsafeMutable", "UnsafeRaw", "UnsafeBuffer", "withUnsafe", "unsafeBitCast",
                "Unmanaged",
                "unsafeUninitialized",
            ].contains(where: code(line).contains)
        }
        guard uses else { return false }
        return !lines.contains { states("Unsafe: ", comment($0)) }
    }

    private static func code(_ line: String) -> Substring {
        line.firstRange(of: "//").map { line[..<$0.lowerBound] } ?? line[...]
    }

    private static func comment(_ line: String) -> Substring? {
        line.firstRange(of: "//").map { line[$0.lowerBound...] }
    }
}
