public import FrameSources
internal import Images
internal import LatencyBudget
public import Logging
public import ServiceLifecycle
public import Sidecars

/// Takes settled pictures from watched folders, has an engine read them, and commits what it says as sidecars.
///
/// One picture at a time: the engine uses every core. The sidecar is the record that a picture is done; whatever
/// happens before it is committed, the next scan finds the picture again.
public struct FolderCaptionService: Service {
    let source: FolderSource
    /// Answers the folders' pictures and those of other sources.
    public let answerer: FrameAnswerer
    let folders: CaptionedFolders
    /// Nil where crashes are not counted.
    private let journal: InFlightJournal?
    private let memory: MemoryBudget
    private let heartbeat: Heartbeat
    private let onWatching: @Sendable () -> Void
    private let onCommit: @Sendable (CommittedResult) -> Void
    let logger: Logger

    /// Opens the folders and removes what unfinished commits left in them.
    ///
    /// - Parameters:
    ///   - planner: Keeps the budgets of all folders and of whoever shares the engine. The default, nil, is none where
    ///     nothing has a budget, else one that knows nothing of the device and learns it from the first pictures.
    ///   - journal: Counts the crashes of the process that each picture was in flight at. The default, nil, counts none.
    ///   - memory: What pictures may take, together with all others who hold some of it. The default is 64 MiB of its own.
    ///   - options: How folders are watched.
    ///   - requiresFolders: Whether a folder that is missing is an error. The default is false: it is waited for.
    ///   - degraded: What is known not to work as it should, for the results' health.
    ///   - heartbeat: Beats while a picture is in work. The default is one of its own.
    ///   - onWatching: Called once, when the folders are watched.
    ///   - onCommit: Told of each result when its sidecar is on the disk.
    public init(
        _ configuration: DaemonConfiguration, engine: any PictureEngine, planner: FramePlanner? = nil,
        journal: InFlightJournal? = nil, memory: MemoryBudget = MemoryBudget(limit: 64 << 20),
        options: FolderSourceOptions = .init(), requiresFolders: Bool = false, degraded: Set<String> = [],
        heartbeat: Heartbeat = Heartbeat(), logger: Logger,
        onWatching: @escaping @Sendable () -> Void = {},
        onCommit: @escaping @Sendable (CommittedResult) -> Void = { _ in }
    ) throws(DaemonError) {
        try self.init(
            configuration,
            answerer: FrameAnswerer(
                models: ModelShelf(
                    engine, planner: planner ?? configuration.usualPlanner(engine, logger),
                    models: configuration.models), degraded: degraded),
            journal: journal, memory: memory, options: options, requiresFolders: requiresFolders, heartbeat: heartbeat,
            logger: logger,
            onWatching: onWatching, onCommit: onCommit)
    }

    /// As the other, for folders that share the engine with other sources.
    public init(
        _ configuration: DaemonConfiguration, answerer: FrameAnswerer, journal: InFlightJournal? = nil,
        memory: MemoryBudget = MemoryBudget(limit: 64 << 20), options: FolderSourceOptions = .init(),
        requiresFolders: Bool = false, heartbeat: Heartbeat = Heartbeat(),
        logger: Logger, onWatching: @escaping @Sendable () -> Void = {},
        onCommit: @escaping @Sendable (CommittedResult) -> Void = { _ in }
    ) throws(DaemonError) {
        var folders: [String: CaptionedFolder] = [:]
        for (number, watch) in configuration.allWatches.enumerated() {
            // Its folder is the daemon's own: made where it is missing.
            if watch.isSpool { _ = try Spool(path: watch.path) }
            folders[watch.name] = try CaptionedFolder(
                watch, number: number, sidecars: configuration.sidecars, isRequired: requiresFolders, logger: logger)
        }
        let known = CaptionedFolders(folders)
        let source: FolderSource
        do {
            source = try FolderSource(
                folders: configuration.allWatches.map(\.folder),
                options: options,
                questions: FrameQuestions(
                    hasEnd: { tail, _ in ImageFormat.allCases.contains { $0.hasEndMarker(inTail: tail) } },
                    isDone: { candidate in known[candidate.root]?.isDone(candidate) ?? true }))
        } catch {
            throw DaemonError(.folder, error.message)
        }
        self.source = source
        self.folders = known
        self.answerer = answerer
        self.journal = journal
        self.memory = memory
        self.heartbeat = heartbeat
        self.onWatching = onWatching
        self.onCommit = onCommit
        self.logger = logger
        answerer.condition.add {
            ServiceCondition.Part(
                waiting: source.counters.waiting,
                degraded: source.degraded.values.reduce(into: []) { $0.formUnion($1.map(\.rawValue)) })
        }
    }

