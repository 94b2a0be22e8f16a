import BridgeCore
public import Communication
public import Models
public import Recipes
public import TensorRuntime

/// The forward and backward passes of the micro-batches of a step, over the stages of a pipeline.
///
/// 1F1B (Narayanan et al., arXiv 2104.04473, section 2.2): a stage starts as many forward passes as there are stages after
/// it, then alternates forward and backward passes, so that it keeps the activations of no more micro-batches than stages.
/// With one stage each forward pass is followed by its backward pass. With several virtual stages on each rank the schedule is
/// interleaved: as many micro-batches as ranks go through one virtual stage, then through the next.
///
/// Source: `forward_backward_pipelining_without_interleaving` and `forward_backward_pipelining_with_interleaving`,
/// megatron/core/pipeline_parallel/schedules.py, 0.20.
public struct PipelineSchedule {
    /// A micro-batch.
    public struct MicroBatch {
        /// The tokens and targets.
        public var batch: TrainingBatch
        /// What each cross entropy is multiplied by.
        public var weight: Float
        /// The random stream of dropout; nil for none.
        public var dropout: RandomStream?
        /// Alpha of the noise of the embeddings, of which the stream of dropout is the source; 0 for none.
        var embeddingNoise: Float = 0
        /// The loss from the residual stream after the last layer; nil for the weighted sum of the cross entropies.
        var objective: Objective?

        /// A loss to differentiate, and the number that is reported for it.
        typealias Objective = (_ stream: Tensor) throws -> (loss: Tensor, value: Double)

        /// A micro-batch.
        public init(_ batch: TrainingBatch, weight: Float = 1, dropout: RandomStream? = nil) {
            self.batch = batch
            self.weight = weight
            self.dropout = dropout
        }
    }

    private let model: any CausalModel
    private let recomputation: Recipe.Recomputation
    private let trace: ChromeTrace?

    /// A schedule.
    ///
    /// - Parameters:
    ///   - model: This rank's stage.
    ///   - recomputation: What is recomputed in the backward pass.
    ///   - trace: The trace of the run; nil for none.
    public init(
        _ model: any CausalModel,
        recomputation: Recipe.Recomputation = .none,
        trace: ChromeTrace? = nil
    ) {
        self.model = model
        self.trace = trace
        self.recomputation = recomputation
    }

    /// A pass: a micro-batch in a virtual stage.
    private struct Pass: Hashable {
        var microBatch: Int
        var chunk: Int

        /// For a trace, in Megatron-Core's words.
        var arguments: [(name: String, value: Int)] { [("microbatch", microBatch), ("model_chunk", chunk)] }
    }

    /// A forward pass that waits for its backward pass.
    private struct Pending {
        var input: Tensor?
        var output: Tensor
        /// The loss; 0 on all stages but the last.
        var value = 0.0
    }

    /// Messages of forward and of backward passes, which two ranks may both send to each other.
    private enum Tag {
        static let activation = 1
        static let gradient = 2
    }

    private var parallelism: ModelParallelism { model.decoder.parallelism }
    private var pipeline: any ProcessGroup { parallelism.groups.pp }
    /// The rank of the virtual stage before and after one of this rank's.
    private var previous: Int { (pipeline.rank + pipeline.size - 1) % pipeline.size }
    private var following: Int { (pipeline.rank + 1) % pipeline.size }

    /// The order of the forward passes of `count` micro-batches.
    private func order(_ count: Int) -> [Pass] {
        let chunks = parallelism.chunks.count
        guard chunks > 1 else { return (0..<count).map { Pass(microBatch: $0, chunk: 0) } }
        return stride(from: 0, to: count, by: pipeline.size).flatMap { first in
            (0..<chunks).flatMap { chunk in
                (first..<min(first + pipeline.size, count)).map { Pass(microBatch: $0, chunk: chunk) }
            }
        }
    }

