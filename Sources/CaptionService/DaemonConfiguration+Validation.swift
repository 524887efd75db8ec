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

extension DaemonConfiguration {
    /// Checks every value and what must hold between them; `subject` names the whole in messages.
    public func validate(subject: String) throws(ConfigurationError) {
        func invalid(_ key: String, _ value: String, _ expected: String) -> ConfigurationError {
            ConfigurationError(.invalidValue, "Cannot use \(subject): \(key) is \(value), expected \(expected).")
        }
        guard (0...256).contains(model.threads) else {
            throw invalid("model.threads", "\(model.threads)", "0 (all cores) to 256")
        }
        guard !watches.isEmpty else {
            throw ConfigurationError(
                .missingKey, "Cannot use \(subject): there is no folder to watch. Add a [[watch]] with path = \"…\".")
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
        var names = Set<String>()
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
            try watch.tasks.validate(subject: subject, place: place)
            try watch.tasks.validatePlaceholders(subject: subject, place: place)
        }
        try refuseNestedFolders(subject: subject)
    }

    /// Most folders that may be watched.
    public static let watchLimit = 256

    /// A folder inside another that is watched with its subfolders would have each picture captioned twice.
    private func refuseNestedFolders(subject: String) throws(ConfigurationError) {
        func components(_ path: String) -> [Substring] { path.split(separator: "/").filter { $0 != "." } }
        for outer in watches {
            for inner in watches where inner.name != outer.name {
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