    /// What happened so far.
    public var counters: FolderCounters { source.counters }

    /// Looks through all folders for pictures without a sidecar.
    public func requestScan() { source.requestScan() }

    /// Works until a graceful shutdown, then finishes the picture at hand; a cancellation puts it back.
    public func run() async throws {
        do {
            try source.start()
        } catch {
            throw DaemonError(.folder, error.message)
        }
        logger.info(
            "Watching",
            metadata: ["folders": "\(folders.all.values.map(\.watch.path).sorted().joined(separator: ", "))"])
        onWatching()
        await withGracefulShutdownHandler {
            while !Task.isShuttingDownGracefully,
                let candidate = await cancelWhenGracefulShutdown({ await source.next { rank(of: $0).rawValue } })
            {
                // A file over the limit is refused without being read.
                let size = min(candidate.identity.size, ImageLimits().bytes, memory.limit)
                guard let room = try? await memory.hold(size) else {
                    source.finish(candidate, .putBack)
                    continue
                }
                heartbeat.begin()
                let outcome = await caption(candidate)
                heartbeat.end()
                room.end()
                source.finish(candidate, outcome)
                journal?.clear(InFlightKey(candidate), isSettled: outcome != .putBack)
            }
        } onGracefulShutdown: {
            // However that ends, it was asked for.
            journal?.pause()
        }
        for planner in answerer.models.planners { planner.keepWhatWasLearned() }
        await source.stop()
    }

    /// Does all that is to be done for one picture.
    private func caption(_ candidate: FrameCandidate) async -> FrameOutcome {
        guard let folder = folders[candidate.root] else { return .vanished }
        var logger = logger
        logger[metadataKey: "picture"] = "\(candidate.root)/\(candidate.path)"
        let tasks = folder.tasks(for: candidate)
        let turn = await answerer.desk.turn(claim(of: candidate, folder, tasks)) {
            await answer(candidate, folder, tasks)
        }
        guard case .taken(let step) = turn else { return .putBack }
        switch step {
        case .outcome(let outcome): return outcome
        case .hold(let reason):
            await hold(for: reason, model: tasks.model, logger)
            return .putBack
        case .commit(let document): return await commit(document, candidate, folder, logger)
        }
    }

    /// What is left to do for a picture when its turn is over and others may use the engine.
    private enum Step: Sendable {
        case commit(SidecarDocument)
        case outcome(FrameOutcome)
        /// Nothing is known against the picture: it comes again after a pause.
        case hold(String)
    }

    /// How the picture competes: one that has a budget and has just come by its deadline, the others as backlog.
    private func claim(
        of candidate: FrameCandidate, _ folder: CaptionedFolder, _ tasks: PictureTasks
    ) -> FrameDesk.Claim {
        let hasDeadline = candidate.sign != .found && tasks.followsBudget && tasks.budget != nil
        var claim = answerer.claim(
            tasks, source: folder.origin(of: candidate), kind: hasDeadline ? .request : .backlog,
            budgetStart: candidate.arrival)
        if !hasDeadline { claim.budget = nil }
        claim.isFollowed = { [source, folders, answerer, model = claim.model] in
            source.waiting.contains { answerer.models.key(of: folders[$0.root]?.watch.tasks.model) == model }
        }
        return claim
    }

