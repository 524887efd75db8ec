internal import FastVLM
internal import LatencyBudget
internal import TOMLKit

extension DaemonConfiguration {
    /// The effective configuration as TOML, defaults included: reading it back gives an equal value.
    public var toml: String {
        let top = TOMLTable()
        let modelTable = TOMLTable()
        modelTable["path"] = model.path
        modelTable["threads"] = model.threads
        top["model"] = modelTable
        if let directory = sidecars.directory {
            let table = TOMLTable()
            table["directory"] = directory
            top["sidecars"] = table
        }
        let budgetTable = TOMLTable()
        budgetTable["miss_target"] = budget.missTarget
        if let directory = budget.profileDirectory { budgetTable["profile_directory"] = directory }
        top["budget"] = budgetTable
        let array = TOMLArray()
        for watch in watches { array.append(watch.table) }
        top["watch"] = array
        return top.convert(to: .toml) + "\n"
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
        table["prompt"] = tasks.prompt
        if let resolution = tasks.resolution { table["resolution"] = resolution }
        if !tasks.followsBudget { table["resolution"] = "off" }
        table["tiling"] = tasks.tiling
        table["aspect"] = tasks.aspect.rawValue
        if let budget = tasks.budget { table["budget_ms"] = budget }
        table["when_late"] = tasks.whenLate.rawValue
        table["max_tokens"] = tasks.maxTokens
        table["temperature"] = tasks.temperature
        table["top_p"] = tasks.topP
        table["seed"] = Int(clamping: tasks.seed)
        let questions = TOMLArray()
        for question in tasks.questions {
            let entry = TOMLTable()
            entry["id"] = question.id
            entry["question"] = question.text
            entry["type"] = question.type.word
            if case .choice(let options) = question.type { entry["options"] = TOMLArray(options) }
            questions.append(entry)
        }
        if !tasks.questions.isEmpty { table["questions"] = questions }
        return table
    }
}
