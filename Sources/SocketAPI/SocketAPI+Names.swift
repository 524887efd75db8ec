internal import Glibc

extension SocketAPI {
    /// The number of a user that is given by name or number.
    public static func userNumber(_ name: String) throws(SocketAPIError) -> UInt32 {
        if let number = UInt32(name) { return number }
        guard let entry = getpwnam(name) else {
            throw SocketAPIError(
                .unknownName,
                "Cannot use socket.allow_users: there is no user '\(name)' here. Make it, or leave it out.")
        }
        return entry.pointee.pw_uid
    }

    /// The number of a group that is given by name or number.
    public static func groupNumber(_ name: String) throws(SocketAPIError) -> UInt32 {
        if let number = UInt32(name) { return number }
        guard let entry = getgrnam(name) else {
            throw SocketAPIError(
                .unknownName,
                "Cannot use socket.allow_groups: there is no group '\(name)' here. Make it, or leave it out.")
        }
        return entry.pointee.gr_gid
    }
}
