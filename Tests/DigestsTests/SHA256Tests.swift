import Digests
import Testing

@Suite struct SHA256Tests {
    // Test vectors of FIPS 180-4's examples.
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    ])
    func knownDigests(message: String, digest: String) {
        #expect(SHA256.hex(message.utf8) == digest)
    }

    @Test func piecesGiveTheDigestOfTheWhole() {
        let message = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var hasher = SHA256()
        for start in stride(from: 0, to: message.count, by: 977) {
            hasher.update(message[start..<min(start + 977, message.count)])
        }
        #expect(SHA256.hexadecimal(hasher.finish()) == SHA256.hex(message))
    }
}
