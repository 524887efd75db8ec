extension PreparedModel {
    static func openPacked(_ path: String) throws(ModelFileError) -> PreparedModel {
        throw ModelFileError(.notAPackedModel, "later")
    }
}
