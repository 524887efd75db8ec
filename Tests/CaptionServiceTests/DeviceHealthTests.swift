import CaptionService
import FoundationEssentials
import Testing

@Suite struct DeviceHealthTests {
    @Test func thisProcessHasAPlausibleSize() throws {
        let resident = try #require(DeviceHealth.sample().residentMiB)
        #expect((1...100_000).contains(resident))
    }

    @Test func theHottestZoneCountsAndAbsurdValuesDoNot() throws {
        let folder = try ScratchFolder()
        for (zone, text) in [
            ("0", "41500\n"), ("1", "61500\n"), ("2", "-274000\n"), ("3", "garbage"), ("4", "9000000"),
        ] {
            let place = URL(filePath: folder.path).appending(path: "thermal_zone\(zone)")
            try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: place.appending(path: "temp"))
        }
        let health = DeviceHealth.sample(process: folder.path, thermal: folder.path)
        #expect(health.temperature == 61.5)
        #expect(health.residentMiB == nil)
    }

    @Test func whatASystemDoesNotShowIsNil() {
        #expect(DeviceHealth.sample(process: "/nonexistent", thermal: "/nonexistent") == DeviceHealth())
    }
}
