internal import FastVLM

extension PictureTasks {
    /// Tiles along each side of a picture that is seen in tiles.
    public static let tilesAcross = 2
    public static let resolutionRange = 64...4096
    /// Milliseconds.
    public static let budgetRange = 1.0...3_600_000.0
    public static let maxTokensRange = 1...4096
    public static let temperatureRange = 0.0...2.0
    public static let topPRange = 0.001...1.0
    /// Most bytes of a prompt or a question.
    public static let promptByteLimit = 8192
    /// Most questions about one picture.
    public static let questionLimit = 64

    /// Checks every value; `subject` and `place` say whose they are.
    public func validate(subject: String, place: String) throws(ConfigurationError) {
        func invalid(_ key: String, _ value: String, _ expected: String) -> ConfigurationError {
            ConfigurationError(
                .invalidValue, "Cannot use \(subject): \(place).\(key) is \(value), expected \(expected).")
        }
        if let resolution, !Self.resolutionRange.contains(resolution) {
            throw invalid("resolution", "\(resolution)", "\(Self.resolutionRange) pixels")
        }
        if let budget, !Self.budgetRange.contains(budget) {
            throw invalid("budget_ms", "\(budget)", "\(Self.budgetRange)")
        }
        if let resolution, !followsBudget {
            throw ConfigurationError(
                .conflict, "Cannot use \(subject): \(place).resolution is both \(resolution) and \"off\". Choose one.")
        }
        guard Self.maxTokensRange.contains(maxTokens) else {
            throw invalid("max_tokens", "\(maxTokens)", "\(Self.maxTokensRange)")
        }
        guard Self.temperatureRange.contains(temperature) else {
            throw invalid("temperature", "\(temperature)", "\(Self.temperatureRange)")
        }
        guard Self.topPRange.contains(topP) else { throw invalid("top_p", "\(topP)", "\(Self.topPRange)") }
        guard prompt.utf8.count <= Self.promptByteLimit else {
            throw invalid("prompt", "\(prompt.utf8.count) bytes long", "at most \(Self.promptByteLimit)")
        }
        guard !prompt.isEmpty || !questions.isEmpty else {
            throw ConfigurationError(
                .conflict,
                "Cannot use \(subject): \(place).prompt is empty and there are no questions, so that there is "
                    + "nothing to do. Set a prompt or a question.")
        }
        guard questions.count <= Self.questionLimit else {
            throw invalid("questions", "\(questions.count) long", "at most \(Self.questionLimit)")
        }
        var ids = Set<String>()
        for question in questions {
            guard (1...64).contains(question.id.utf8.count), question.id.unicodeScalars.allSatisfy({ $0.value >= 0x20 })
            else { throw invalid("questions.id", "'\(question.id)'", "1 to 64 bytes without control characters") }
            guard ids.insert(question.id).inserted else {
                throw ConfigurationError(
                    .conflict,
                    "Cannot use \(subject): \(place).questions has the id '\(question.id)' twice. Give each its own.")
            }
            do {
                try question.type.validate()
            } catch {
                throw ConfigurationError(
                    .invalidValue, "Cannot use \(subject): \(place).questions, '\(question.id)': \(error.message)")
            }
            guard question.text.utf8.count <= Self.promptByteLimit else {
                throw invalid(
                    "questions.question", "\(question.text.utf8.count) bytes long", "at most \(Self.promptByteLimit)")
            }
        }
    }
}

extension DaemonConfiguration.Budget {
    public static let missTargetRange = 0.001...0.5
}

extension DaemonConfiguration.Model {
    /// Seconds, up to a week. Less than one would unload between two frames of one batch.
    public static let keepAliveRange = 1...604_800
    /// Whatever it is called, the first model answers to it.
    public static let standardName = "default"
}

extension DaemonConfiguration.Watch {
    public static let keepNewestRange = 1...64
}

