import BridgeCore
import Foundation
import TensorRuntime
import TestSupport
import Testing

/// The tensors of a file of inputs are used as transformers uses them, refused or reported.
@Suite struct InputTensorsTests {
    private static let engine = TestEngine.cpu(threadCount: 2)

    /// `token_type_ids` decides which tokens see each other, whatever tokens they are.
    ///
    /// See `Tests/Fixtures/make_token_type_fixtures.py`.
    @Test(arguments: ["own", "zeros", "text"])
    func tokenTypesDecideWhichTokensAreOfAnImage(_ name: String) throws {
        let reference = try Reference("token-types")
        let model = try AutoBridge.fromHF(Fixtures.checkpoint("gemma3")).toModel(elementType: .float32, on: Self.engine)
        let batch = try TokenBatch(inputs: reference.path, prefix: "\(name).", on: Self.engine)
        let (difference, scale) = gap(
            try model.forward(batch, last: 1).logits.floats(),
            try reference.floats("\(name).logits")
        )
        #expect(difference <= 1e-4 * scale)
    }

    /// The sum of the losses is divided by `num_items_in_batch`.
    @Test func theLossIsDividedByTheNumberOfItems() throws {
        let reference = try Reference("token-types")
        let model = try AutoBridge.fromHF(Fixtures.checkpoint("gemma3")).toModel(elementType: .float32, on: Self.engine)
        let batch = try TokenBatch(inputs: reference.path, prefix: "own.", on: Self.engine)
        let targets = try #require(try batch.targets(inputs: reference.path, prefix: "own."))
        let divisor = try #require(try TokenBatch.lossDivisor(inputs: reference.path, prefix: "own."))
        #expect(divisor == 7)
        let loss = try model.loss(batch, targets: targets, weight: 1 / Float(divisor)).item
        let expected = try reference.floats("own.loss")[0]
        #expect(abs(loss - expected) <= 1e-5 * expected)
    }

    @Test func everyTensorHasOneVerdict() {
        let names = InputTensors.all.map(\.name)
        #expect(Set(names).count == names.count)
    }
}
