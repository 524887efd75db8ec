internal import FastVLM
internal import LatencyBudget
internal import TOMLKit

extension DaemonConfiguration {
    /// The effective configuration as TOML, defaults included: reading it back gives an equal value.
    public var toml: String {
        let top = TOMLTable()
        if models.count == 1, let model = models.first {
            top["model"] = model.table
        } else {
            let array = TOMLArray()
            for model in models { array.append(model.table) }
            top["model"] = array
        }
        if let directory = sidecars.directory {
            let table = TOMLTable()
            table["directory"] = directory
            top["sidecars"] = table
        }
        let budgetTable = TOMLTable()
        budgetTable["miss_target"] = budget.missTarget
        if let directory = budget.profileDirectory { budgetTable["profile_directory"] = directory }
        top["budget"] = budgetTable
        if let socket { top["socket"] = socket.table }
        if let file = status.file {
            let table = TOMLTable()
            table["file"] = file
            top["status"] = table
        }
        let array = TOMLArray()
        for watch in watches { array.append(watch.table) }
        top["watch"] = array
        return top.convert(to: .toml) + "\n"
    }
}

extension DaemonConfiguration.Model {
    fileprivate var table: TOMLTable {
        let table = TOMLTable()
        table["path"] = path
        if let name { table["name"] = name }
        table["threads"] = threads
        switch keepAlive {
        case .always: table["keep_alive"] = "always"
        case .after(let time): table["keep_alive"] = Int(time.components.seconds)
        }
        return table
    }
}

extension DaemonConfiguration.Watch {
    fileprivate var table: TOMLTable {
        let table = TOMLTable()
        table["path"] = path
        table["name"] = name
        table["recursive"] = recursive
        table["include"] = TOMLArray(include)
        table["exclude"] = TOMLArray(exclude)
        table["mode"] = mode.rawValue
        if mode == .live { table["keep_newest"] = keepNewest }
        table["reprocess"] = reprocess.rawValue
        switch sidecars {
        case .common: break
        case .beside: table["sidecars"] = "beside"
        case .folder(let folder): table["sidecars"] = folder
        }
        tasks.write(to: table)
        return table
    }
}

extension DaemonConfiguration.Socket {
    fileprivate var table: TOMLTable {
        let table = TOMLTable()
        table["path"] = path
        table["allow_users"] = TOMLArray(allowedUsers)
        table["allow_groups"] = TOMLArray(allowedGroups)
        if let spool { table["spool"] = spool }
        table["spool_mb"] = spoolMegabytes
        table["spool_frames"] = spoolFrames
        table["spool_hours"] = spoolHours
        tasks.write(to: table)
        return table
    }
}

extension PictureTasks {
    fileprivate func write(to table: TOMLTable) {
        if let model { table["model"] = model }
        table["prompt"] = prompt
        if let resolution = resolution { table["resolution"] = resolution }
        if !followsBudget { table["resolution"] = "off" }
        table["tiling"] = tiling
        table["aspect"] = aspect.rawValue
        if let budget = budget { table["budget_ms"] = budget }
        table["when_late"] = whenLate.rawValue
        table["max_tokens"] = maxTokens
        table["temperature"] = temperature
        table["top_p"] = topP
        table["seed"] = Int(clamping: seed)
        let questions = TOMLArray()
        for question in self.questions {
            let entry = TOMLTable()
            entry["id"] = question.id
            entry["question"] = question.text
            entry["type"] = question.type.word
            if case .choice(let options) = question.type { entry["options"] = TOMLArray(options) }
            if question.needs != PictureTasks.Question.usualNeeds(of: question.type) {
                entry["needs"] = question.needs.rawValue
            }
            questions.append(entry)
        }
        if !self.questions.isEmpty { table["questions"] = questions }
    }
}