extension DaemonConfiguration {
    /// Checks every value and what must hold between them; `subject` names the whole in messages.
    public func validate(subject: String) throws(ConfigurationError) {
        func invalid(_ key: String, _ value: String, _ expected: String) -> ConfigurationError {
            ConfigurationError(.invalidValue, "Cannot use \(subject): \(key) is \(value), expected \(expected).")
        }
        try validateModels(subject: subject)
        guard !watches.isEmpty || socket != nil else {
            throw ConfigurationError(
                .missingKey,
                "Cannot use \(subject): there is no folder to watch. Add a [[watch]] with path = \"…\", or a [socket].")
        }
        guard watches.count <= Self.watchLimit else {
            throw invalid("watch", "\(watches.count) folders", "at most \(Self.watchLimit)")
        }
        if let directory = sidecars.directory, !directory.hasPrefix("/") {
            throw invalid("sidecars.directory", "'\(directory)'", "an absolute path")
        }
        guard Budget.missTargetRange.contains(budget.missTarget) else {
            throw invalid("budget.miss_target", "\(budget.missTarget)", "\(Budget.missTargetRange)")
        }
        if let directory = budget.profileDirectory, !directory.hasPrefix("/") {
            throw invalid("budget.profile_directory", "'\(directory)'", "an absolute path")
        }
        try socket?.validate(subject: subject)
        if let socket { try validateModel(of: socket.tasks, subject: subject, place: "socket") }
        if let file = status.file, !file.isEmpty, !file.hasPrefix("/") || file.hasSuffix("/") {
            throw invalid("status.file", "'\(file)'", "an absolute path, or \"\" for none")
        }
        var names: Set<String> = socket?.spool == nil ? [] : [Spool.watchName]
        var places = Set<String>()
        for (index, watch) in watches.enumerated() {
            let place = "watch[\(index)]"
            guard watch.path.hasPrefix("/") else {
                throw invalid("\(place).path", "'\(watch.path)'", "an absolute path")
            }
            guard (1...64).contains(watch.name.utf8.count), !watch.name.contains("/"), watch.name != "..",
                watch.name != ".",
                watch.name.unicodeScalars.allSatisfy({ $0.value >= 0x20 })
            else {
                throw invalid("\(place).name", "'\(watch.name)'", "1 to 64 bytes without '/' and control characters")
            }
            guard names.insert(watch.name).inserted else {
                throw ConfigurationError(
                    .conflict,
                    "Cannot use \(subject): two watched folders are called '\(watch.name)'. Give one another name.")
            }
            guard Watch.keepNewestRange.contains(watch.keepNewest) else {
                throw invalid("\(place).keep_newest", "\(watch.keepNewest)", "\(Watch.keepNewestRange)")
            }
            if case .common = watch.sidecars, let directory = sidecars.directory {
                places.insert("\(directory)/\(watch.name)")
            }
            if case .folder(let folder) = watch.sidecars {
                guard folder.hasPrefix("/") else {
                    throw invalid("\(place).sidecars", "'\(folder)'", "an absolute path, or \"beside\"")
                }
                guard places.insert(folder).inserted else {
                    throw ConfigurationError(
                        .conflict,
                        "Cannot use \(subject): two watched folders keep their sidecars in '\(folder)'. Give each a folder "
                            + "of its own.")
                }
            }
            try validateModel(of: watch.tasks, subject: subject, place: place)
            try watch.tasks.validate(subject: subject, place: place)
            try watch.tasks.validateVariables(subject: subject, place: place)
        }
        try refuseNestedFolders(subject: subject)
    }

    /// Checks every model, and that no two have one name.
    private func validateModels(subject: String) throws(ConfigurationError) {
        guard (1...Self.modelLimit).contains(models.count) else {
            throw ConfigurationError(
                models.isEmpty ? .missingKey : .invalidValue,
                "Cannot use \(subject): there are \(models.count) models, expected 1 to \(Self.modelLimit).")
        }
        var keys = Set<String>()
        for (index, model) in models.enumerated() {
            let place = models.count == 1 ? "model" : "model[\(index)]"
            func invalid(_ key: String, _ value: String, _ expected: String) -> ConfigurationError {
                ConfigurationError(
                    .invalidValue, "Cannot use \(subject): \(place).\(key) is \(value), expected \(expected).")
            }
            guard (0...256).contains(model.threads) else {
                throw invalid("threads", "\(model.threads)", "0 (all cores) to 256")
            }
            guard model.name.map(Spool.isSourceName) ?? true, model.name != Model.standardName else {
                throw invalid(
                    "name", "'\(model.name ?? "")'",
                    "1 to 64 letters, digits, '.', '_' and '-', not starting with a dot, and not 'default'")
            }
            guard keys.insert(model.key).inserted else {
                throw ConfigurationError(
                    .conflict,
                    "Cannot use \(subject): two models are called '\(model.key)'. Give one another name.")
            }
        }
    }

