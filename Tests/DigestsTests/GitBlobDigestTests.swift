import Digests
import Testing

@Suite struct GitBlobDigestTests {
    private func digest(_ pieces: [String]) -> String {
        var digest = GitBlobDigest(byteCount: pieces.reduce(0) { $0 + $1.utf8.count })
        for piece in pieces { Array(piece.utf8).withUnsafeBytes { digest.update($0) } }
        return digest.finish()
    }

    /// As `git hash-object` has it.
    @Test func aFileIsNamedAsGitNamesIt() {
        #expect(digest([]) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
        #expect(digest(["hello\n"]) == "ce013625030ba8dba906f756967f9e9ca394464a")
        #expect(digest(["hel", "", "lo\n"]) == "ce013625030ba8dba906f756967f9e9ca394464a")
    }
}
