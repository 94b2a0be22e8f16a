import BridgeSupport
import Communication
import ModelSchema
public import TensorRuntime

/// What the stages of a pipeline give each other.
extension CausalModel {
    /// Sets the input of this stage's next pass, in place of embeddings or of what the stage before sends.
    ///
    /// - Parameter input: The residual stream of the stage before, float32 [B, T of this rank, D]; nil for none.
    public func setInputTensor(_ input: Tensor?) { decoder.inputTensor = input }

    /// Waits for the residual stream of the stage before.
    ///
    /// - Parameters:
    ///   - batch: The tokens.
    ///   - columns: The number of columns that this rank has of them.
    /// - Returns: float32 [B, columns, D].
    /// - Throws: `BridgeError` when there is no stage before, and what the pipeline-parallel group throws.
    public func receivedStage(_ batch: TokenBatch, columns: Int) throws -> Tensor {
        let pipeline = decoder.parallelism.groups.pp
        guard pipeline.rank > 0 else { throw Self.missingInput }
        let shape = [batch.batch, columns, decoder.configuration.hiddenSize]
        let stream = Tensor(uninitialized: shape, .float32, on: engine)
        try pipeline.receive(stream, from: pipeline.rank - 1)
        return stream
    }

    /// Gives the residual stream to the next stage.
    ///
    /// - Throws: `BridgeError` when there is none, and what the pipeline-parallel group throws.
    func sendStage(_ stream_BTD: Tensor) throws {
        let pipeline = decoder.parallelism.groups.pp
        guard pipeline.rank < pipeline.size - 1 else {
            throw BridgeError(
                .badArgument,
                "the model was made with postProcess false and has no output layer for logits; call stage(_:input:), which "
                    + "returns the residual stream"
            )
        }
        try pipeline.send(stream_BTD, to: pipeline.rank + 1)
    }

    /// The error of a stage that starts with nothing.
    static var missingInput: BridgeError {
        BridgeError(
            .badArgument,
            "the model was made with preProcess false and has no embeddings; call setInputTensor with the residual stream of the "
                + "stage before"
        )
    }

    /// The hidden states of all stages, from those of this one.
    ///
    /// - Throws: What the pipeline-parallel group throws.
    func ofAllStages(_ states: [Tensor], _ batch: TokenBatch) throws -> [Tensor] {
        let pipeline = decoder.parallelism.groups.pp
        guard pipeline.size > 1, !states.isEmpty else { return states }
        var counts = [Double](repeating: 0, count: pipeline.size)
        counts[pipeline.rank] = Double(states.count)
        let shape = [batch.batch, batch.length, decoder.configuration.hiddenSize]
        var all: [Tensor] = []
        for (stage, count) in try pipeline.allReduceSum(counts).enumerated() {
            for index in 0..<Int(count) {
                let state = Tensor(uninitialized: shape, .float32, on: engine)
                if stage == pipeline.rank { engine.copy(states[index].detached.cast(to: .float32), into: state) }
                try pipeline.broadcast(state, from: stage)
                all.append(state)
            }
        }
        return all
    }
}