    /// Which folder's pictures come first: one after the other model by model, and last those whose model cannot be loaded.
    private enum Rank: Int {
        case first, otherModel, paused
    }

    private func rank(of folder: String) -> Rank {
        let models = answerer.models
        guard let key = models.key(of: folders[folder]?.watch.tasks.model) else { return .first }
        if let pause = models.pause(of: key), pause > .zero { return .paused }
        return answerer.desk.admits(key, loading: models.loadTime(of: key)) ? .first : .otherModel
    }

    /// Reads the file and has it answered; its turn has come, so from here on a crash may be its fault.
    private func answer(
        _ candidate: FrameCandidate, _ folder: CaptionedFolder, _ tasks: PictureTasks
    ) async -> (Step, FrameEnding) {
        let start = ContinuousClock.now
        // Since it was queued, its folder may have been left and taken up again, with the result committed meanwhile.
        guard !folder.isDone(candidate) else { return (.outcome(.superseded), .superseded) }
        let crashes = journal?.note(InFlightKey(candidate)) ?? 0
        guard crashes < InFlightJournal.crashLimit else {
            return (.commit(poisonRefusal(candidate, folder, crashes)), .refused)
        }
        let claimed: ClaimedFrame
        do {
            claimed = try candidate.claim(limit: ImageLimits().bytes)
        } catch {
            switch error.kind {
            case .vanished, .notARegularFile: return (.outcome(.vanished), .vanished)
            case .changed: return (.outcome(.superseded), .superseded)
            case .tooLarge:
                return (
                    .commit(
                        answerer.refusal(
                            "too_many_bytes", error.message, folder.source(of: candidate), model: tasks.model)),
                    .refused
                )
            case .resource, .invalid: return (.hold(error.message), .vanished)
            }
        }
        // A picture that a scan found has lain on the disk for a time that nobody knows: its budget begins when its turn
        // comes, and while it waits it takes nothing from the others.
        var frame = FrameAnswerer.Frame(
            claimed.bytes, source: folder.source(of: candidate, sha256: claimed.sha256), tasks: tasks,
            sourceNumber: folder.number, arrival: candidate.arrival, start: start,
            budgetStart: candidate.sign == .found ? start : candidate.arrival)
        // What the process dies of while it brings a model into memory is not the picture's fault.
        frame.onLoading = { [journal] begins in begins ? journal?.pause() : journal?.resume() }
        if answerer.models.keepsBudgets {
            frame.waiting = source.waiting.compactMap { waiting in
                guard waiting.sign != .found, let tasks = folders[waiting.root]?.watch.tasks, tasks.followsBudget else {
                    return nil
                }
                return tasks.budget.map { (waiting.arrival, $0) }
            }
        }
        let answer = await answerer.answer(frame)
        switch answer {
        case .document(let document): return (.commit(document), answer.ending)
        case .cancelled: return (.outcome(.putBack), answer.ending)
        case .failed(let error): return (.hold(error.message), answer.ending)
        }
    }

    /// The refusal of a picture that was in flight whenever the process crashed, which nobody looks into.
    private func poisonRefusal(
        _ candidate: FrameCandidate, _ folder: CaptionedFolder, _ crashes: Int
    ) -> SidecarDocument {
        let source = folder.source(of: candidate, sha256: (try? candidate.claim(limit: ImageLimits().bytes))?.sha256)
        return answerer.refusal(
            "poison",
            "The program crashed \(crashes) times while it worked on this picture: it is not tried again. Remove this file "
                + "to have it tried once more.", source, model: folder.watch.tasks.model)
    }

