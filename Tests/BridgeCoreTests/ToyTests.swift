import BridgeCore
import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

@Suite struct ToyTests {
    static let families = ["gemma3", "gemma3_text", "ministral3", "mistral"]

    /// What the published checkpoints hold, calculated from their configurations without this program; nil where only the
    /// parameters were counted.
    static let published: [(family: String, size: String, tensors: Int?, parameters: Int)] = [
        ("mistral", "7b", 291, 7_248_023_552), ("mistral", "24b", 363, 23_572_403_200),
        ("ministral3", "3b", 458, 3_849_090_048), ("ministral3", "8b", nil, 8_918_026_240),
        ("ministral3", "14b", nil, 13_945_031_680), ("gemma3", "4b", 883, 4_300_079_472),
        ("gemma3", "12b", nil, 12_187_325_040), ("gemma3", "27b", nil, 27_432_406_640),
        ("gemma3_text", "270m", 236, 268_098_176), ("gemma3_text", "1b", 340, 999_885_952),
    ]

    @Test(arguments: published)
    func aRealSizeHasTheTensorsOfThePublishedOne(_ it: (family: String, size: String, tensors: Int?, parameters: Int))
        throws
    {
        let toy = try ToyModel(family: it.family, options: .init(realSize: it.size))
        #expect(toy.parameterCount == it.parameters)
        #expect(toy.byteCount == 2 * it.parameters)
        if let tensors = it.tensors { #expect(toy.tensorCount == tensors) }
        #expect(toy.tensors.reduce(0) { $0 + $1.shape.reduce(1, *) } == it.parameters)
        #expect(Set(toy.tensors.map(\.name)).count == toy.tensorCount)
        #expect(toy.weightFiles.allSatisfy { $0.byteCount <= 5_000_000_000 })
        #expect(toy.weightFiles.count > 1)
    }

    @Test func everyPublishedSizeIsCounted() throws {
        let catalog = try PluginCatalog.standard()
        #expect(catalog.bridges.map(\.name).sorted() == Self.families)
        let sizes = catalog.bridges.flatMap { bridge in bridge.toy.realSizes.map { "\(bridge.name) \($0.name)" } }
        #expect(sizes.sorted() == Self.published.map { "\($0.family) \($0.size)" }.sorted())
    }

    @Test func tensorsHaveTheNamesThatTheHubHas() throws {
        let vision = "vision_tower.vision_model.encoder.layers.26.self_attn.out_proj.bias"
        let gemma = try ToyModel(family: "gemma3", options: .init(realSize: "4b")).tensors
        #expect(gemma.first { $0.name == vision }?.shape == [1152])
        #expect(
            gemma.first { $0.name == "multi_modal_projector.mm_input_projection_weight" }?.shape == [1152, 2560]
        )
        #expect(!gemma.contains { $0.name.contains("lm_head") })
        let ministral = try ToyModel(family: "ministral3", options: .init(realSize: "8b")).tensors
        #expect(ministral.first { $0.name == "language_model.lm_head.weight" }?.shape == [131_072, 4096])
        let tied = try ToyModel(family: "ministral3", options: .init(realSize: "3b")).tensors
        #expect(!tied.contains { $0.name.contains("lm_head") })
    }

    @Test(arguments: families) func theSameSeedGivesTheSameBytesWhateverTheThreads(_ family: String) throws {
        try withDirectory { directory in
            let toy = try ToyModel(family: family, options: .init(seed: 5))
            try toy.write(to: "\(directory)/one", context: RunContext(workers: 1))
            try ToyModel(family: family, options: .init(seed: 5))
                .write(to: "\(directory)/seven", context: RunContext(workers: 7))
            try ToyModel(family: family, options: .init(seed: 6)).write(to: "\(directory)/other")
            let one = try contents(of: "\(directory)/one")
            #expect(try contents(of: "\(directory)/seven") == one)
            let other = try contents(of: "\(directory)/other")
            #expect(other.keys.sorted() == one.keys.sorted())
            let weights = one.keys.filter { $0.hasSuffix(".safetensors") }
            #expect(!weights.isEmpty && weights.allSatisfy { other[$0] != one[$0] })
            #expect(one.values.reduce(0) { $0 + $1.count } < 1_200_000)
            #expect(toy.byteCount < 1_000_000)
        }
    }

    @Test func theValuesOfATensorFollowTheirDefinition() throws {
        try withDirectory { directory in
            try ToyModel(family: "mistral", options: .init(elementType: .float32)).write(to: directory, overwrite: true)
            let tensors = try HuggingFaceDirectory(path: directory).tensors
            let norm = try #require(tensors["model.norm.weight"])
            let bytes = try norm.storage.bytes(norm.offset..<norm.offset + norm.byteCount)
            let found = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
            // The norms of this family are spread by 0.25 around 1.
            #expect(found == Self.stream(of: "model.norm.weight", seed: 0, count: found.count).map { 1 + $0 * 0.25 })
        }
    }

