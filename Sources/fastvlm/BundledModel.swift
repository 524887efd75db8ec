internal import FoundationEssentials
internal import Glibc

/// The model that comes with the program and the pictures to try it on: a folder with `panel-reader.fastvlm` and
/// `pictures`.
struct BundledModel {
    let folder: String

    var model: String { folder + "/panel-reader.fastvlm" }

    /// The variable that names another folder.
    static let variable = "FASTVLM_DEMO_MODEL"

    /// Finds the folder: named by the variable; installed beside the program or in /usr/share; in a clone that the
    /// program was built in.
    ///
    /// - Parameter needsModel: Whether the model itself has to be there; its pictures always have to.
    init(needsModel: Bool) throws(CommandFailure) {
        func isThere(_ folder: String) -> Bool {
            let files = FileManager.default
            return (!needsModel || files.isReadableFile(atPath: folder + "/panel-reader.fastvlm"))
                && files.fileExists(atPath: folder + "/pictures")
        }
        if let named = getenv(Self.variable).map({ String(cString: $0) }), !named.isEmpty {
            guard isThere(named) else {
                throw CommandFailure(
                    .setup,
                    "Cannot find the bundled model: \(Self.variable) is '\(named)', expected a folder with "
                        + "panel-reader.fastvlm and pictures.")
            }
            folder = named
            return
        }
        let program = Self.programFolder
        var places = ["\(program)/../share/fastvlmd/demo-model", "/usr/share/fastvlmd/demo-model"]
        // A clone's .build/release, or the folder that it points to.
        var above = program
        for _ in 0..<5 where above.contains("/") {
            above = String(above[..<(above.lastIndex(of: "/") ?? above.startIndex)])
            places.append(above + "/etc/demo-model")
        }
        guard let found = places.first(where: isThere) else {
            throw CommandFailure(
                .setup,
                "Cannot find the bundled model: it is neither in '\(places[0])' nor in '\(places[1])' nor in a clone "
                    + "around the program. Name its folder with \(Self.variable), or give --model.")
        }
        folder = found
    }

    /// Where this program lies.
    private static var programFolder: String {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return program.lastIndex(of: "/").map { String(program[..<$0]) } ?? ""
    }

    /// The pictures' paths, by name.
    func pictures() throws(CommandFailure) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/pictures")) ?? []
        let pictures = names.filter { $0.hasSuffix(".jpg") || $0.hasSuffix(".png") }.sorted()
        guard !pictures.isEmpty else {
            throw CommandFailure(.setup, "Cannot find pictures in '\(folder)/pictures': expected JPEG or PNG files.")
        }
        return pictures.map { "\(folder)/pictures/\($0)" }
    }
}
