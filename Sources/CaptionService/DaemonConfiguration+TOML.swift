internal import FoundationEssentials
internal import FastVLM
internal import LatencyBudget

extension DaemonConfiguration {
    /// Largest configuration file that is read: 1 MiB.
    static let maximumByteCount = 1 << 20

    /// Reads and validates the file at `path`.
    public init(file path: String) throws(ConfigurationError) {
        let text: String
        do {
            let size = FileFacts(path: path)?.bytes ?? 0
            guard size <= Self.maximumByteCount else {
                throw ConfigurationError(
                    .unreadable,
                    "Cannot read the configuration '\(path)': \(size) bytes, expected at most \(Self.maximumByteCount)."
                )
            }
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch let error as ConfigurationError {
            throw error
        } catch {
            throw ConfigurationError(
                .unreadable,
                "Cannot read the configuration '\(path)': it is missing, not readable by this user, or not UTF-8.")
        }
        try self.init(toml: text, file: path)
    }

    /// Decodes and validates `text`; `file` names it in messages.
    public init(toml text: String, file: String) throws(ConfigurationError) {
        var top = try ConfigurationTable(parsing: text, file: file)
        var models: [Model] = []
        for var table in try top.tables("model") {
            var model = Model(path: try table.required("path", example: "/var/lib/fastvlmd/model.fastvlm"))
            model.name = try table.string("name")
            model.threads = try table.integer("threads", 0...256) ?? model.threads
            switch try table.integer("keep_alive", Model.keepAliveRange, or: ["always"]) {
            case .number(let seconds): model.keepAlive = .after(.seconds(seconds))
            case .word, nil: break
            }
            try table.finish()
            models.append(model)
        }
        guard !models.isEmpty else {
            throw ConfigurationError(
                .missingKey,
                "Cannot use the configuration '\(file)': there is no [model]. Add it with path = \"…\".")
        }

        var sidecars = Sidecars()
        if var table = try top.subtable("sidecars") {
            sidecars.directory = try table.string("directory")
            try table.finish()
        }
        var budget = Budget()
        if var table = try top.subtable("budget") {
            budget.missTarget = try table.number("miss_target", Budget.missTargetRange) ?? budget.missTarget
            budget.profileDirectory = try table.string("profile_directory")
            try table.finish()
        }
        var status = Status()
        if var table = try top.subtable("status") {
            status.file = try table.string("file")
            try table.finish()
        }
        var defaults = PictureTasks()
        if var table = try top.subtable("defaults") {
            defaults = try table.pictureTasks(defaults)
            try table.finish()
        }
        var socket: Socket?
        if var table = try top.subtable("socket") {
            var told = Socket()
            told.path = try table.string("path") ?? told.path
            told.allowedUsers = try table.strings("allow_users") ?? []
            told.allowedGroups = try table.strings("allow_groups") ?? []
            told.spool = try table.string("spool")
            told.spoolMegabytes = try table.integer("spool_mb", Socket.spoolMegabytesRange) ?? told.spoolMegabytes
            told.spoolFrames = try table.integer("spool_frames", Socket.spoolFramesRange) ?? told.spoolFrames
            told.spoolHours = try table.integer("spool_hours", Socket.spoolHoursRange) ?? told.spoolHours
            told.tasks = try table.pictureTasks(defaults)
            try table.finish()
            socket = told
        }
        var watches: [Watch] = []
        for var table in try top.subtables("watch") {
            var watch = Watch(
                path: try table.required("path", example: "/srv/cameras/gate"), name: try table.string("name"))
            watch.recursive = try table.bool("recursive") ?? watch.recursive
            watch.include = try table.strings("include") ?? watch.include
            watch.exclude = try table.strings("exclude") ?? watch.exclude
            try watch.takePolicies(&table)
            watch.tasks = try table.pictureTasks(defaults)
            try table.finish()
            watches.append(watch)
        }
        try top.finish()
        self.init(
            models: models, sidecars: sidecars, budget: budget, status: status, socket: socket, watches: watches)
        try validate(subject: "the configuration '\(file)'")
    }
}

extension DaemonConfiguration.Watch {
    /// Which pictures of the folder are read, and where their results go.
    fileprivate mutating func takePolicies(_ table: inout ConfigurationTable) throws(ConfigurationError) {
        if let word = try table.word("mode", Mode.allCases.map(\.rawValue)) { mode = Mode(rawValue: word) ?? mode }
        if let count = try table.integer("keep_newest", Self.keepNewestRange) {
            guard mode == .live else {
                throw table.invalid("keep_newest", "\(count)", expected: "nothing, because mode is not \"live\"")
            }
            keepNewest = count
        }
        // What lay there before is of no use to who wants to know how things are now.
        if mode == .live { reprocess = .new }
        if let word = try table.word("reprocess", Reprocess.allCases.map(\.rawValue)) {
            reprocess = Reprocess(rawValue: word) ?? reprocess
        }
        switch try table.string("sidecars") {
        case nil: break
        case "beside": sidecars = .beside
        case let folder?: sidecars = .folder(folder)
        }
    }
}

extension ConfigurationTable {
    /// The keys that `[defaults]`, `[socket]` and each `[[watch]]` share; what is absent stays as in `defaults`.
    fileprivate mutating func pictureTasks(_ defaults: PictureTasks) throws(ConfigurationError) -> PictureTasks {
        var tasks = defaults
        tasks.model = try string("model") ?? tasks.model
        tasks.prompt = try string("prompt") ?? tasks.prompt
        switch try integer("resolution", PictureTasks.resolutionRange, or: ["auto", "off"]) {
        case .number(let pixels): (tasks.resolution, tasks.followsBudget) = (pixels, true)
        case .word(let word): (tasks.resolution, tasks.followsBudget) = (nil, word == "auto")
        case nil: break
        }
        tasks.tiling = try bool("tiling") ?? tasks.tiling
        if let word = try word("aspect", PictureAspect.allCases.map(\.rawValue)) {
            tasks.aspect = PictureAspect(rawValue: word) ?? tasks.aspect
        }
        tasks.budget = try number("budget_ms", PictureTasks.budgetRange) ?? tasks.budget
        if let word = try word("when_late", LatePolicy.allCases.map(\.rawValue)) {
            tasks.whenLate = LatePolicy(rawValue: word) ?? tasks.whenLate
        }
        tasks.maxTokens = try integer("max_tokens", PictureTasks.maxTokensRange) ?? tasks.maxTokens
        tasks.temperature = try number("temperature", PictureTasks.temperatureRange) ?? tasks.temperature
        tasks.topP = try number("top_p", PictureTasks.topPRange) ?? tasks.topP
        tasks.seed = try integer("seed", 0...Int.max).map(UInt64.init) ?? tasks.seed
        let questions = try subtables("questions")
        if !questions.isEmpty {
            tasks.questions = []
            for var table in questions {
                tasks.questions.append(
                    PictureTasks.Question(
                        id: try table.required("id", example: "lamp"),
                        text: try table.required("question", example: "Is the red lamp on?"),
                        type: try table.answerType(),
                        needs: try table.word("needs", QuestionType.allCases.map(\.rawValue))
                            .flatMap(QuestionType.init)))
                try table.finish()
            }
        }
        return tasks
    }

    /// `type`, and the `options` of a choice.
    private mutating func answerType() throws(ConfigurationError) -> AnswerType {
        let word = try word("type", AnswerType.words) ?? AnswerType.text.word
        let options = try strings("options")
        do throws(FastVLMError) {
            guard options == nil || word == "choice" else {
                throw FastVLMError(.answerType, "options for the type '\(word)', expected them for 'choice' alone")
            }
            return try AnswerType(word: word, options: options ?? [])
        } catch {
            throw invalid("options", "\(options ?? [])", expected: "other options. \(error.message)")
        }
    }
}
