/// What a model says of itself beside its weights.
public struct ModelIdentity: Sendable, Equatable, Codable {
    /// Shown to people and written into results.
    public var name: String

    /// Side lengths in pixels that the model is meant for, ascending.
    public var resolutions: [Int]

    /// One of `resolutions`.
    public var defaultResolution: Int

    public var promptTemplate: PromptTemplate

    /// What was measured at each of `resolutions`, in their order, and after them what was measured of pictures in tiles,
    /// which are a step of the ladder only if they stand here; nil where nothing was.
    public var accuracy: [ResolutionAccuracy]?

    /// The licence's name or SPDX identifier.
    public var licence: String?

    /// The licence in full.
    public var licenceText: String?

    /// Where the model was fetched from; nil if `fastvlm model pull` did not fetch it.
    public var origin: ModelOrigin?

    /// Longest licence text: 1 MiB.
    static let maximumLicenceByteCount = 1 << 20

    /// The ladder of a model that states none: the public checkpoints are trained at 1024 pixels; the smaller steps
    /// trade accuracy for time (arXiv 2412.13303, figure 4).
    public static let usualResolutions = [256, 512, 768, 1024]

    /// - Parameters:
    ///   - resolutions: The default is `usualResolutions`.
    ///   - defaultResolution: The default is the largest of `resolutions`.
    ///   - promptTemplate: The default is the template that the public checkpoints were trained with.
    public init(
        name: String, resolutions: [Int] = ModelIdentity.usualResolutions, defaultResolution: Int? = nil,
        promptTemplate: PromptTemplate = PromptTemplate(), licence: String? = nil, licenceText: String? = nil,
        accuracy: [ResolutionAccuracy]? = nil, origin: ModelOrigin? = nil
    ) {
        self.name = name
        self.resolutions = resolutions
        self.defaultResolution = defaultResolution ?? resolutions.max() ?? 0
        self.promptTemplate = promptTemplate
        self.licence = licence
        self.licenceText = licenceText
        self.accuracy = accuracy
        self.origin = origin
    }

    /// Checks every value.
    ///
    /// - Throws: an error with `code` that names the value and what is allowed.
    func validate(subject: String, code: ModelFileError.Code) throws(ModelFileError) {
        func failure(_ problem: String) -> ModelFileError {
            ModelFileError(code, "Cannot use \(subject): \(problem).")
        }
        guard !name.isEmpty, name.utf8.count <= 200, name.unicodeScalars.allSatisfy({ $0.value >= 0x20 }) else {
            throw failure("the name has \(name.utf8.count) bytes, expected 1 to 200 without control characters")
        }
        if let licence, licence.utf8.count > 200 {
            throw failure("the licence's name has \(licence.utf8.count) bytes, expected at most 200")
        }
        if let licenceText, licenceText.utf8.count > Self.maximumLicenceByteCount {
            throw failure(
                "the licence text has \(licenceText.utf8.count) bytes, expected at most \(Self.maximumLicenceByteCount)"
            )
        }
        if let problem = origin?.problem { throw failure("its origin \(problem)") }
        guard !resolutions.isEmpty, resolutions.count <= 32 else {
            throw failure("\(resolutions.count) resolutions, expected 1 to 32")
        }
        for resolution in resolutions where !(32...4096).contains(resolution) {
            throw failure("resolution \(resolution), expected 32 to 4096 pixels")
        }
        guard zip(resolutions, resolutions.dropFirst()).allSatisfy(<) else {
            throw failure("resolutions \(resolutions), expected each larger than the one before")
        }
        guard resolutions.contains(defaultResolution) else {
            throw failure("default resolution \(defaultResolution), expected one of \(resolutions)")
        }
        guard let accuracy else { return }
        let whole = accuracy.filter { $0.tiles == nil }.map(\.pixels)
        guard whole == resolutions else {
            throw failure("accuracy is stated for \(whole) pixels, expected \(resolutions)")
        }
        let tiled = accuracy.filter { $0.tiles != nil }
        for step in tiled {
            guard let tiles = step.tiles, (2...4).contains(tiles), step.pixels % tiles == 0,
                resolutions.contains(step.passPixels)
            else {
                throw failure(
                    "\(step.tiles ?? 0) x \(step.tiles ?? 0) tiles of \(step.pixels) pixels, expected 2 to 4 each way, "
                        + "each tile of one of \(resolutions)")
            }
        }
        guard Set(tiled.map(\.pixels)).count == tiled.count else {
            throw failure("tiles are stated twice for one size, expected once")
        }
        for measured in accuracy {
            for (field, value) in measured.values where !(value.isFinite && (0...1e9).contains(value)) {
                throw failure("accuracy '\(field)' at \(measured.pixels) pixels is \(value), expected 0 to 1e9")
            }
        }
    }
}
