import CaptionService
import FoundationEssentials
import LatencyBudget
import Testing

@Suite struct DeviceSignalsTests {
    let folder: ScratchFolder
    let places: DeviceSignals.Places

    init() throws {
        folder = try ScratchFolder()
        var places = DeviceSignals.Places()
        places.thermal = folder.path + "/thermal"
        places.cores = folder.path + "/cpu"
        places.pressure = folder.path + "/pressure"
        places.load = folder.path + "/loadavg"
        self.places = places
    }

    private func write(_ text: String, _ path: String) throws {
        let place = URL(filePath: folder.path).appending(path: path)
        try FileManager.default.createDirectory(
            at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: place)
    }

    @Test func everythingThatIsShownIsRead() throws {
        try write("71500\n", "thermal/thermal_zone0/temp")
        try write("2400000\n", "cpu/cpu0/cpufreq/cpuinfo_max_freq")
        try write("1200000\n", "cpu/cpu0/cpufreq/scaling_max_freq")
        try write("2400000\n", "cpu/cpu1/cpufreq/cpuinfo_max_freq")
        try write("2400000\n", "cpu/cpu1/cpufreq/scaling_max_freq")
        try write("0\n", "cpu/cpuidle/cpufreq/scaling_max_freq")
        try write("some avg10=12.50 avg60=1.00 avg300=0.10 total=5\n", "pressure/cpu")
        try write(
            "some avg10=3.00 avg60=1.00 avg300=0.1 total=5\nfull avg10=2.00 avg60=0 avg300=0 total=1\n",
            "pressure/memory")
        #expect(
            DeviceSignals.sample(places)
                == DeviceSignals(temperature: 71.5, frequencyRatio: 0.75, cpuPressure: 12.5, memoryPressure: 3))
    }

    @Test func whatIsMissingOrMakesNoSenseIsNotShown() throws {
        #expect(DeviceSignals.sample(places) == DeviceSignals())
        try write("0\n", "cpu/cpu0/cpufreq/cpuinfo_max_freq")
        try write("1200000\n", "cpu/cpu0/cpufreq/scaling_max_freq")
        try write("some avg10=nan avg60\n", "pressure/cpu")
        try write("full avg10=3.00\n", "pressure/memory")
        #expect(DeviceSignals.sample(places) == DeviceSignals())
        try write("some avg10=101.0\n", "pressure/cpu")
        try write("", "pressure/memory")
        #expect(DeviceSignals.sample(places) == DeviceSignals())
    }

    @Test func theOthersThatWantACoreAreCounted() throws {
        #expect(DeviceSignals.competitors(places) == nil)
        try write("0.20 0.18 0.12 3/80 11206\n", "loadavg")
        #expect(DeviceSignals.competitors(places) == 2)
        try write("0.20 0.18 0.12 1/80 11206\n", "loadavg")
        #expect(DeviceSignals.competitors(places) == 0)
        for nonsense in [
            "", "0.20 0.18", "1 2 3 4", "1 2 3 0/80 5", "1 2 3 -4/80 5", "1 2 3 x/80 5", "1 2 3 9999999/1 5",
        ] {
            try write(nonsense, "loadavg")
            #expect(DeviceSignals.competitors(places) == (nonsense == "1 2 3 4" ? 3 : nil), "\(nonsense)")
        }
    }
}