    /// The definition in `random.c`, one element at a time: multiples of 1/32768 in [-1, 1).
    private static func stream(of name: String, seed: UInt64, count: Int) -> [Float] {
        // FNV-1a of the seed and the name.
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: seed >> (8 * UInt64($0))) } + Array(name.utf8)
        let start = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        var generator = SplitMix(state: start)
        let keys = generator.next()
        return (0..<count).map { element in
            var draw = UInt32(element / 2) &+ UInt32(truncatingIfNeeded: keys)
            draw = (draw ^ draw >> 16) &* 0x7FEB_352D
            draw = ((draw ^ draw >> 15) &+ UInt32(keys >> 32)) &* 0x846C_A68B
            draw ^= draw >> 16
            let half = UInt16(truncatingIfNeeded: element.isMultiple(of: 2) ? draw : draw >> 16)
            return Float(Int16(bitPattern: half)) / 32768
        }
    }

    @Test(arguments: families) func shardsAndIndexAgree(_ family: String) throws {
        try withDirectory { directory in
            let toy = try ToyModel(family: family, options: .init(seed: 1))
            let report = try toy.write(to: directory, overwrite: true)
            #expect(report.tensors == toy.tensorCount)
            // Opening compares the index with the files.
            let opened = try HuggingFaceDirectory(path: directory)
            #expect((2...3).contains(opened.shards.count))
            #expect(opened.indexName == "model.safetensors.index.json")
            #expect(opened.tensors.count == toy.tensorCount)
            #expect(opened.byteCount == toy.byteCount)
            for (index, shard) in opened.shards.enumerated() {
                #expect(shard.name == "model-0000\(index + 1)-of-0000\(opened.shards.count).safetensors")
                #expect(shard.header.metadata == JSONObject([("format", "pt")]))
            }
            let index = try JSON(contentsOf: "\(directory)/model.safetensors.index.json")
            #expect(index[path: "metadata.total_size"]?.integer == toy.byteCount)
        }
    }

    @Test(arguments: families) func importAndExportGiveTheSameFiles(_ family: String) throws {
        try withDirectory { directory in
            try ToyModel(family: family, options: .init(seed: 2)).write(to: "\(directory)/toy")
            let bridge = try AutoBridge.fromHF("\(directory)/toy")
            #expect(bridge.unreadKeys.isEmpty)
            let options = ConversionOptions(layout: RankLayout(tensorSize: 4, pipelineSize: 2))
            try bridge.importCheckpoint(to: "\(directory)/megatron", options: options)
            try AutoBridge.fromMegatron("\(directory)/megatron")
                .exportCheckpoint(from: "\(directory)/megatron", to: "\(directory)/again")
            #expect(try contents(of: "\(directory)/again") == contents(of: "\(directory)/toy"))
        }
    }

    @Test(arguments: families) func layersHiddenSizeAndTypeAreAsAskedFor(_ family: String) throws {
        try withDirectory { directory in
            let options = ToyModel.Options(layers: 9, hiddenSize: 64, elementType: .float16)
            try ToyModel(family: family, options: options).write(to: directory, overwrite: true)
            let bridge = try AutoBridge.fromHF(directory)
            #expect(bridge.toProvider().decoder.numLayers == 9)
            #expect(bridge.toProvider().decoder.hiddenSize == 64)
            #expect(bridge.toProvider().elementType == .float16)
            #expect(try HuggingFaceDirectory(path: directory).tensors.values.allSatisfy { $0.elementType == .float16 })
            #expect(try bridge.plan().ledger.mapped.count == HuggingFaceDirectory(path: directory).tensors.count)
        }
    }

    @Test(arguments: families) func noNumberIsNeutral(_ family: String) throws {
        try withDirectory { directory in
            try ToyModel(family: family, options: .init(elementType: .float32)).write(to: directory, overwrite: true)
            let isZeroCentred = family.hasPrefix("gemma3")
            for (name, tensor) in try HuggingFaceDirectory(path: directory).tensors {
                let bytes = try tensor.storage.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
                let numbers = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
                #expect(Set(numbers).count > numbers.count / 2, "\(name) repeats itself")
                let mean = numbers.reduce(0, +) / Float(numbers.count)
                let isNorm = name.contains("norm") || name.hasSuffix("ln_pre.weight")
                guard isNorm, name.hasSuffix(".weight") else { continue }
                let around: Float = isZeroCentred && !name.hasPrefix("vision_tower.") ? 0 : 1
                #expect(abs(mean - around) < 0.25, "\(name) has the mean \(mean)")
                #expect(numbers.allSatisfy { abs($0 - around) <= 0.25 }, "\(name)")
            }
        }
    }

    @Test func anImpossibleToyIsAnErrorOfOneSentence() throws {
        func message(_ family: String, _ options: ToyModel.Options) -> String {
            do {
                _ = try ToyModel(family: family, options: options)
                return "nothing was thrown"
            } catch {
                return (error as? BridgeError)?.message ?? "\(error)"
            }
        }
        #expect(message("bert", .init()).contains("the families are gemma3, gemma3_text, ministral3, mistral"))
        #expect(message("gemma3", .init(realSize: "3b")).contains("its sizes are 4b, 12b, 27b"))
        #expect(message("gemma3", .init(hiddenSize: 60)).contains("not a multiple of 8"))
        #expect(message("mistral", .init(hiddenSize: 100, realSize: "7b")).contains("not a multiple of 64"))
        #expect(message("mistral", .init(layers: 0)).contains("0 layers"))
        #expect(message("mistral", .init(elementType: .int8)).contains("int8"))
    }

    @Test func anExistingDirectoryIsKept() throws {
        try withDirectory { directory in
            let toy = try ToyModel(family: "mistral")
            try toy.write(to: "\(directory)/toy")
            #expect(throws: BridgeError.self) { try toy.write(to: "\(directory)/toy") }
            try ToyModel(family: "mistral", options: .init(seed: 3)).write(to: "\(directory)/toy", overwrite: true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == ["toy"])
        }
    }

    private func withDirectory(_ body: (String) throws -> Void) throws {
        let directory = try TemporaryDirectory()
        try body(directory.path)
    }
}
