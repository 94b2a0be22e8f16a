import BridgeCore
import Communication
import Logging
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// The comparison of layouts by `bridge selftest parallel`.
@Suite struct LayoutSelftestTests {
    typealias Curve = LayoutSelftest.Curve

    @Test func differencesAreTheLargestOfAllSteps() {
        let curve = Curve(losses: [2, 4.4, 8], norms: [1, 1, 0.5])
        let other = Curve(losses: [2, 4, 8], norms: [1, 2, 0.5])
        let found = curve.differences(from: other)
        #expect(abs(found.loss - 0.1) < 1e-12 && found.norm == 0.5)
    }

    @Test func missingStepsAndNumbersThatAreNoneDiffer() {
        let curve = Curve(losses: [1, 2], norms: [1, 1])
        #expect(curve.differences(from: Curve(losses: [1], norms: [1])).loss == .infinity)
        #expect(curve.differences(from: Curve(losses: [1, .nan], norms: [1, 1])).loss == .infinity)
        #expect(Curve().differences(from: Curve()).norm == .infinity)
    }

    @Test func everyLayoutOfTwoRanksAgrees() throws {
        let scratch = try TemporaryDirectory()
        let path = scratch.path("toy")
        _ = try ToyModel(family: "mistral", options: .init(elementType: .float32)).write(to: path)
        let catalog = try PluginCatalog.standard()
        let test = try LayoutSelftest(path, catalog: catalog, ranks: 2, steps: 2, logger: Logger(label: "test"))
        // TP, CP, DP and PP of two ranks, TP with sequence parallelism too; each unpacked and packed.
        #expect(Set(test.variants).count == 10)
        let single = try test.run(LayoutSelftest.Variant(ParallelLayout()), in: SingleRankWorld())
        for variant in test.variants {
            for curve in try ThreadWorld.run(2, { try test.run(variant, in: $0) }) {
                let found = curve.differences(from: single)
                #expect(max(found.loss, found.norm) <= LayoutSelftest.tolerance, "\(variant.name)")
            }
        }
    }
}
