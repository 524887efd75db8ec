internal import FoundationEssentials
internal import Kernels
internal import LatencyBudget
internal import Sidecars

extension ServiceMetrics {
    /// All metrics in the text format of Prometheus.
    ///
    /// - Parameters:
    ///   - status: How the daemon is now.
    ///   - frames: The frames of each source, each at one instant.
    ///   - device: How the device is now.
    func text(_ status: ServiceStatus, frames: [SourceFrames], device: (DeviceHealth, DeviceSignals)) -> String {
        let totals = totals
        var text = MetricsText()
        text.family("fastvlm_build_info", .gauge, "What runs: always 1.")
        text.sample(
            "fastvlm_build_info",
            [
                "version": Product.version, "model": status.model.name, "precision": status.model.precision,
                "digest": status.model.digest, "kernels": status.kernels,
            ], 1)
        text.single(
            "fastvlm_start_time_seconds", .gauge, "When the daemon started, in seconds since 1970.",
            Double(status.started.milliseconds) / 1000)
        text.writeModels(status.models ?? [])
        text.writeFrames(frames)
        text.writeResults(totals)
        text.writeFolders(status.folders)
        if let socket = status.socket { text.writeSocket(socket) }
        text.family("fastvlm_degraded", .gauge, "What does not work as it should: 1 for each reason.")
        for reason in status.degraded { text.sample("fastvlm_degraded", ["source": "", "reason": reason], 1) }
        for folder in status.folders {
            for reason in folder.degraded {
                text.sample("fastvlm_degraded", ["source": folder.origin, "reason": reason], 1)
            }
        }
        text.family("fastvlm_reloads_total", .counter, "Attempts to read the configuration anew.")
        text.sample("fastvlm_reloads_total", ["result": "ok"], totals.reloads)
        text.sample("fastvlm_reloads_total", ["result": "refused"], totals.failedReloads)
        text.writeDevice(device.0, device.1)
        return text.text
    }
}

extension MetricsText {
    fileprivate mutating func writeModels(_ models: [ServiceStatus.Model]) {
        family("fastvlm_model_loaded", .gauge, "1 for the model that is in memory.")
        for model in models { sample("fastvlm_model_loaded", ["model": model.id], model.state == "loaded" ? 1 : 0) }
        family("fastvlm_model_loads_total", .counter, "Times that a model was brought into memory, or could not be.")
        for model in models {
            sample("fastvlm_model_loads_total", ["model": model.id, "result": "ok"], model.loads)
            sample("fastvlm_model_loads_total", ["model": model.id, "result": "failed"], model.failures)
        }
        family("fastvlm_model_load_seconds", .gauge, "What bringing a model into memory took last.")
        for model in models {
            if let seconds = model.loadSeconds { sample("fastvlm_model_load_seconds", ["model": model.id], seconds) }
        }
    }

    /// received = the sum of the outcomes + pending, for each source at each scrape.
    fileprivate mutating func writeFrames(_ frames: [SourceFrames]) {
        family("fastvlm_frames_received_total", .counter, "Frames that were taken in.")
        for source in frames { sample("fastvlm_frames_received_total", ["source": source.source], source.received) }
        family("fastvlm_frames_total", .counter, "Frames that ended, by outcome.")
        for source in frames {
            for (outcome, count) in source.outcomes.sorted(by: { $0.key < $1.key }) {
                sample("fastvlm_frames_total", ["source": source.source, "outcome": outcome], count)
            }
        }
        family("fastvlm_frames_pending", .gauge, "Frames that were taken in and have not ended.")
        for source in frames {
            for (state, count) in source.pending.sorted(by: { $0.key < $1.key }) {
                sample("fastvlm_frames_pending", ["source": source.source, "state": state], count)
            }
        }
        single(
            "fastvlm_oldest_pending_seconds", .gauge, "How long the oldest frame that has not ended has been there.",
            (frames.compactMap(\.oldestPending).max()?.milliseconds ?? 0) / 1000)
    }

