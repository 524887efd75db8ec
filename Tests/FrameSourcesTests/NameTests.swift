import FrameSources
import Testing

@Suite struct RelativePathTests {
    @Test func partsNameAndParent() throws {
        let path = try RelativePath("a/b/c.jpg")
        #expect(path.parts == [Array("a".utf8), Array("b".utf8), Array("c.jpg".utf8)])
        #expect(path.name == Array("c.jpg".utf8))
        #expect(path.parent == (try RelativePath("a/b")))
        #expect(path.parent.parent.parent == .root)
        #expect(RelativePath.root.parent == .root && RelativePath.root.name == [] && RelativePath.root.parts == [])
        #expect(RelativePath.root.appending([0xFF])?.appending(Array("x".utf8))?.bytes == [0xFF, 0x2F, 0x78])
    }

    @Test(arguments: ["/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0b"])
    func whatDoesNotStayBeneathTheRootIsRefused(text: String) {
        #expect { try RelativePath(text) } throws: { ($0 as? FrameSourceError)?.kind == .invalid }
    }

    @Test func noEntryHasSuchAName() {
        for name in ["", ".", "..", "a/b", "a\0"] { #expect(RelativePath.root.appending(Array(name.utf8)) == nil) }
    }

    @Test func withinMeansWholeParts() throws {
        let folder = try RelativePath("a/b")
        #expect(try RelativePath("a/b").isWithin(folder))
        #expect(try RelativePath("a/b/c").isWithin(folder))
        #expect(try !RelativePath("a/bc").isWithin(folder))
        #expect(try !RelativePath("a").isWithin(folder))
        #expect(try RelativePath("x").isWithin(.root))
    }

    @Test func theDescriptionIsSafeToPrint() throws {
        let path = try RelativePath(bytes: [0xFF, 0x1B, 0x0A] + Array("é.jpg".utf8))
        #expect(path.description == "\u{FFFD}\\u{1B}\\né.jpg" || path.description == "\u{FFFD}\\u{1B}\\u{0A}é.jpg")
    }
}

@Suite struct NameFilterTests {
    func accepts(_ path: String, _ filter: NameFilter = NameFilter()) throws -> Bool {
        filter.accepts(try RelativePath(path))
    }

    @Test(arguments: ["a.jpg", "a.JPG", "a.Jpeg", "a.png", "d/e/a.b.jpg", "ü.jpg", "a b\n.jpg"])
    func picturesAreAccepted(path: String) throws {
        #expect(try accepts(path))
    }

    @Test(arguments: [
        "a.gif", "a", "jpg", ".jpg", ".a.jpg", "a.jpg.part", "a.jpg.tmp", "a.jpg.filepart", "a.jpg.crdownload",
        "a.jpg~", "a.jpg.fastvlm.json", ".fastvlm-0123456789abcdef.tmp", "a.jpgx", "a.",
    ])
    func whatIsNoPictureIsNot(path: String) throws {
        #expect(try !accepts(path))
    }

    @Test func aNameThatIsNotUTF8IsAccepted() throws {
        #expect(NameFilter().accepts(try RelativePath(bytes: [0xFF, 0xC0] + Array(".jpg".utf8))))
    }

    @Test func patternsWithoutSlashMeanTheName() throws {
        let filter = NameFilter(include: ["gate-*", "x?.jpg"], exclude: ["*-thumb.*", "old"])
        #expect(try accepts("d/gate-1.jpg", filter))
        #expect(try accepts("x1.jpg", filter))
        #expect(try !accepts("x12.jpg", filter))
        #expect(try !accepts("gate-1-thumb.jpg", filter))
        #expect(!filter.enters(try RelativePath("d/old")))
        #expect(filter.enters(try RelativePath("d/older")))
    }

    @Test func patternsWithASlashMeanThePath() throws {
        let filter = NameFilter(include: ["cam/*"], exclude: ["cam/night/*", "cam/private"])
        #expect(try accepts("cam/a/b.jpg", filter))
        #expect(try !accepts("b.jpg", filter))
        #expect(try !accepts("cam/night/b.jpg", filter))
        #expect(!filter.enters(try RelativePath("cam/private")))
    }

    @Test func someFoldersAreNeverEntered() throws {
        for name in [".cache", "@eaDir", "up.part", "x~"] {
            #expect(!NameFilter().enters(try RelativePath(name)))
        }
        #expect(NameFilter().enters(.root))
    }
}