    /// Runs the passes; gradients are added to the accumulators of the parameters.
    ///
    /// - Parameters:
    ///   - count: The number of micro-batches; with virtual stages a multiple of the number of ranks along the pipeline.
    ///   - next: The micro-batch with an index, called in ascending order; the same on all ranks of a copy of the model. Nil for
    ///     one without supervised tokens, which is skipped.
    ///   - whenComplete: Called in the last backward pass with the gradient of each parameter that is complete; not for all
    ///     parameters when the last micro-batch is skipped.
    /// - Returns: The sum of the losses of this rank's tokens: 0 on all stages but the last.
    /// - Throws: What a pass or a group throws.
    public func run(
        _ count: Int,
        next: (Int) throws -> MicroBatch?,
        whenComplete: ((GradientAccumulator) -> Void)? = nil
    ) throws -> Double {
        let chunks = parallelism.chunks.count
        guard chunks == 1 || count.isMultiple(of: pipeline.size) else {
            throw BridgeError(
                .badLayout,
                "a step has \(count) micro-batches on each copy of the model, and the interleaved pipeline schedule needs a "
                    + "multiple of its \(pipeline.size) ranks; change train.global_batch_size"
            )
        }
        let forwards = order(count)
        let backwards = forwards.map { Pass(microBatch: $0.microBatch, chunk: chunks - 1 - $0.chunk) }
        let later = pipeline.size - 1 - pipeline.rank
        let warmUp = chunks == 1 ? later : later * 2 + (chunks - 1) * pipeline.size
        var microBatches: [Int: MicroBatch] = [:]
        var pending: [Pass: Pending] = [:]
        var loss = 0.0
        func runBackward(_ index: Int) throws {
            let pass = backwards[index]
            if let waiting = pending.removeValue(forKey: pass) {
                try trace.measure("backward", category: "pass", pass.arguments) {
                    try backward(waiting, pass.chunk, whenComplete: pass.microBatch == count - 1 ? whenComplete : nil)
                }
            }
            if pass.chunk == 0 { microBatches[pass.microBatch] = nil }
        }
        for (index, pass) in forwards.enumerated() {
            if pass.chunk == 0 {
                microBatches[pass.microBatch] = try trace.measure("data", category: "data", pass.arguments) {
                    try next(pass.microBatch)
                }
            }
            if let microBatch = microBatches[pass.microBatch] {
                let result = try trace.measure("forward", category: "pass", pass.arguments) {
                    let result = try forward(microBatch, pass.chunk)
                    loss += result.value
                    return result
                }
                pending[pass] = result
            }
            if index >= warmUp { try runBackward(index - warmUp) }
        }
        for index in max(0, forwards.count - warmUp)..<forwards.count { try runBackward(index) }
        return loss
    }

    /// The loss of a micro-batch without a backward pass; 0 on all stages but the last.
    public func evaluate(_ microBatch: MicroBatch) throws -> Double {
        var loss = 0.0
        for chunk in parallelism.chunks.indices {
            let pass = try withoutGradients { try forward(microBatch, chunk) }
            loss += pass.value
        }
        return loss
    }

    private func forward(_ microBatch: MicroBatch, _ chunk: Int) throws -> Pending {
        let tokens = microBatch.batch.tokens
        var input: Tensor?
        if !parallelism.embeds(chunk) {
            let shape = [tokens.batch, parallelism.columnCount(of: tokens), model.decoder.configuration.hiddenSize]
            let stream = Tensor(uninitialized: shape, .float32, on: model.engine)
            try pipeline.receive(stream, from: previous, tag: Tag.activation)
            input = stream.trackingGradient()
        }
        func pass() throws -> Pending {
            let stream = try model.stage(tokens, input: input, chunk: chunk, recomputation: recomputation)
            guard parallelism.ends(chunk) else { return Pending(input: input, output: stream) }
            if let objective = microBatch.objective {
                let (loss, value) = try objective(stream)
                return Pending(input: input, output: loss, value: value)
            }
            let loss = try model.loss(of: stream, tokens, targets: microBatch.batch.targets, weight: microBatch.weight)
            return Pending(input: input, output: loss, value: Double(loss.item))
        }
        let noise = microBatch.embeddingNoise
        let result = try microBatch.dropout.map { try withDropout($0, embeddingNoise: noise, pass) } ?? pass()
        if !parallelism.ends(chunk) { try pipeline.send(result.output, to: following, tag: Tag.activation) }
        return result
    }

    private func backward(
        _ pass: Pending,
        _ chunk: Int,
        whenComplete: ((GradientAccumulator) -> Void)?
    ) throws {
        var seed: Tensor?
        if !parallelism.ends(chunk) {
            let gradient = Tensor(uninitialized: pass.output.shape, .float32, on: pass.output.engine)
            try pipeline.receive(gradient, from: following, tag: Tag.gradient)
            seed = gradient
        }
        let gradients = Gradients(of: pass.output, seed: seed, whenComplete: whenComplete)
        guard let input = pass.input else { return }
        let gradient = gradients[input] ?? .zeros(input.shape, .float32, on: input.engine)
        try pipeline.send(gradient.cast(to: .float32), to: previous, tag: Tag.gradient)
    }
}
