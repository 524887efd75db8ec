import Testing

extension Ending {
    /// Fails the test unless the program ended with `status`, printed no output, and said one thing on standard error,
    /// headed by its name, that holds all of `words`.
    func expectOneError(
        _ status: Int32, _ words: String..., from program: Program = .fastvlm,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(self.status == status, "\(errors)", sourceLocation: sourceLocation)
        #expect(output == "", sourceLocation: sourceLocation)
        #expect(errorLines.count == 1, "\(errors)", sourceLocation: sourceLocation)
        #expect(errors.hasPrefix("\(program): "), "\(errors)", sourceLocation: sourceLocation)
        expectReadable(words, sourceLocation)
    }

    /// Fails the test unless the program ended with status 2, printed no output, and said what is wrong and how it is
    /// used.
    func expectWrongUsage(_ words: String..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(status == 2, "\(errors)", sourceLocation: sourceLocation)
        #expect(output == "", sourceLocation: sourceLocation)
        #expect(errors.hasPrefix("Error: "), "\(errors)", sourceLocation: sourceLocation)
        #expect(errors.contains("\nUsage: "), "\(errors)", sourceLocation: sourceLocation)
        expectReadable(words, sourceLocation)
    }

    private func expectReadable(_ words: [String], _ sourceLocation: SourceLocation) {
        for word in words {
            #expect(errors.contains(word), "'\(word)' is not in: \(errors)", sourceLocation: sourceLocation)
        }
        // Nothing of the machinery, and nothing that a terminal would obey.
        for word in ["Fatal error", "Error Domain", "NSCocoa", "Error(", "Optional("] {
            #expect(!errors.contains(word), "\(errors)", sourceLocation: sourceLocation)
        }
        #expect(!errorBytes.contains(0x1B), "\(errors)", sourceLocation: sourceLocation)
    }
}
