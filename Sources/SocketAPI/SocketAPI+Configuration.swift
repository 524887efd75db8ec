public import CaptionService

extension SocketAPI {
    /// Where the socket is, who may use it, and how much of everything.
    public struct Configuration: Sendable {
        /// Where it listens.
        public enum Place: Sendable, Equatable {
            /// A socket is made at this path, of mode 0660 whatever the umask, and removed at the end.
            case path(String)
            /// A socket that listens already, as a service manager hands it over; it is left where it is.
            case descriptor(Int32)
        }

        public var place: Place
        /// User numbers that may connect. The default, like that of `allowedGroups`, is none; where both are empty,
        /// everyone may who can open the socket.
        public var allowedUsers: Set<UInt32> = []
        /// Group numbers, of which a user's own or another of their groups must be one.
        public var allowedGroups: Set<UInt32> = []
        /// What is asked about each frame that does not say otherwise.
        public var tasks = PictureTasks()
        public var limits = Limits()

        public init(place: Place) { self.place = place }

        public init(path: String) { self.init(place: .path(path)) }

        public init(descriptor: Int32) { self.init(place: .descriptor(descriptor)) }
    }

    /// How much of everything.
    public struct Limits: Sendable {
        /// Bytes of the request line, without its end. The default is 2 KiB.
        public var requestLine = 2 << 10
        /// Bytes of all header fields of a request, with their line ends. The default is 8 KiB.
        public var headers = 8 << 10
        /// Header fields of a request. The default is 64.
        public var headerFields = 64
        /// Bytes of a body, and of one picture of a stream. The default is 16 MiB.
        public var body = 16 << 20
        /// Bytes of all bodies that are in memory together. The default is 32 MiB.
        public var bodies = 32 << 20
        /// Connections. The default is 32.
        public var connections = 32
        /// Connections of one user. The default is 8.
        public var connectionsOfOneUser = 8
        /// For the head of a request, from its first byte or the beginning of the connection. The default is 5 seconds.
        public var header = Duration.seconds(5)
        /// Bytes a second that a body comes at, at least. The default is 64 KiB.
        public var bodyRate = 64 << 10
        /// What a body may be behind that rate. The default is 2 seconds.
        public var bodyGrace = Duration.seconds(2)
        /// How long nothing may come of a stream. The default is 60 seconds.
        public var streamSilence = Duration.seconds(60)
        /// How long a connection may do nothing between two requests. The default is 15 seconds.
        public var idle = Duration.seconds(15)
        /// How long an answer is waited for. The default is 120 seconds.
        public var inference = Duration.seconds(120)
        /// Bytes of JSON, without its picture. The default is 64 KiB.
        public var json = 64 << 10
        /// The default is 16.
        public var jsonDepth = 16

        public init() {}
    }
}
