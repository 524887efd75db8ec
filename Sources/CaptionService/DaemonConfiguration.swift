/// All that the daemon is told: decoded from TOML or made from command-line options, validated, then never changed.
///
/// `etc/fastvlmd.toml` shows every key with its default.
public struct DaemonConfiguration: Sendable, Equatable {
    public var model: Model
    public var sidecars = Sidecars()
    /// The folders to watch, at least one.
    public var watches: [Watch]

    /// `[model]`
    public struct Model: Sendable, Equatable {
        /// A packed file, or a folder in a public layout.
        public var path: String
        /// Threads to compute on, 1...256. The default, 0, is one for each core that the process may use.
        public var threads = 0

        public init(path: String, threads: Int = 0) {
            self.path = path
            self.threads = threads
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
        public var tasks = PictureTasks()

        public init(path: String, name: String? = nil) {
            self.path = path
            self.name = name ?? path.split(separator: "/").last.map(String.init) ?? "root"
        }
    }

    public init(model: Model, sidecars: Sidecars = Sidecars(), watches: [Watch]) {
        self.model = model
        self.sidecars = sidecars
        self.watches = watches
    }
}

/// What to ask about each picture, and how long an answer may be.
public struct PictureTasks: Sendable, Equatable {
    /// What asks for the caption. The default is "Describe the image.". Empty: no caption, only answers.
    public var prompt = PictureTasks.defaultPrompt
    /// Asked about the same picture, in this order. The default is none.
    public var questions: [Question] = []
    /// Side of the square that the encoder sees, in pixels. The default, nil, is the model's own default.
    public var resolution: Int?
    /// Most tokens of a caption or an answer, 1...4096. The default is 240.
    public var maxTokens = PictureTasks.defaultMaxTokens
    /// 0 (the default) takes the likeliest word each time; up to 2, the higher the more varied.
    public var temperature = 0.0
    /// The share of probability to draw from, above 0 to 1. The default is 1.
    public var topP = 1.0
    /// Where the draws begin: the same seed gives the same answer. The default is 0.
    public var seed: UInt64 = 0

    public static let defaultPrompt = "Describe the image."
    public static let defaultMaxTokens = 240

    /// One question with the name of its answer.
    public struct Question: Sendable, Equatable {
        /// Names the answer in the sidecar.
        public var id: String
        public var text: String

        public init(id: String, text: String) {
            self.id = id
            self.text = text
        }
    }

    public init() {}
}
