import Foundation
import HubServer
import ModelHub
import Testing

/// Who answers has to prove it.
@Suite(.enabled(if: OpenSSL.isThere, "there is no openssl here to make a certificate with"))
struct TLSTests {
    let harness: HubHarness

    init() throws { harness = try HubHarness() }

    /// A certificate for `name` that its own key has signed.
    private func identity(_ name: String) throws -> (HubServer.Identity, certificate: String) {
        let (certificate, key) = ("\(harness.cache)/\(name).pem", "\(harness.cache)/\(name).key")
        let process = Process()
        process.executableURL = URL(filePath: OpenSSL.path)
        process.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj",
            "/CN=\(name)", "-addext", "subjectAltName=IP:\(name)", "-out", certificate, "-keyout", key,
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0)
        return (HubServer.Identity(certificate: certificate, key: key), certificate)
    }

    private func ask(_ server: HubServer, trust: String?) async throws -> String {
        try await harness.withHub(server, token: "hf_secret", trust: trust) {
            try await $0.model(try HubRepository(HubHarness.shelf().repository), revision: "main").commit
        }
    }

    @Test func aCertificateThatNobodyVouchesForIsRefused() async throws {
        let (identity, certificate) = try identity("127.0.0.1")
        let server = try await HubServer(identity) { request, _ in HubHarness.shelf().reply(to: request) }
        await expectHubError(.untrusted, "127.0.0.1", "SSL_CERT_FILE") { _ = try await ask(server, trust: nil) }
        #expect(server.requests.count == 0 && harness.pauses == [])
        // The same certificate, vouched for.
        #expect(try await ask(server, trust: certificate) == HubHarness.shelf().commit)
    }

    @Test func aCertificateForAnotherHostIsRefused() async throws {
        let (identity, certificate) = try identity("127.0.0.9")
        let server = try await HubServer(identity) { request, _ in HubHarness.shelf().reply(to: request) }
        await expectHubError(.untrusted) { _ = try await ask(server, trust: certificate) }
        #expect(server.requests.count == 0)
    }

    @Test func fromTLSNothingLeadsToPlainHTTP() async throws {
        let (identity, certificate) = try identity("127.0.0.1")
        let plain = try await HubServer { request, _ in HubHarness.shelf().reply(to: request) }
        let address = plain.address
        let server = try await HubServer(identity) { request, _ in .redirect(address + request.target) }
        await expectHubError(.redirectRefused) { _ = try await ask(server, trust: certificate) }
        #expect(plain.requests.count == 0)
    }
}

/// What makes the certificates.
enum OpenSSL {
    static let path = "/usr/bin/openssl"
    static var isThere: Bool { FileManager.default.isExecutableFile(atPath: path) }
}
