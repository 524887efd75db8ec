public import FastVLM
public import LatencyBudget

/// All that the daemon is told: decoded from TOML or made from command-line options, validated, then never changed.
///
/// `etc/fastvlmd.toml` shows every key with its default.
public struct DaemonConfiguration: Sendable, Equatable {
    /// The models that may be asked for, at least one. The first answers where no other is asked for.
    public var models: [Model]
    public var sidecars = Sidecars()
    public var budget = Budget()
    public var status = Status()
    /// What programs on this machine may send over a socket. The default, nil, is nothing: there is no socket.
    public var socket: Socket?
    /// The folders to watch, at least one where there is no socket.
    public var watches: [Watch]

    /// `[model]`, or one of several `[[model]]`
    public struct Model: Sendable, Equatable {
        /// A packed file, or a folder in a public layout.
        public var path: String
        /// What folders and requests call it: 1 to 64 letters, digits, `.`, `_` and `-`, not starting with a dot. The
        /// default, nil, is the path's last component.
        public var name: String?
        /// Threads to compute on, 1...256. The default, 0, is one for each core that the process may use.
        public var threads = 0
        /// How long it stays in memory when there is nothing to do. The default is for as long as no other is asked for.
        public var keepAlive = KeepAlive.always

        /// How long a model without work stays in memory.
        public enum KeepAlive: Sendable, Equatable {
            /// Until another model is asked for.
            case always
            /// This long after the last frame.
            case after(Duration)
        }

        public init(path: String, name: String? = nil, threads: Int = 0, keepAlive: KeepAlive = .always) {
            self.path = path
            self.name = name
            self.threads = threads
            self.keepAlive = keepAlive
        }

        /// Its name, given or not: the path's last component without `.fastvlm`, and `-` for what no name may hold.
        public var key: String {
            if let name { return name }
            var last = path.split(separator: "/").last.map(String.init) ?? ""
            if last.hasSuffix(".fastvlm") { last.removeLast(8) }
            let plain = last.utf8.prefix(64).drop { $0 == UInt8(ascii: ".") }
                .map { Spool.isNameByte($0) ? $0 : UInt8(ascii: "-") }
            return plain.isEmpty ? "model" : String(decoding: plain, as: UTF8.self)
        }
    }

    /// `[sidecars]`
    public struct Sidecars: Sendable, Equatable {
        /// Where sidecars go, in the same relative places as their pictures, one subfolder for each watched
        /// folder's name. The default, nil, is beside the pictures.
        public var directory: String?

        public init(directory: String? = nil) {
            self.directory = directory
        }
    }

    /// `[budget]`: what holds for every folder that has a `budget_ms`.
    public struct Budget: Sendable, Equatable {
        /// The share of pictures that may be late, 0.001...0.5. The default is 0.01.
        public var missTarget = 0.01
        /// Where the device's profile is kept. The default, nil, is `$STATE_DIRECTORY`, and without it
        /// `/var/lib/fastvlmd`.
        public var profileDirectory: String?

        public init(missTarget: Double = 0.01, profileDirectory: String? = nil) {
            self.missTarget = missTarget
            self.profileDirectory = profileDirectory
        }
    }

    /// `[status]`
    public struct Status: Sendable, Equatable {
        /// A file that says how the daemon is, for those who read files; empty: none. The default, nil, is `status.json` in
        /// `$RUNTIME_DIRECTORY`, and none without that.
        public var file: String?

        public init(file: String? = nil) {
            self.file = file
        }
    }

