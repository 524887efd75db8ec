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
    let engine: any PictureEngine
    let folders: CaptionedFolders
    /// Nil where no folder has a budget.
    private let planner: FramePlanner?
    private let degraded: Set<String>
    private let heartbeat: Heartbeat
    private let onWatching: @Sendable () -> Void
    private let onCommit: @Sendable (CommittedResult) -> Void
    let logger: Logger

    /// Opens the folders and removes what unfinished commits left in them.
    ///
    /// - Parameters:
    ///   - planner: Keeps the budgets of all folders; not asked where no folder has one. The default knows nothing of the
    ///     device and learns it from the first pictures.
    ///   - options: How folders are watched.
    ///   - requiresFolders: Whether a folder that is missing is an error. The default is false: it is waited for.
    ///   - degraded: What is known not to work as it should, for the results' health.
    ///   - heartbeat: Beats while a picture is in work. The default is one of its own.
    ///   - onWatching: Called once, when the folders are watched.
    ///   - onCommit: Told of each result when its sidecar is on the disk.
    public init(
        _ configuration: DaemonConfiguration, engine: any PictureEngine, planner: FramePlanner? = nil,
        options: FolderSourceOptions = .init(),
        requiresFolders: Bool = false, degraded: Set<String> = [], heartbeat: Heartbeat = Heartbeat(), logger: Logger,
        onWatching: @escaping @Sendable () -> Void = {},
        onCommit: @escaping @Sendable (CommittedResult) -> Void = { _ in }
    ) throws(DaemonError) {
        var folders: [String: CaptionedFolder] = [:]
        for (number, watch) in configuration.watches.enumerated() {
            folders[watch.name] = try CaptionedFolder(
                watch, number: number, textTokens: engine.textTokens(of: watch.tasks), sidecars: configuration.sidecars,
                isRequired: requiresFolders, logger: logger)
        }
        let known = CaptionedFolders(folders)
        do {
            source = try FolderSource(
                folders: configuration.watches.map(\.folder),
                options: options,
                questions: FrameQuestions(
                    hasEnd: { tail, _ in ImageFormat.allCases.contains { $0.hasEndMarker(inTail: tail) } },
                    isDone: { candidate in known[candidate.root]?.isDone(candidate) ?? true }))
        } catch {
            throw DaemonError(.folder, error.message)
        }
        self.folders = known
        self.heartbeat = heartbeat
        self.onWatching = onWatching
        self.engine = engine
        self.planner =
            configuration.hasBudget
            ? planner
                ?? FramePlanner(
                    ladder: engine.ladder, missTarget: configuration.budget.missTarget, signals: { .sample() },
                    logger: logger)
            : nil
        self.degraded = degraded
        self.onCommit = onCommit
        self.logger = logger
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
        while !Task.isShuttingDownGracefully, let candidate = await cancelWhenGracefulShutdown({ await source.next() })
        {
            heartbeat.begin()
            source.finish(candidate, await caption(candidate))
            heartbeat.end()
        }
        planner?.keepWhatWasLearned()
        await source.stop()
    }

    /// Does all that is to be done for one picture.
    private func caption(_ candidate: FrameCandidate) async -> FrameOutcome {
        guard let folder = folders[candidate.root] else { return .vanished }
        var logger = logger
        logger[metadataKey: "picture"] = "\(candidate.root)/\(candidate.path)"
        let start = ContinuousClock.now
        let queued = (start - candidate.arrival).milliseconds
        let frame: ClaimedFrame
        do {
            frame = try candidate.claim(limit: ImageLimits().bytes)
        } catch {
            switch error.kind {
            case .vanished, .notARegularFile: return .vanished
            case .changed: return .superseded
            case .tooLarge:
                let document = refusal("too_many_bytes", error.message, folder.source(of: candidate))
                return await commit(document, candidate, folder, logger)
            case .resource, .invalid:
                await hold(for: error.message, attempt: 0, logger)
                return .putBack
            }
        }
        let source = folder.source(of: candidate, sha256: frame.sha256)
        let tasks = folder.watch.tasks
        let planned = planner.map { _ in plannedFrame(candidate, folder, frame.bytes, start) }
        var plan: FramePlan?
        if let planner, let planned {
            switch planner.plan(planned) {
            case .run(let decided): plan = decided
            case .expired(let reason):
                let document = expired(reason.rawValue, nil, tasks, source, candidate, queued: queued)
                return await commit(document, candidate, folder, logger)
            }
        }
        // From the beginning of the budget, as its `ms` are.
        let elapsed = planned.map { (ContinuousClock.now - $0.arrival).milliseconds } ?? 0
        let predicted = plan.map { Milliseconds(elapsed + $0.plan.predicted.total) }
        let document: SidecarDocument
        do {
            let report = try await engine.run(tasks, on: frame.bytes, plan: plan)
            let end = ContinuousClock.now
            let isInTime = tasks.budget.map { (end - (planned?.arrival ?? candidate.arrival)).milliseconds <= $0 }
            var isMet = isInTime ?? true
            if let planner, let planned, let plan {
                isMet = planner.answered(report, planned, of: plan, isInTime: isInTime)
            }
            document = SidecarDocument(
                report, tasks: tasks, model: engine.model, source: source, queued: queued,
                total: (end - candidate.arrival).milliseconds, plan: plan?.plan,
                budget: tasks.budget.map {
                    SidecarDocument.Budget(milliseconds: Milliseconds($0), predicted: predicted, met: isMet)
                }, health: health)
        } catch {
            switch error.code {
            case .picture: document = refusal(error.pictureCode ?? "unreadable", error.message, source)
            case .request: document = refusal("request", error.message, source)
            case .late:
                if let plan { planner?.gaveUp(error.spent, of: plan) }
                document = expired("given_up", predicted, tasks, source, candidate, queued: queued)
            case .cancelled: return .putBack
            case .model, .resources:
                await hold(for: error.message, attempt: 0, logger)
                return .putBack
            }
        }
        return await commit(document, candidate, folder, logger)
    }

    /// What the planner is to know of a candidate that was taken up at `start`.
    ///
    /// A picture that a scan found has lain on the disk for a time that nobody knows: its budget begins when its turn comes,
    /// and while it waits it takes nothing from the others.
    private func plannedFrame(
        _ candidate: FrameCandidate, _ folder: CaptionedFolder, _ bytes: [UInt8], _ start: ContinuousClock.Instant
    ) -> FramePlanner.Frame {
        FramePlanner.Frame(
            tasks: folder.watch.tasks, source: folder.number,
            arrival: candidate.sign == .found ? start : candidate.arrival, textTokens: folder.textTokens,
            sourcePixels: (try? ImageDecoder.probe(bytes)).map { Double($0.width) * Double($0.height) },
            defaultResolution: engine.defaultResolution,
            waiting: source.waiting.compactMap { waiting in
                guard waiting.sign != .found, let tasks = folders[waiting.root]?.watch.tasks, tasks.followsBudget else {
                    return nil
                }
                return tasks.budget.map { (waiting.arrival, $0) }
            })
    }

    /// The result of a picture that is not answered for want of time.
    private func expired(
        _ reason: String, _ predicted: Milliseconds?, _ tasks: PictureTasks, _ source: SidecarDocument.Source,
        _ candidate: FrameCandidate, queued: Double
    ) -> SidecarDocument {
        SidecarDocument(
            expired: reason,
            budget: tasks.budget.map {
                SidecarDocument.Budget(milliseconds: Milliseconds($0), predicted: predicted, met: false)
            }, model: engine.model, source: source, queued: queued,
            total: (ContinuousClock.now - candidate.arrival).milliseconds, health: health)
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
                planner?.committed(in: (ContinuousClock.now - start).milliseconds)
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
                    await hold(for: error.message, attempt: attempt, logger)
                    attempt += 1
                    if Task.isCancelled || Task.isShuttingDownGracefully { return .putBack }
                }
            }
        }
    }

    /// Waits before another try: 1 s, then twice as long each time, at most 60 s.
    private func hold(for reason: String, attempt: Int, _ logger: Logger) async {
        let pause = Duration.seconds(min(60, 1 << min(attempt, 6)))
        logger.warning("\(reason)", metadata: ["retry_in": "\(pause)"])
        heartbeat.end()
        defer { heartbeat.begin() }
        try? await cancelWhenGracefulShutdown { try await Task.sleep(for: pause) }
    }

    private func refusal(_ code: String, _ reason: String, _ source: SidecarDocument.Source) -> SidecarDocument {
        SidecarDocument(refusal: code, reason: reason, model: engine.model, source: source, health: health)
    }

    private var health: SidecarDocument.Health {
        let folders = source.degraded.values.reduce(into: Set<String>()) { $0.formUnion($1.map(\.rawValue)) }
        return SidecarDocument.Health(
            .sample(), queue: source.counters.waiting, degraded: degraded.union(folders).sorted())
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

/// A result whose sidecar is on the disk.
public struct CommittedResult: Sendable {
    /// The watched folder's name in the configuration.
    public let folder: String
    /// The picture's path beneath the folder.
    public let path: RelativePath
    public let document: SidecarDocument
}
