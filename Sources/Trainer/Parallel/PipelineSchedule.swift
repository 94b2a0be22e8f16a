import BridgeCore
import Communication
public import Models
public import Recipes
public import TensorRuntime

/// The forward and backward passes of the micro-batches of a step, over the stages of a pipeline.
///
/// 1F1B (Narayanan et al., arXiv 2104.04473, section 2.2.1): a stage starts as many forward passes as there are stages after
/// it, then alternates forward and backward passes, so that it keeps the activations of no more micro-batches than stages.
/// With one stage each forward pass is followed by its backward pass.
///
/// Source: `forward_backward_pipelining_without_interleaving`, megatron/core/pipeline_parallel/schedules.py, 0.20.
public struct PipelineSchedule {
    /// A micro-batch.
    public struct MicroBatch {
        /// The tokens and targets.
        public var batch: TrainingBatch
        /// What each cross entropy is multiplied by.
        public var weight: Float
        /// The random stream of dropout; nil for none.
        public var dropout: RandomStream?

        /// A micro-batch.
        public init(_ batch: TrainingBatch, weight: Float = 1, dropout: RandomStream? = nil) {
            self.batch = batch
            self.weight = weight
            self.dropout = dropout
        }
    }

    private let model: any CausalModel
    private let recomputation: Recipe.Recomputation

    /// A schedule.
    ///
    /// - Parameters:
    ///   - model: This rank's stage.
    ///   - recomputation: What is recomputed in the backward pass.
    public init(_ model: any CausalModel, recomputation: Recipe.Recomputation = .none) {
        self.model = model
        self.recomputation = recomputation
    }

    /// A forward pass that waits for its backward pass.
    private struct Pending {
        var input: Tensor?
        var output: Tensor
    }

    /// Runs the passes; gradients are added to the accumulators of the parameters.
    ///
    /// - Parameters:
    ///   - count: The number of micro-batches.
    ///   - next: The micro-batch with an index, called in ascending order; the same on all ranks of a copy of the model. Nil for
    ///     one without supervised tokens, which is skipped.
    /// - Returns: The sum of the losses of this rank's tokens: 0 on all stages but the last.
    /// - Throws: What a pass or a group throws.
    public func run(_ count: Int, next: (Int) throws -> MicroBatch?) throws -> Double {
        let pipeline = model.decoder.parallelism.groups.pp
        let warmUp = pipeline.size - 1 - pipeline.rank
        var pending: [Pending] = []
        var loss = 0.0
        for index in 0..<count {
            guard let microBatch = try next(index) else { continue }
            let pass = try forward(microBatch)
            if pipeline.rank == pipeline.size - 1 { loss += Double(pass.output.item) }
            pending.append(pass)
            if pending.count > warmUp { try backward(pending.removeFirst()) }
        }
        for pass in pending { try backward(pass) }
        return loss
    }

    /// The loss of a micro-batch without a backward pass; 0 on all stages but the last.
    public func evaluate(_ microBatch: MicroBatch) throws -> Double {
        let pass = try withoutGradients { try forward(microBatch) }
        return model.decoder.parallelism.postProcess ? Double(pass.output.item) : 0
    }

    private func forward(_ microBatch: MicroBatch) throws -> Pending {
        let parallelism = model.decoder.parallelism
        let tokens = microBatch.batch.tokens
        let input =
            parallelism.preProcess
            ? nil : try model.receivedStage(tokens, columns: parallelism.columnCount(of: tokens)).trackingGradient()
        func pass() throws -> Tensor {
            let stream = try model.stage(tokens, input: input, recomputation: recomputation)
            guard parallelism.postProcess else { return stream }
            return try model.loss(of: stream, tokens, targets: microBatch.batch.targets, weight: microBatch.weight)
        }
        let output = try microBatch.dropout.map { try withDropout($0, pass) } ?? pass()
        if !parallelism.postProcess { try parallelism.groups.pp.send(output, to: parallelism.groups.pp.rank + 1) }
        return Pending(input: input, output: output)
    }

    private func backward(_ pass: Pending) throws {
        let parallelism = model.decoder.parallelism
        let pipeline = parallelism.groups.pp
        var seed: Tensor?
        if !parallelism.postProcess {
            let gradient = Tensor(uninitialized: pass.output.shape, .float32, on: pass.output.engine)
            try pipeline.receive(gradient, from: pipeline.rank + 1)
            seed = gradient
        }
        let gradients = Gradients(of: pass.output, seed: seed)
        guard let input = pass.input else { return }
        let gradient = gradients[input] ?? .zeros(input.shape, .float32, on: input.engine)
        try pipeline.send(gradient.cast(to: .float32), to: pipeline.rank - 1)
    }
}
