import Glibc
import ModelFiles
import Testing

/// Writing a packed file: whole or not at all.
@Suite struct PackedModelWritingTests {
    let folder: TemporaryFolder
    let target: TemporaryFolder
    let model: PreparedModel

    init() throws {
        folder = try TemporaryFolder()
        target = try folder.makeFolder("target")
        model = try TinyCheckpoint().open(in: folder)
    }

    private func code(
        _ model: PreparedModel? = nil, to path: String, precision: ModelPrecision = .bf16,
        identity: ModelIdentity? = nil, replacing: Bool = false
    ) throws -> ModelFileError.Code {
        var hasStarted = false
        let code = try errorCode {
            try PackedModel.write(
                from: model ?? self.model, to: path, precision: precision, identity: identity, replacing: replacing
            ) { _ in
                hasStarted = true
                return true
            }
        }
        #expect(!hasStarted, "refused only after minutes of writing")
        return code
    }

    @Test func nothingIsReplacedUnasked() throws {
        let path = target["model.fastvlm"]
        try target.write("precious", to: "model.fastvlm")
        #expect(try code(to: path) == .destinationExists)
        #expect(try target.read("model.fastvlm") == Array("precious".utf8))
        try PackedModel.write(from: model, to: path, precision: .bf16, replacing: true)
        #expect(try PreparedModel.open(path: path).precision == .bf16)
        #expect(try code(to: path) == .destinationExists)
        #expect(target.names == ["model.fastvlm"])
    }

    @Test func whatAppearsMeanwhileIsNotReplaced() throws {
        let path = target["model.fastvlm"]
        let code = try errorCode {
            try PackedModel.write(from: model, to: path, precision: .bf16) { progress in
                if progress.completedBytes == progress.totalBytes { try? target.write("precious", to: "model.fastvlm") }
                return true
            }
        }
        #expect(code == .destinationExists)
        #expect(try target.read("model.fastvlm") == Array("precious".utf8))
        #expect(target.names == ["model.fastvlm"])
    }

    @Test func linksAreReplacedNotFollowed() throws {
        try target.write("precious", to: "victim")
        symlink("victim", target["model.fastvlm"])
        #expect(try code(to: target["model.fastvlm"]) == .destinationExists)
        try PackedModel.write(from: model, to: target["model.fastvlm"], precision: .bf16, replacing: true)
        #expect(try target.read("victim") == Array("precious".utf8))
        symlink("nowhere", target["dangling.fastvlm"])
        #expect(try code(to: target["dangling.fastvlm"]) == .destinationExists)
    }

    @Test func placesWhereNoFileCanBeAreRefused() throws {
        #expect(try code(to: target["none/model.fastvlm"]) == .destinationInvalid)
        #expect(try code(to: target["model.safetensors"]) == .destinationInvalid)
        #expect(try code(to: target[".fastvlm"]) == .destinationInvalid)
        #expect(try code(to: target.path + "/") == .destinationInvalid)
        #expect(try code(to: "") == .destinationInvalid)
        _ = try target.makeFolder("folder.fastvlm")
        #expect(try code(to: target["folder.fastvlm"], replacing: true) == .destinationInvalid)
        #expect(target.names == ["folder.fastvlm"])
    }

    @Test func aModelIsNotWrittenOverItself() throws {
        let path = target["model.fastvlm"]
        try PackedModel.write(from: model, to: path, precision: .f32)
        let packed = try PreparedModel.open(path: path)
        #expect(try code(packed, to: path, replacing: true) == .destinationIsSource)
        link(path, target["other.fastvlm"])
        #expect(try code(packed, to: target["other.fastvlm"], replacing: true) == .destinationIsSource)
        #expect(try PackedModel.verify(path: path).precision == .f32)
        // A shard of the checkpoint is its source too.
        let shard = folder["checkpoint/shard.fastvlm"]
        link(folder["checkpoint/model.safetensors"], shard)
        #expect(try code(to: shard, replacing: true) == .destinationIsSource)
    }