    /// `[[watch]]`
    public struct Watch: Sendable, Equatable {
        /// The folder, an absolute path.
        public var path: String
        /// Says where a frame came from, `watch:NAME`. The default is the path's last component.
        public var name: String
        /// Whether folders beneath are watched too. The default is true.
        public var recursive = true
        /// Of the files that end in .jpg, .jpeg or .png, in any case, only those that match one of these shell
        /// patterns are taken. One without a slash is held against the name, one with a slash against the path beneath
        /// the folder. The default is none: all are taken.
        public var include: [String] = []
        /// Files, and folders with all that is in them, that are left out; patterns as above. The default is none.
        public var exclude: [String] = []
        /// Whether every picture is wanted, or only the newest. The default is every one.
        public var mode = Mode.durable
        /// How many pictures of a live folder wait, 1...64. The default is 1.
        public var keepNewest = 1
        /// Which pictures are read. The default is those without a result for their content.
        public var reprocess = Reprocess.changed
        /// Where results go. The default is what holds for all.
        public var sidecars = SidecarPlace.common
        public var tasks = PictureTasks()
        /// Whether what is asked about a picture may lie beside it.
        var isSpool = false

        public enum Mode: String, Sendable, CaseIterable {
            /// Every picture gets its result.
            case durable
            /// The newest pictures first; those that newer ones overtake are dropped without a result.
            case live
        }

        public enum Reprocess: String, Sendable, CaseIterable {
            /// Those that come while the folder is watched and have no result.
            case new
            /// Those without a result.
            case missing
            /// Those without a result, and those that changed since.
            case changed
        }

        public enum SidecarPlace: Sendable, Equatable {
            /// As `[sidecars]` says.
            case common
            /// Beside the pictures.
            case beside
            /// In the same relative places beneath this folder.
            case folder(String)
        }

        public init(path: String, name: String? = nil) {
            self.path = path
            self.name = name ?? path.split(separator: "/").last.map(String.init) ?? "root"
        }
    }

    /// `[socket]`
    public struct Socket: Sendable, Equatable {
        /// An absolute path of at most 100 bytes. The default is `/run/fastvlmd/api.sock`.
        public var path = Socket.usualPath
        /// Users, by name or number, who may connect. The default, like that of `allowedGroups`, is none; where both are
        /// empty, everyone may who can open the socket.
        public var allowedUsers: [String] = []
        /// Groups, by name or number, whose members may connect.
        public var allowedGroups: [String] = []
        /// Where frames that nobody waits for are kept until their turn comes, an absolute path. The default, nil, takes
        /// none.
        public var spool: String?
        /// MB of pictures and results that the spool may hold, 1...1,000,000. The default is 1000.
        public var spoolMegabytes = 1000
        /// Frames that the spool may hold, finished or not, 1...1,000,000. The default is 10,000.
        public var spoolFrames = 10_000
        /// Hours that a finished frame and its result stay in the spool, 1...8760. The default is 24.
        public var spoolHours = 24
        /// What is asked about each frame that does not say otherwise.
        public var tasks = PictureTasks()

        public static let usualPath = "/run/fastvlmd/api.sock"

        public init() {}
    }

    public init(
        models: [Model], sidecars: Sidecars = Sidecars(), budget: Budget = Budget(), status: Status = Status(),
        socket: Socket? = nil,
        watches: [Watch]
    ) {
        self.models = models
        self.sidecars = sidecars
        self.budget = budget
        self.status = status
        self.socket = socket
        self.watches = watches
    }

    /// With one model.
    public init(
        model: Model, sidecars: Sidecars = Sidecars(), budget: Budget = Budget(), status: Status = Status(),
        socket: Socket? = nil, watches: [Watch]
    ) {
        self.init(
            models: [model], sidecars: sidecars, budget: budget, status: status, socket: socket, watches: watches)
    }

    /// Whether some folder's budget decides anything, or a request's may.
    var hasBudget: Bool { socket != nil || watches.contains { $0.tasks.budget != nil && $0.tasks.followsBudget } }

    /// The folders to watch, with the spool.
    var allWatches: [Watch] {
        guard let socket, let spool = socket.spool else { return watches }
        var watch = Watch(path: spool, name: Spool.watchName)
        watch.tasks = socket.tasks
        watch.isSpool = true
        // Where the spool looks for what is finished.
        watch.sidecars = .beside
        return watches + [watch]
    }
}

