internal import FoundationEssentials

/// What one check found.
struct DoctorFinding: Encodable {
    enum State: String, Encodable {
        case ok
        /// It works, but not as well as it could, or nobody can tell.
        case doubtful
        case broken
    }

    var check: String
    var state: State
    var found: String
    /// What to do; nil where all is well.
    var remedy: String?

    init(_ check: String, _ state: State, _ found: String, remedy: String? = nil) {
        self.check = check
        self.state = state
        self.found = found
        self.remedy = remedy
    }

    /// One line, and a second with the remedy.
    var text: String {
        let mark =
            switch state {
            case .ok: "ok     "
            case .doubtful: "doubt  "
            case .broken: "BROKEN "
            }
        return mark + check.padded(to: 14) + found
            + (remedy.map { "\n" + String(repeating: " ", count: 21) + "-> " + $0 } ?? "")
    }

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }
}
