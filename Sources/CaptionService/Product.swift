/// What this program calls itself.
public enum Product {
    public static let version = "0.1.0"
    /// Written into every result.
    public static let generator = "fastvlmd \(version)"
}
