import BridgeCore
import Foundation
import PluginConformance
import TensorRuntime
import Testing

@testable import Llama

/// The rules that every plugin keeps, on toys and on fixtures with logits of transformers.
@Suite struct LlamaConformanceTests {
    /// Made by `Examples/Plugins/reference.py`.
    private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures").path

    @Test func thePluginKeepsTheRules() throws {
        let suite = ConformanceSuite(
            catalog: try PluginCatalog(linked: [LlamaPlugin()]),
            engine: CPUEngine(threadCount: 2),
            fixtures: ["llama"].map {
                ReferenceFixture(
                    checkpoint: "\(Self.fixtures)/\($0)",
                    reference: "\(Self.fixtures)/\($0).safetensors"
                )
            }
        )
        let results = try suite.run()
        for finding in results.flatMap(\.findings) { Issue.record("\(finding.sentence)") }
        #expect(results.allSatisfy { $0.outcome == .kept })
    }
}
