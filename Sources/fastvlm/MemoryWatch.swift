internal import FoundationEssentials

/// What the kernel says of this process's memory, in MiB: the most that was seen.
final class MemoryWatch {
    /// Of everything, at any time so far.
    private(set) var resident: Int?
    /// Of its own memory, and of mapped files, whenever somebody looked.
    private(set) var anonymous: Int?
    private(set) var file: Int?

    func look() {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        func field(_ name: String) -> Int? {
            text.split(separator: "\n").first { $0.hasPrefix(name + ":") }?.split(separator: " ").dropFirst().first
                .flatMap { Int($0) }.map { $0 / 1024 }
        }
        resident = field("VmHWM")
        anonymous = [anonymous, field("RssAnon")].compactMap { $0 }.max()
        file = [file, field("RssFile")].compactMap { $0 }.max()
    }
}
