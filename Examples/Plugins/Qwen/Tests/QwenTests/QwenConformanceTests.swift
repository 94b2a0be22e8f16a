import BridgeCore
import Foundation
import PluginConformance
import TensorRuntime
import Testing

@testable import Qwen

/// The rules that every plugin keeps, on toys and on fixtures with logits of transformers.
@Suite struct QwenConformanceTests {
    /// Made by `Examples/Plugins/reference.py`.
    private static let fixtures = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures").path

    @Test func thePluginKeepsTheRules() throws {
        let suite = ConformanceSuite(
            catalog: try PluginCatalog(linked: [QwenPlugin()]),
            engine: CPUEngine(threadCount: 2),
            fixtures: ["qwen2", "qwen3"].map {
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
