internal import Glibc

/// Tells the service manager how the service is, over the datagram socket that it named in `NOTIFY_SOCKET`.
///
/// One message is one datagram, so that several states in one call arrive together. Telling never waits: a manager that
/// does not read for long loses what does not fit, and hears the next state.
public final class ServiceNotifier: Sendable {
    private let descriptor: Int32
    private let address: SocketAddress

    /// Nil where nobody wants to be told.
    ///
    /// - Throws: `environment` where the name is neither a path nor an abstract name, `system` where there is no socket.
    public init?(_ environment: ServiceEnvironment) throws(ServiceManagerError) {
        guard let name = environment["NOTIFY_SOCKET"], !name.isEmpty else { return nil }
        guard let address = SocketAddress(name) else {
            throw ServiceManagerError(
                .environment,
                "Cannot tell the service manager anything: NOTIFY_SOCKET is '\(name)', expected an absolute path or '@' "
                    + "and a name, of at most \(SocketAddress.nameLimit) bytes. Unset it if there is none.")
        }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else {
            throw ServiceManagerError(
                .system,
                "Cannot tell the service manager anything: no socket (\(String(cString: strerror(errno)))). Raise the "
                    + "limit on open files.")
        }
        self.descriptor = descriptor
        self.address = address
    }

    deinit { close(descriptor) }

    /// Tells `states` in one message.
    ///
    /// - Returns: False if it did not arrive.
    @discardableResult
    public func tell(_ states: ServiceState...) -> Bool {
        let message = Array((states.map(\.assignment).joined(separator: "\n") + "\n").utf8)
        return address.withPointer { pointer, length in
            sendto(descriptor, message, message.count, Int32(MSG_NOSIGNAL | MSG_DONTWAIT), pointer, length)
                == message.count
        }
    }
}
