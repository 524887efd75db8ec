public import FastVLM
public import LatencyBudget

/// All that the daemon is told: decoded from TOML or made from command-line options, validated, then never changed.
///
/// `etc/fastvlmd.toml` shows every key with its default.
public struct DaemonConfiguration: Sendable, Equatable {
    public var model: Model
    public var sidecars = Sidecars()
    public var budget = Budget()
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

    public init(model: Model, sidecars: Sidecars = Sidecars(), budget: Budget = Budget(), watches: [Watch]) {
        self.model = model
        self.sidecars = sidecars
        self.budget = budget
        self.watches = watches
    }

    /// Whether some folder's budget decides anything.
    var hasBudget: Bool { watches.contains { $0.tasks.budget != nil && $0.tasks.followsBudget } }
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
    /// What asks for the caption. The default is "Describe the image.". Empty: no caption, only answers. Where it may hold
    /// placeholders, ``filledIn(_:)`` says what becomes of them; the same holds for questions.
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

    public static let defaultPrompt = "Describe the image."
    public static let defaultMaxTokens = 240

    /// One question with the name of its answer.
    public struct Question: Sendable, Equatable {
        /// Names the answer in the sidecar.
        public var id: String
        public var text: String
        /// What its answer may be. The default is any text.
        public var type: AnswerType

        public init(id: String, text: String, type: AnswerType = .text) {
            self.id = id
            self.text = text
            self.type = type
        }
    }

    public init() {}
}