    fileprivate mutating func writeResults(_ totals: ServiceMetrics.Totals) {
        family("fastvlm_refusals_total", .counter, "Refused frames, by code.")
        for (code, count) in totals.refusals.sorted(by: { $0.key < $1.key }) {
            sample("fastvlm_refusals_total", ["code": code], count)
        }
        family("fastvlm_phase_seconds", .histogram, "Time of each phase of a frame.")
        for phase in ServiceMetrics.phases {
            histogram(
                "fastvlm_phase_seconds", label: ("phase", phase),
                totals.phases[phase] ?? Histogram(ServiceMetrics.Totals.seconds))
        }
        family("fastvlm_first_token_seconds", .histogram, "From the start of a frame's work to its first token.")
        histogram("fastvlm_first_token_seconds", totals.firstToken)
        family("fastvlm_generation_tokens_per_second", .histogram, "Tokens a second after the first, of each frame.")
        histogram("fastvlm_generation_tokens_per_second", totals.speed)
        single(
            "fastvlm_prompt_tokens_total", .counter, "Tokens of prompts, pictures included.",
            Double(totals.promptTokens))
        single("fastvlm_generated_tokens_total", .counter, "Tokens of answers.", Double(totals.generatedTokens))
        family(
            "fastvlm_resolution_frames_total", .counter,
            "Answered frames, by the side of what the encoder saw in pixels.")
        for (pixels, count) in totals.resolutions.sorted(by: { $0.key < $1.key }) {
            sample("fastvlm_resolution_frames_total", ["pixels": "\(pixels)"], count)
        }
        family("fastvlm_budget_frames_total", .counter, "Frames with a budget, by whether their answer was in time.")
        sample("fastvlm_budget_frames_total", ["result": "met"], totals.budgetsMet)
        sample("fastvlm_budget_frames_total", ["result": "missed"], totals.budgetsMissed)
        family("fastvlm_predicted_ratio", .histogram, "Predicted over actual time of frames with a budget.")
        histogram("fastvlm_predicted_ratio", totals.predictionRatio)
    }

    fileprivate mutating func writeFolders(_ folders: [ServiceStatus.Folder]) {
        let counters: [(String, Kind, String, KeyPath<ServiceStatus.Folder, Int>)] = [
            (
                "fastvlm_inotify_overflows_total", .counter, "Times that events were lost and all was scanned.",
                \.overflows
            ),
            ("fastvlm_scans_total", .counter, "Scans of the whole folder.", \.scans),
            ("fastvlm_polls_total", .counter, "Scans of what cannot be watched.", \.polls),
            ("fastvlm_watches", .gauge, "Folders with a watch.", \.watches),
            ("fastvlm_settling_files", .gauge, "Files that are not complete yet.", \.settling),
        ]
        for (name, kind, help, path) in counters {
            family(name, kind, help)
            for folder in folders { sample(name, ["source": folder.origin], folder[keyPath: path]) }
        }
    }

    fileprivate mutating func writeSocket(_ socket: ServiceStatus.Socket) {
        single("fastvlm_socket_connections", .gauge, "Open connections.", Double(socket.connections))
        single(
            "fastvlm_socket_refused_total", .counter, "Connections that were turned away.", Double(socket.refused))
        single("fastvlm_socket_listeners", .gauge, "Clients that listen to results.", Double(socket.listeners))
        single("fastvlm_socket_body_bytes", .gauge, "Bodies that are in memory.", Double(socket.bodyBytes))
    }

    fileprivate mutating func writeDevice(_ health: DeviceHealth, _ signals: DeviceSignals) {
        if let memory = health.residentMiB {
            single(
                "fastvlm_resident_memory_bytes", .gauge, "Resident memory of the daemon.", Double(memory) * 1_048_576)
        }
        if let allocated = AllocatedMemory.bytes {
            single(
                "fastvlm_allocated_memory_bytes", .gauge,
                "Memory that the daemon has allocated: what grows here without an end leaks.", Double(allocated))
        }
        if let temperature = health.temperature {
            single("fastvlm_temperature_celsius", .gauge, "The hottest part of the device.", temperature)
        }
        if let ratio = signals.frequencyRatio {
            single(
                "fastvlm_frequency_ratio", .gauge, "The most that cores may run at over the most that they can.", ratio)
            single(
                "fastvlm_throttled", .gauge, "1 while heat or a power limit slows the cores.",
                ratio < ServiceStatus.throttledBelow ? 1 : 0)
        }
    }
}