    @Test func precisionsThatAreNotWrittenAreRefusedByName() throws {
        for precision in [ModelPrecision.f16] {
            let error = #expect(throws: ModelFileError.self) {
                try PackedModel.write(from: model, to: target["model.fastvlm"], precision: precision)
            }
            #expect(error?.code == .packUnsupported)
            #expect(error?.message.contains("as \(precision.rawValue)") == true)
        }
        #expect(target.names == [])
    }

    @Test func fourBitsAreForWhatBearsThem() throws {
        let path = target["model.fastvlm"]
        try PackedModel.write(from: model, to: path, precision: .int4)
        let packed = try PreparedModel.open(path: path)
        #expect(packed.precision == .int4)
        func element(_ name: String) throws -> TensorElement { try packed.tensor(name + ".weight").element }
        for part in ["attention.q", "attention.k", "mlp.gate", "mlp.up", "mlp.down"] {
            #expect(try element("text.layers.1.\(part)") == .u8, "\(part)")
        }
        for part in ["attention.v", "attention.o"] {
            #expect(try element("text.layers.1.\(part)") == .i8, "\(part)")
        }
        #expect(try element("text.embedding") == .u8 && element("projector.0") == .i8)
        #expect(try element("vision.stem.2") == .bf16)
        #expect(try PackedModel.verify(path: path).precision == .int4)
    }

    private func origin(
        source: String = "https://hub.example/a/b", revision: String = "main",
        sha256: String = String(repeating: "a", count: 64), byteCount: Int = 1, count: Int = 1
    ) -> ModelIdentity {
        let file = ModelOrigin.File(name: "config.json", byteCount: byteCount, sha256: sha256, checkedBy: "sha256")
        return ModelIdentity(
            name: "a",
            origin: ModelOrigin(
                source: source, revision: revision, licenceAccepted: true,
                files: Array(repeating: file, count: count)))
    }

    @Test func anIdentityMustHold() throws {
        let path = target["model.fastvlm"]
        for identity in [
            ModelIdentity(name: ""), ModelIdentity(name: String(repeating: "x", count: 201)),
            ModelIdentity(name: "a\n"),
            ModelIdentity(name: "a", resolutions: []), ModelIdentity(name: "a", resolutions: [16]),
            ModelIdentity(name: "a", resolutions: [8192]), ModelIdentity(name: "a", resolutions: [512, 256]),
            ModelIdentity(name: "a", resolutions: [256, 256]), ModelIdentity(name: "a", defaultResolution: 300),
            ModelIdentity(name: "a", licence: String(repeating: "x", count: 201)),
            ModelIdentity(name: "a", licenceText: String(repeating: "x", count: 1 + 1 << 20)),
            ModelIdentity(name: "a", resolutions: Array(256...288)),
            origin(source: ""), origin(source: "a\u{1b}"), origin(revision: String(repeating: "x", count: 201)),
            origin(sha256: "abc"), origin(byteCount: -1), origin(count: 1_101),
        ] {
            #expect(try code(to: path, identity: identity) == .optionInvalid)
        }
        let long = ModelIdentity(name: "a", licenceText: String(repeating: "\u{1}", count: 1 << 20))
        try PackedModel.write(from: model, to: path, precision: .bf16, identity: long)
        #expect(try PreparedModel.open(path: path).identity == long)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity, 3.4e38])
    func aWeightThatIsNoNumberOrTooLargeIsRefused(value: Float) throws {
        for (name, expected) in [
            ("model.layers.1.mlp.down_proj.weight", "text.layers.1.mlp.down.weight"),
            ("model.norm.weight", "text.norm.weight"),
        ] {
            var checkpoint = TinyCheckpoint(element: .f32)
            checkpoint.edit = { tensors in
                for index in tensors.indices where tensors[index].name == name {
                    tensors[index].stored.bytes.replaceSubrange(20..<24, with: FloatBytes.f32([value]))
                }
            }
            let damaged = try checkpoint.open(in: folder, as: expected)
            // 3.4e38 is a float, but rounds to an infinite bfloat16; vectors stay floats.
            let isFine = value == 3.4e38 && name == "model.norm.weight"
            let path = target["\(expected).fastvlm"]
            if isFine {
                try PackedModel.write(from: damaged, to: path, precision: .bf16)
                unlink(path)
            } else {
                let error = #expect(throws: ModelFileError.self) {
                    try PackedModel.write(from: damaged, to: path, precision: .bf16)
                }
                #expect(error?.code == .tensorValueInvalid)
                #expect(error?.message.contains("'\(expected)': value \(value) at 5") == true)
            }
        }
        #expect(target.names == [])
    }

    // MARK: - Stopping and failing

    @Test func progressRunsToTheEnd() throws {
        var steps: [PackedModel.Progress] = []
        let path = target["model.fastvlm"]
        let summary = try PackedModel.write(from: model, to: path, precision: .f32) {
            steps.append($0); return true
        }
        #expect(steps.map(\.completedBytes) == steps.map(\.completedBytes).sorted())
        #expect(steps.allSatisfy { $0.totalBytes == summary.byteCount })
        #expect(steps.last?.completedBytes == summary.byteCount)
        steps = []
        try PackedModel.verify(path: path) {
            steps.append($0); return true
        }
        #expect(steps.last?.completedBytes == summary.byteCount)
        #expect(steps.last?.totalBytes == summary.byteCount)
    }

    @Test func stoppingAtAnyPlaceLeavesNothing() throws {
        var total = 0
        let path = target["model.fastvlm"]
        try PackedModel.write(from: model, to: path, precision: .bf16) { _ in
            total += 1; return true
        }
        unlink(path)
        #expect(total > 50)
        for last in stride(from: 1, through: total, by: 7) {
            var step = 0
            let code = try errorCode {
                try PackedModel.write(from: model, to: path, precision: .bf16) { _ in
                    step += 1
                    return step < last
                }
            }
            #expect(code == .cancelled)
            #expect(target.names == [])
        }
        try PackedModel.write(from: model, to: path, precision: .f32)
        #expect(try errorCode { try PackedModel.verify(path: path) { _ in false } } == .cancelled)
    }

    /// While it is written, the file has another, hidden name.
    @Test func aHalfWrittenFileHasNotItsName() throws {
        let path = target["model.fastvlm"]
        var seen: Set<[String]> = []
        try PackedModel.write(from: model, to: path, precision: .bf16) { _ in
            seen.insert(target.names)
            return true
        }
        #expect(seen.count == 1)
        #expect(seen.first?.count == 1)
        #expect(seen.first?.first?.hasPrefix(".model.fastvlm.") == true)
        #expect(target.names == ["model.fastvlm"])
    }

    /// A limit on file sizes stands for a full disk: both fail in the same calls.
    @Test func aFileThatDoesNotFitLeavesNothing() async throws {
        await #expect(processExitsWith: .success) {
            let folder = try TemporaryFolder()
            let target = try folder.makeFolder("target")
            let model = try TinyCheckpoint().open(in: folder)
            signal(SIGXFSZ, SIG_IGN)
            var limit = rlimit()
            try #require(getrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            limit.rlim_cur = 100_000
            try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            let error = #expect(throws: ModelFileError.self) {
                try PackedModel.write(from: model, to: target["model.fastvlm"], precision: .f32) { _ in
                    Issue.record("refused only after writing has begun")
                    return true
                }
            }
            #expect(error?.code == .writeFailed)
            #expect(target.names == [])
        }
    }
}
