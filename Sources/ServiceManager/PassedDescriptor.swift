internal import Glibc

/// A socket that the service manager opened for the service (sd_listen_fds(3)).
public struct PassedDescriptor: Sendable, Equatable {
    /// `FileDescriptorName=` of the socket's unit; `unknown` where the manager gave none.
    public let name: String
    /// Open; whoever takes it closes it.
    public let number: Int32

    package init(name: String, number: Int32) {
        self.name = name
        self.number = number
    }

    /// The first descriptor that is passed.
    public static let first: Int32 = 3
    /// More are a mistake.
    static let limit = 64
}

extension ServiceEnvironment {
    /// The descriptors that were passed, each from now on closed in child processes; empty if there are none.
    ///
    /// - Parameter first: The number of the first one.
    /// - Throws: `environment` where count and names do not fit, or a number is not open.
    public func passedDescriptors(first: Int32 = PassedDescriptor.first) throws(ServiceManagerError)
        -> [PassedDescriptor]
    {
        // Without the process's number nobody knows whose they are.
        guard let value = self["LISTEN_FDS"], self["LISTEN_PID"] != nil, isMeantForUs("LISTEN_PID") else { return [] }
        guard let count = Int32(value), (0...Int32(PassedDescriptor.limit)).contains(count) else {
            throw ServiceManagerError(
                .environment,
                "Cannot take the passed sockets: LISTEN_FDS is '\(value)', expected 0 to \(PassedDescriptor.limit).")
        }
        var names = self["LISTEN_FDNAMES"].map {
            $0.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        }
        if names == [""], count == 0 { names = [] }
        if let names, names.count != Int(count) {
            throw ServiceManagerError(
                .environment,
                "Cannot take the passed sockets: LISTEN_FDNAMES has \(names.count) names, expected \(count).")
        }
        var descriptors: [PassedDescriptor] = []
        for index in 0..<count {
            let number = first + index
            let flags = fcntl(number, F_GETFD)
            guard flags >= 0, fcntl(number, F_SETFD, flags | FD_CLOEXEC) == 0 else {
                throw ServiceManagerError(
                    .environment, "Cannot take the passed sockets: descriptor \(number) of \(count) is not open.")
            }
            descriptors.append(PassedDescriptor(name: names?[Int(index)] ?? "unknown", number: number))
        }
        return descriptors
    }
}
