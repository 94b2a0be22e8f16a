import BridgeCore
import Foundation
import PluginConformance
import TestSupport
import Testing

/// Every family that is here keeps the rules, on its toy and on checkpoints with logits of transformers.
@Suite struct FamilyConformanceTests {
    private static let fixtures = [
        "Mistral": ["mistral", "mistral-yarn"], "Ministral3": ["ministral3"], "Gemma3VL": ["gemma3", "gemma3-untied"],
    ]

    private static func results(
        _ library: String,
        _ fixtures: [ReferenceFixture]
    ) throws -> [ConformanceResult] {
        let path = BridgeProcess.buildDirectory.appendingPathComponent(library).path
        let suite = ConformanceSuite(
            catalog: try PluginCatalog(files: [path], directories: []),
            engine: TestEngine.cpu(threadCount: 2),
            fixtures: fixtures
        )
        return try suite.run()
    }

    private static func expectKept(_ results: [ConformanceResult], skipping allowed: Set<ConformanceRule>) {
        for result in results {
            #expect(result.findings.isEmpty, "\(result.family), \(result.rule): \(result.findings.map(\.sentence))")
            if case .skipped(let reason) = result.outcome {
                #expect(allowed.contains(result.rule), "\(result.family), \(result.rule) was skipped: \(reason)")
            }
        }
    }

    @Test(arguments: ["Mistral", "Ministral3", "Gemma3VL"]) func theFamiliesKeepTheRules(_ plugin: String) throws {
        let fixtures = try #require(Self.fixtures[plugin]).map { name in
            ReferenceFixture(
                checkpoint: Fixtures.checkpoint(name),
                reference: "\(Fixtures.root)/reference/\(name).safetensors"
            )
        }
        let results = try Self.results("lib\(plugin)Plugin.so", fixtures)
        let families = Set(results.map(\.family))
        #expect(results.count == families.count * ConformanceRule.allCases.count)
        // The text model of Gemma 3 has no fixture.
        let withFixture = results.filter { $0.family != "gemma3_text" }
        Self.expectKept(withFixture, skipping: [])
        Self.expectKept(results.filter { $0.family == "gemma3_text" }, skipping: [.checkpoint, .parity])
    }

    /// The parameters of the published checkpoints, as their model cards and configurations give them.
    @Test(arguments: [
        ("Llama", "llama", "1b", 1_235_814_400), ("Llama", "llama", "8b", 8_030_261_248),
        ("Qwen", "qwen2", "0.5b", 494_032_768), ("Qwen", "qwen2", "7b", 7_615_616_512),
        ("Qwen", "qwen3", "0.6b", 596_049_920), ("Qwen", "qwen3", "8b", 8_190_735_360),
    ])
    func aPublishedSizeHasTheParametersOfThePublishedModel(
        _ plugin: String,
        _ family: String,
        _ size: String,
        _ parameters: Int
    ) throws {
        let path = BridgeProcess.buildDirectory.appendingPathComponent("lib\(plugin)Example.so").path
        let catalog = try PluginCatalog(files: [path], directories: [])
        let toy = try ToyModel(family: family, options: .init(realSize: size), catalog: catalog)
        #expect(toy.parameterCount == parameters)
    }

    @Test(arguments: [("Llama", ["llama"]), ("Qwen", ["qwen2", "qwen3"])])
    func theExamplesKeepTheRules(_ plugin: String, _ families: [String]) throws {
        let root = "\(Fixtures.repository)/Examples/Plugins/\(plugin)/Tests/Fixtures"
        let fixtures = families.map {
            ReferenceFixture(checkpoint: "\(root)/\($0)", reference: "\(root)/\($0).safetensors")
        }
        let results = try Self.results("lib\(plugin)Example.so", fixtures)
        #expect(Set(results.map(\.family)) == Set(families))
        Self.expectKept(results, skipping: [])
    }
}
