internal import FoundationEssentials

/// An address that may be asked: `https`, or `http` on this machine itself.
public struct HubAddress: Sendable, Equatable, CustomStringConvertible {
    public let text: String
    public let host: String
    let isSecure: Bool
    let port: Int

    public var description: String { text }

    /// The public hub.
    public static let usual = "https://huggingface.co"

    /// Reads the address of a hub.
    ///
    /// - Throws: `addressInvalid` for anything but `https://HOST[:PORT][/PATH]`, or `http://` with the host 127.0.0.1,
    ///   ::1 or localhost, which never leaves this machine.
    public init(_ text: String) throws(HubError) {
        func invalid(_ problem: String) -> HubError {
            HubError(
                .addressInvalid,
                "Cannot use the hub '\(text)': \(problem). Expected an address such as \(Self.usual).")
        }
        guard text.utf8.count <= 2_048, let url = URL(string: text), let address = HubAddress(url) else {
            throw invalid("it is no such address, or it holds a name and a password")
        }
        guard url.query() == nil, url.fragment() == nil else { throw invalid("it has a query") }
        guard address.isSecure || address.isLoopback else {
            throw invalid("plain http is for this machine itself only (127.0.0.1)")
        }
        var plain = text
        while plain.hasSuffix("/") { plain.removeLast() }
        self = HubAddress(text: plain, like: address)
    }

    private init?(_ url: URL) {
        guard let scheme = url.scheme?.lowercased(), ["http", "https"].contains(scheme), url.user() == nil,
            url.password() == nil, let host = url.host()?.lowercased(), !host.isEmpty
        else { return nil }
        let port = url.port ?? (scheme == "https" ? 443 : 80)
        guard (1...65_535).contains(port) else { return nil }
        isSecure = scheme == "https"
        self.host = host
        self.port = port
        text = url.absoluteString
    }

    private init(text: String, like other: HubAddress) {
        self.text = text
        host = other.host
        isSecure = other.isSecure
        port = other.port
    }

    var isLoopback: Bool { ["127.0.0.1", "::1", "[::1]", "localhost"].contains(host) }

    /// True if both are answered by the same server: what is secret for one is for the other.
    func hasSameOrigin(as other: HubAddress) -> Bool {
        host == other.host && port == other.port && isSecure == other.isSecure
    }

    /// Where `path`, which is percent-encoded and starts with a slash, is.
    func appending(_ path: String) -> HubAddress { HubAddress(text: text + path, like: self) }

    /// Where a reply from here sends its reader.
    ///
    /// - Parameter location: Absolute, or relative to this address.
    /// - Throws: `redirectRefused` unless that is `https`, or from `http` on this machine to the same.
    func following(_ location: String) throws(HubError) -> HubAddress {
        let target = URL(string: text).flatMap { URL(string: location, relativeTo: $0) }.flatMap {
            HubAddress($0.absoluteURL)
        }
        guard let target, target.isSecure || (!isSecure && target.isLoopback) else {
            let shown = String(location.prefix { $0 != "?" }.prefix(200))
            throw HubError(
                .redirectRefused,
                "Cannot follow '\(host)' to '\(shown)': expected an https address. Nothing was sent there.")
        }
        return target
    }

    /// `name` as a part of a path.
    static func encoded(_ name: String) -> String {
        name.utf8.map { byte in
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte)
            let digits = String(byte, radix: 16, uppercase: true)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + (digits.count < 2 ? "0" : "") + digits
        }.joined()
    }
}