    private func validateModel(
        of tasks: PictureTasks, subject: String, place: String
    ) throws(ConfigurationError) {
        guard let name = tasks.model, name != Model.standardName, !models.contains(where: { $0.key == name }) else {
            return
        }
        throw ConfigurationError(
            .invalidValue,
            "Cannot use \(subject): \(place).model is '\(name)', expected one of "
                + models.map { "'\($0.key)'" }.joined(separator: ", ") + ". Add a [[model]] with that name.")
    }

    /// Most models.
    public static let modelLimit = 16

    /// Most folders that may be watched.
    public static let watchLimit = 256

    /// A folder inside another that is watched with its subfolders would have each picture captioned twice.
    private func refuseNestedFolders(subject: String) throws(ConfigurationError) {
        func components(_ path: String) -> [Substring] { path.split(separator: "/").filter { $0 != "." } }
        for outer in allWatches {
            for inner in allWatches where inner.name != outer.name {
                let (outside, inside) = (components(outer.path), components(inner.path))
                guard inside.starts(with: outside), outer.recursive || inside.count == outside.count else { continue }
                throw ConfigurationError(
                    .conflict,
                    "Cannot use \(subject): '\(inner.path)' lies in '\(outer.path)', which is watched already. Watch "
                        + "one of them, or set recursive = false on the outer one.")
            }
        }
    }
}

extension DaemonConfiguration.Socket {
    /// Most bytes of the socket's path: the system has room for 107, and some are needed beside it at the start.
    public static let pathByteLimit = 100
    /// Most users, and most groups, that are named.
    public static let allowedLimit = 64
    public static let spoolMegabytesRange = 1...1_000_000
    public static let spoolFramesRange = 1...1_000_000
    public static let spoolHoursRange = 1...8760

    fileprivate func validate(subject: String) throws(ConfigurationError) {
        func invalid(_ key: String, _ value: String, _ expected: String) -> ConfigurationError {
            ConfigurationError(.invalidValue, "Cannot use \(subject): socket.\(key) is \(value), expected \(expected).")
        }
        guard path.hasPrefix("/"), !path.hasSuffix("/"), path.utf8.count <= Self.pathByteLimit,
            !path.utf8.contains(0)
        else {
            throw invalid("path", "'\(path)'", "an absolute path of at most \(Self.pathByteLimit) bytes")
        }
        for (key, names) in [("allow_users", allowedUsers), ("allow_groups", allowedGroups)] {
            guard names.count <= Self.allowedLimit, names.allSatisfy({ (1...64).contains($0.utf8.count) }) else {
                throw invalid(key, "\(names)", "at most \(Self.allowedLimit) names or numbers")
            }
        }
        if let spool, !spool.hasPrefix("/") { throw invalid("spool", "'\(spool)'", "an absolute path") }
        guard Self.spoolMegabytesRange.contains(spoolMegabytes) else {
            throw invalid("spool_mb", "\(spoolMegabytes)", "\(Self.spoolMegabytesRange)")
        }
        guard Self.spoolFramesRange.contains(spoolFrames) else {
            throw invalid("spool_frames", "\(spoolFrames)", "\(Self.spoolFramesRange)")
        }
        guard Self.spoolHoursRange.contains(spoolHours) else {
            throw invalid("spool_hours", "\(spoolHours)", "\(Self.spoolHoursRange)")
        }
        try tasks.validate(subject: subject, place: "socket")
        // What comes over a socket has no file.
        try tasks.validateVariables(subject: subject, place: "socket", hasFile: false)
    }
}
