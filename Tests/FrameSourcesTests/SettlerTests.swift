import FrameSources
import Testing

@Suite struct SettlerTests {
    let path: RelativePath
    let other: RelativePath
    var settler = Settler()

    init() throws {
        path = try RelativePath("a.jpg")
        other = try RelativePath("b/c.jpg")
    }

    func identity(_ size: Int, modified: Int64 = 1) -> FileIdentity {
        FileIdentity(device: 1, inode: 1, size: size, modified: modified)
    }

    mutating func note(
        _ sign: Settler.Sign, _ path: RelativePath, _ identity: FileIdentity, at now: Duration
    ) -> Bool {
        settler.note(sign, path, identity, at: now)
    }

    mutating func look(_ size: Int?, at milliseconds: Int, hasEnd: Bool = true) -> Settler.Verdict {
        settler.look(at: path, size.map { identity($0) }, at: .milliseconds(milliseconds)) { hasEnd }
    }

    @Test mutating func whatIsMovedInIsCompleteAtOnce() {
        #expect(note(.movedIn, path, identity(9), at: .seconds(5)) == true)
        #expect(settler.nextDue == .seconds(5))
        #expect(settler.due(at: .seconds(5)) == [path])
        #expect(look(9, at: 5000) == .settled(.init(sign: .movedIn, first: .seconds(5))))
        #expect(settler.count == 0 && settler.nextDue == nil)
    }

    @Test mutating func whatIsWrittenSettlesAfterQuiet() {
        #expect(note(.appeared, path, identity(3), at: .zero) == true)
        #expect(settler.due(at: .milliseconds(199)) == [])
        #expect(note(.appeared, path, identity(9), at: .milliseconds(150)) == true)
        #expect(settler.due(at: .milliseconds(349)) == [])
        #expect(settler.due(at: .milliseconds(350)) == [path])
        #expect(look(9, at: 350) == .settled(.init(sign: .appeared, first: .zero)))
    }

    @Test mutating func aChangeWithoutAnEventStartsTheQuietAnew() {
        #expect(note(.appeared, path, identity(3), at: .zero) == true)
        #expect(look(5, at: 200) == .waiting)
        #expect(settler.nextDue == .milliseconds(400))
        #expect(look(5, at: 400) == .settled(.init(sign: .appeared, first: .zero)))
    }

    @Test mutating func whatAScanFoundNeedsTwoEqualLooksASecondApart() {
        #expect(note(.found, path, identity(9), at: .zero) == true)
        #expect(settler.nextDue == .seconds(1))
        // Seeing the same once more changes nothing.
        #expect(note(.found, path, identity(9), at: .milliseconds(900)) == true)
        #expect(settler.nextDue == .seconds(1))
        #expect(look(10, at: 1000) == .waiting)
        #expect(settler.nextDue == .seconds(2))
        #expect(look(10, at: 2000) == .settled(.init(sign: .found, first: .zero)))
    }

    @Test mutating func aScanThatSeesAnotherSizeStartsAnew() {
        #expect(note(.found, path, identity(9), at: .zero) == true)
        #expect(note(.found, path, identity(10), at: .milliseconds(900)) == true)
        #expect(settler.nextDue == .milliseconds(1900))
    }

    @Test mutating func withoutItsEndAFileIsHeldAMinuteAfterItsLastChange() {
        #expect(note(.movedIn, path, identity(9), at: .zero) == true)
        #expect(look(9, at: 0, hasEnd: false) == .waiting)
        #expect(settler.nextDue == .seconds(1))
        #expect(look(12, at: 10_000, hasEnd: false) == .waiting)
        #expect(look(12, at: 10_200, hasEnd: false) == .waiting)
        #expect(look(12, at: 69_999, hasEnd: false) == .waiting)
        #expect(settler.nextDue == .seconds(70))
        #expect(look(12, at: 70_000, hasEnd: false) == .truncated(.init(sign: .movedIn, first: .zero)))
        #expect(settler.count == 0)
    }

    @Test mutating func theEndIsAskedForOnceForEachContentAndOnceMoreAtLast() {
        #expect(note(.appeared, path, identity(9), at: .zero) == true)
        var asked = 0
        for milliseconds in stride(from: 200, through: 59_200, by: 1000) {
            _ = settler.look(at: path, identity(9), at: .milliseconds(milliseconds)) {
                asked += 1
                return false
            }
        }
        #expect(asked == 1)
        // Written through a mapping: the content came, the time did not change.
        #expect(look(9, at: 60_000, hasEnd: true) == .settled(.init(sign: .appeared, first: .zero)))
    }

    @Test mutating func theEndThatComesLaterSettlesTheFile() {
        #expect(note(.appeared, path, identity(9), at: .zero) == true)
        #expect(look(9, at: 200, hasEnd: false) == .waiting)
        #expect(look(12, at: 1200, hasEnd: true) == .waiting)
        #expect(look(12, at: 1400, hasEnd: true) == .settled(.init(sign: .appeared, first: .zero)))
    }

    @Test mutating func whatIsGoneIsForgotten() {
        #expect(note(.appeared, path, identity(9), at: .zero) == true)
        #expect(look(nil, at: 200) == .vanished)
        #expect(settler.count == 0)
        #expect(look(9, at: 300) == .vanished)
        #expect(note(.appeared, path, identity(9), at: .zero) == true)
        #expect(note(.appeared, other, identity(9), at: .zero) == true)
        settler.forget(path)
        #expect(!settler.holds(path) && settler.holds(other))
        settler.forget(within: other.parent)
        #expect(settler.count == 0)
    }

    @Test mutating func onlySoManyAreHeld() throws {
        settler = Settler(rules: .init(capacity: 1))
        #expect(note(.appeared, path, identity(9), at: .zero) == true)
        #expect(settler.isFull)
        #expect(note(.movedIn, other, identity(9), at: .zero) == false)
        #expect(note(.movedIn, path, identity(10), at: .zero) == true)
        #expect(settler.count == 1)
    }

    @Test mutating func aFileThatCannotBeLookedAtIsTriedAgainLater() {
        #expect(note(.appeared, path, identity(9), at: .zero) == true)
        settler.postpone(path, at: .milliseconds(200))
        #expect(settler.nextDue == .milliseconds(1200))
    }

    @Test mutating func thoseThatWaitLongestComeFirst() {
        #expect(note(.found, path, identity(9), at: .zero) == true)
        #expect(note(.movedIn, other, identity(9), at: .milliseconds(500)) == true)
        #expect(settler.due(at: .seconds(2)) == [other, path])
    }
}