    /// Commits `document`; where the disk refuses, keeps it and tries again for as long as it takes.
    private func commit(
        _ document: SidecarDocument, _ candidate: FrameCandidate, _ folder: CaptionedFolder, _ logger: Logger
    ) async -> FrameOutcome {
        var attempt = 0
        while true {
            do {
                let start = ContinuousClock.now
                try folder.commit(document, for: candidate)
                let took = (ContinuousClock.now - start).milliseconds
                for planner in answerer.models.planners { planner.committed(in: took) }
                log(document, logger)
                source.note(candidate, result: document.status.name)
                onCommit(CommittedResult(folder: candidate.root, path: candidate.path, document: document))
                return .done
            } catch {
                switch error.kind {
                case .superseded: return .superseded
                case .placeGone: return .vanished
                case .conflict, .invalid:
                    // The result has no place, and trying again would change nothing.
                    logger.error("\(error.message)")
                    source.note(candidate, result: "unplaced")
                    return .done
                case .resource:
                    // 1 s, then twice as long each time, at most 60 s.
                    await hold(for: error.message, .seconds(min(60, 1 << min(attempt, 6))), logger)
                    attempt += 1
                    if Task.isCancelled || Task.isShuttingDownGracefully { return .putBack }
                }
            }
        }
    }

    /// Waits before another try with a picture that the model `model` gave no answer for: until that may be loaded again, and no
    /// longer than there is nothing to do with another.
    private func hold(for reason: String, model: String?, _ logger: Logger) async {
        guard let key = answerer.models.key(of: model), let pause = answerer.models.pause(of: key) else {
            return await hold(for: reason, .seconds(1), logger)
        }
        logger.warning("\(reason)", metadata: ["retry_in": "\(pause)"])
        let end = ContinuousClock.now + pause
        repeat {
            await rest(min(.seconds(1), max(.milliseconds(1), end - .now)))
        } while ContinuousClock.now < end && !Task.isCancelled && !Task.isShuttingDownGracefully
            && !source.waiting.contains { rank(of: $0.root) != .paused }
    }

    /// Waits for `pause` before another try.
    private func hold(for reason: String, _ pause: Duration, _ logger: Logger) async {
        logger.warning("\(reason)", metadata: ["retry_in": "\(pause)"])
        await rest(pause)
    }

    private func rest(_ pause: Duration) async {
        heartbeat.end()
        // Who ends the process now does not end it because of the picture.
        journal?.pause()
        defer {
            journal?.resume()
            heartbeat.begin()
        }
        try? await cancelWhenGracefulShutdown { try await Task.sleep(for: pause) }
    }

    private func log(_ document: SidecarDocument, _ logger: Logger) {
        switch document.status {
        case .ok:
            logger.info(
                "Captioned",
                metadata: [
                    "ms": "\(document.timings?.total?.value ?? 0)", "pixels": "\(document.resolution?.pixels ?? 0)",
                    "tokens": "\(document.timings?.generatedTokens ?? 0)",
                ])
        case .refused(let code, let reason):
            logger.notice("Refused", metadata: ["code": "\(code)", "reason": "\(reason)"])
        case .expired:
            logger.notice(
                "Expired",
                metadata: ["ms": "\(document.timings?.total?.value ?? 0)", "reason": "\(document.finishReason ?? "")"])
        }
    }
}

extension DaemonConfiguration {
    /// A planner for `engine` that knows nothing of the device; nil where nothing has a budget.
    func usualPlanner(_ engine: any PictureEngine, _ logger: Logger) -> FramePlanner? {
        guard hasBudget else { return nil }
        return FramePlanner(
            ladder: engine.ladder, missTarget: budget.missTarget, device: .system, logger: logger)
    }
}

/// A result whose sidecar is on the disk.
public struct CommittedResult: Sendable {
    /// The watched folder's name in the configuration.
    public let folder: String
    /// The picture's path beneath the folder.
    public let path: RelativePath
    public let document: SidecarDocument
}
