import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing

@Suite struct RoundTripTests {
    /// Every layout that a checkpoint allows.
    static var cases: [(String, RankLayout)] {
        get throws {
            try Fixtures.exact.flatMap { name in
                [1, 2, 4].flatMap { tensor in
                    [1, 2, 3].map { (name, RankLayout(tensorSize: tensor, pipelineSize: $0)) }
                }
            }.filter { $0.0 != "mistral-peer" || $0.1.tensorSize <= 2 }
        }
    }

    @Test(arguments: try cases)
    func exportAfterImportGivesTheSameBytes(_ name: String, _ layout: RankLayout) throws {
        let directory = try TemporaryDirectory()
        let source = Fixtures.checkpoint(name)
        let bridge = try AutoBridge.fromHF(source)
        try bridge.importCheckpoint(to: directory.path("megatron"), options: ConversionOptions(layout: layout))
        try AutoBridge.fromMegatron(directory.path("megatron")).exportCheckpoint(
            from: directory.path("megatron"),
            to: directory.path("again")
        )
        #expect(try contents(of: directory.path("again")) == contents(of: source))
    }

    @Test(arguments: ["mistral-odd-vocab", "ministral3", "gemma3"])
    func anyLayoutBecomesAnyOther(_ name: String) throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(name))
        let layers = bridge.toProvider().decoder.numLayers
        let layouts = [
            RankLayout(tensorSize: 4, pipelineSize: 2), RankLayout(tensorSize: 2, stageLayers: [1, layers - 2, 1]),
            RankLayout(tensorSize: 1, pipelineSize: 3), RankLayout(tensorSize: 4, pipelineSize: 1),
        ]
        try bridge.importCheckpoint(to: directory.path("0"), options: ConversionOptions(layout: layouts[0]))
        for (index, layout) in layouts.enumerated() {
            let direct = directory.path("direct\(index)")
            let options = ConversionOptions(layout: layout)
            try NativeCheckpoint(path: directory.path("\(index)")).reshard(
                to: directory.path("\(index + 1)"),
                options: options
            )
            try bridge.importCheckpoint(to: direct, options: options)
            // The weights and the run's configuration are those of an import into that layout.
            let (resharded, imported) = try (contents(of: directory.path("\(index + 1)")), contents(of: direct))
            for file in imported.keys where !file.hasSuffix("manifest.json") {
                #expect(resharded[file] == imported[file], "\(file)")
            }
            #expect(Set(resharded.keys) == Set(imported.keys))
        }
        try bridge.exportCheckpoint(from: directory.path("\(layouts.count)"), to: directory.path("again"))
        #expect(try contents(of: directory.path("again")) == contents(of: Fixtures.checkpoint(name)))
    }

    @Test func theNumberOfThreadsAndTheMemoryLimitDoNotChangeTheBytes() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("ministral3"))
        let layout = RankLayout(tensorSize: 2, pipelineSize: 2)
        for (name, context) in [
            ("one", RunContext(workers: 1)), ("many", RunContext(workers: 7)), ("small", RunContext(memoryLimit: 1)),
        ] {
            try bridge.importCheckpoint(
                to: directory.path(name),
                options: ConversionOptions(layout: layout, context: context)
            )
        }
        #expect(try contents(of: directory.path("one")) == contents(of: directory.path("many")))
        #expect(try contents(of: directory.path("one")) == contents(of: directory.path("small")))
    }

    @Test func exportedWeightsAreTheSourceTensors() throws {
        let directory = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint("gemma3"))
        try bridge.importCheckpoint(
            to: directory.path("m"),
            options: ConversionOptions(layout: RankLayout(tensorSize: 2))
        )
        let source = try SlowTensor.readAll(Fixtures.checkpoint("gemma3"), prefix: "model")
        let weights = try bridge.exportWeights(from: directory.path("m"))
        #expect(weights.count == source.count)
        for weight in weights {
            #expect(try weight.bytes() == source[weight.name]?.bytes)
            #expect(weight.shape == source[weight.name]?.shape)
        }
    }
}
