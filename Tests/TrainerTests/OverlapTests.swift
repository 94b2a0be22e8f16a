import BridgeCore
import Communication
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// Gradients that are summed during the backward pass, and parameters that are gathered during the forward pass: the bits of
/// a run without overlap.
@Suite struct OverlapTests {
    typealias Layout = LayoutTests.Layout

    static let layouts: [(String, Layout)] = [
        ("mistral", Layout(dp: 2)), ("gemma3", Layout(dp: 2, zero: false)), ("ministral3", Layout(cp: 2)),
        ("ministral3", Layout(tp: 2, dp: 2, sequenceParallel: true)), ("gemma3", Layout(cp: 2, pp: 2, vp: 2)),
        ("gemma3", Layout(dp: 2, pp: 2)),
        ("mistral", Layout(tp: 2, cp: 2, dp: 2, zero: false)), ("gemma3", Layout(dp: 2, scheme: .lora)),
        ("ministral3", Layout(dp: 2, scheme: .dora)),
    ]

    private static func section(_ reduce: Bool, _ gather: Bool, _ size: Int?) -> Recipe.DDPSection {
        var section = Recipe.DDPSection()
        (section.overlapGradReduce, section.overlapParamGather, section.bucketSize) = (reduce, gather, size)
        return section
    }

    @Test(arguments: layouts)
    func overlapAndBucketsChangeNoBit(_ name: String, _ layout: Layout) throws {
        func run(_ section: Recipe.DDPSection) throws -> [LayoutTests.Steps] {
            var layout = layout
            layout.ddp = section
            return try ThreadWorld.run(layout.parallel.rankCount) { [layout] world in
                try LayoutTests.run(name, layout, in: world, steps: 3)
            }
        }
        let expected = try run(Recipe.DDPSection())
        #expect(expected.allSatisfy { !$0.weights.isEmpty })
        // One parameter in each bucket, some in each, all in one.
        for section in [
            Self.section(true, true, 1), Self.section(true, false, 3000), Self.section(false, true, nil),
        ] { #expect(try run(section) == expected, "\(section)") }
    }

    /// The ranks of a copy's parameters have one sum, whichever host they are on.
    @Test func aRunOnTwoHostsHasTheLossesOfOneHost() throws {
        var layout = Layout(tp: 2, dp: 2)
        layout.ddp = Self.section(true, true, 1000)
        let (ranks, chosen) = (layout.parallel.rankCount, layout)
        let expected = try ThreadWorld.run(ranks) { try LayoutTests.run("mistral", chosen, in: $0, steps: 3) }
        let found = try ThreadWorld.run(ranks, hosts: [0, 0, 1, 1]) {
            try LayoutTests.run("mistral", chosen, in: $0, steps: 3)
        }
        // Axes are either within a host or have one rank on each, so every sum has the order of one host.
        #expect(found.map(\.weights) == expected.map(\.weights))
        let spread = try ThreadWorld.run(ranks, hosts: [0, 1, 1, 0]) {
            try LayoutTests.run("mistral", chosen, in: $0, steps: 3)
        }
        for (one, two) in zip(spread, expected) {
            for (loss, other) in zip(one.losses, two.losses) { #expect(abs(loss - other) <= 1e-5 * other) }
        }
    }

    /// All ranks know whose gradient it was, so that they save together.
    @Test(arguments: [true, false])
    func aGradientThatIsNotFiniteNamesItsRankAndParameter(_ overlaps: Bool) throws {
        let errors = try ThreadWorld.run(2) { world -> BridgeError? in
            let engine = TestEngine.cpu(threadCount: 1)
            var section = Self.section(overlaps, false, 1)
            section.checkForNanInGrad = true
            let groups = try ProcessGroupCollection(ParallelLayout(data: 2), in: world, overlaps: overlaps)
            let parameters = ["first", "second"].map { name in
                let parameter = Parameter(name, Tensor([1, 2, 3], shape: [3], on: engine))
                parameter.isTrainable = true
                return parameter
            }
            let optimizer = try Optimizer(.init(), parameters, on: engine, groups: groups, ddp: section)
            for value in [Float(1), world.rank == 1 ? .infinity : 2] {
                optimizer.clearGradients()
                for parameter in parameters {
                    let isBad = parameter.name == "second"
                    parameter.accumulator?.add(Tensor([1, isBad ? value : 0, 2], shape: [3], on: engine))
                }
                do { try optimizer.reduceGradients() } catch { return error as? BridgeError }
            }
            return nil
        }
        for error in errors {
            #expect(error?.code == .trainingDiverged)
            #expect(error?.message.hasPrefix("the gradient of second on rank 1 is not finite") == true)
        }
    }
}