/// What of the square that a picture is padded to is seen.
public enum PictureAspect: String, Sendable, CaseIterable {
    /// All of it, as the public models were trained.
    case square
    /// The picture without the black bars, with as much of them as makes both sides multiples of 64 pixels: fewer visual
    /// tokens for the same picture. Pictures in tiles are seen as squares.
    case native
}

/// What to ask about each picture, and how long an answer may be.
public struct PictureTasks: Sendable, Equatable {
    /// The model to ask, by a name of the configuration or its own, or its digest. The default, nil, is the first.
    public var model: String?
    /// What asks for the caption. The default is "Describe the image.". Empty: no caption, only answers. Where it may hold
    /// variables, ``filledIn(_:)`` says what becomes of them; the same holds for questions.
    public var prompt = PictureTasks.defaultPrompt
    /// Asked about the same picture, in this order. The default is none.
    public var questions: [Question] = []
    /// Side of the square that the encoder sees, in pixels. The default, nil, is what fits the budget, and without a
    /// budget the model's own default. Together with a budget only the length of the answer follows the budget.
    public var resolution: Int?
    /// Whether a picture that is larger than `resolution` is seen as an overview and four tiles of that resolution. The
    /// default is false: a budget takes such a step where the model's ladder has it.
    public var tiling = false
    /// Which part of the square is seen. The default is all of it.
    public var aspect = PictureAspect.square
    /// Milliseconds from a picture's arrival to its answer, 1...3,600,000. The default, nil, is no limit.
    public var budget: Double?
    /// What happens to a picture that cannot be answered in time. The default is that it is not started.
    public var whenLate = LatePolicy.expired
    /// Whether the budget decides anything. The default is true; false (`resolution = "off"`) answers at the model's own
    /// default and in full, and the result only says whether the budget was met.
    public var followsBudget = true
    /// Most tokens of a caption or an answer, 1...4096. The default is 240.
    public var maxTokens = PictureTasks.defaultMaxTokens
    /// 0 (the default) takes the likeliest word each time; up to 2, the higher the more varied.
    public var temperature = 0.0
    /// The share of probability to draw from, above 0 to 1. The default is 1.
    public var topP = 1.0
    /// Where the draws begin: the same seed gives the same answer. The default is 0.
    public var seed: UInt64 = 0

    /// What the prompt and the questions need of a picture together: the most demanding of them decides, reading before
    /// describing before counting before seeing whether something is there.
    public var needs: QuestionType {
        let all = (prompt.isEmpty ? [] : [.general]) + questions.map(\.needs)
        return [.text, .general, .counting, .presence].first(where: all.contains) ?? .general
    }

    public static let defaultPrompt = "Describe the image."
    public static let defaultMaxTokens = 240

    /// One question with the name of its answer.
    public struct Question: Sendable, Equatable {
        /// Names the answer in the sidecar.
        public var id: String
        public var text: String
        /// What its answer may be. The default is any text.
        public var type: AnswerType
        /// What it needs of a picture: a budget chooses the resolution by what the model's package says of such questions.
        public var needs: QuestionType

        /// - Parameter needs: The default, nil, is ``usualNeeds(of:)`` its type.
        public init(id: String, text: String, type: AnswerType = .text, needs: QuestionType? = nil) {
            self.id = id
            self.text = text
            self.type = type
            self.needs = needs ?? Self.usualNeeds(of: type)
        }

        /// What a question with answers of this type needs if nobody says more: yes or no is seeing whether something is
        /// there, a whole number is counting, and of the others nothing in particular is known.
        public static func usualNeeds(of type: AnswerType) -> QuestionType {
            switch type {
            case .boolean: .presence
            case .integer: .counting
            case .text, .number, .choice: .general
            }
        }
    }

    public init() {}
}
