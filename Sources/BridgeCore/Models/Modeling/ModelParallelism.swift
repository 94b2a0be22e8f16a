import BridgeSupport
public import Communication
import TensorRuntime

/// How a model is divided over ranks, and the part of it that this rank has.
public struct ModelParallelism: Sendable {
    /// The groups of ranks.
    public let groups: ProcessGroupCollection
    /// Whether activations between the tensor-parallel parts of layers are divided along the sequence.
    public let sequenceParallel: Bool
    /// The layers of this rank, in one range for each of its virtual stages; more than one with an interleaved schedule.
    public private(set) var chunks: [Range<Int>]
    /// The number of layers of each rank along the pipeline, those of all its virtual stages.
    public let rankLayers: [Int]
    /// Whether this stage embeds tokens and images.
    public package(set) var preProcess: Bool
    /// Whether this stage has the final norm and the output layer.
    public package(set) var postProcess: Bool

    /// The whole model on one rank.
    ///
    /// - Parameter layerCount: The number of its layers.
    public init(layerCount: Int) {
        groups = .single
        sequenceParallel = false
        chunks = [0..<layerCount]
        rankLayers = [layerCount]
        (preProcess, postProcess) = (true, true)
    }

    /// The stage of a rank.
    ///
    /// - Parameters:
    ///   - groups: The groups of ranks.
    ///   - sequenceParallel: Whether activations are divided along the sequence too; without effect for one tensor-parallel rank.
    ///   - stageLayers: The numbers of layers of the stages; a multiple of the number of ranks along the pipeline. Virtual stage i
    ///     is on rank i modulo that number.
    public init(_ groups: ProcessGroupCollection, sequenceParallel: Bool, stageLayers: [Int]) {
        self.groups = groups
        self.sequenceParallel = sequenceParallel && groups.tp.size > 1
        chunks = stride(from: groups.pp.rank, to: stageLayers.count, by: groups.pp.size).map { stage in
            let first = stageLayers.prefix(stage).reduce(0, +)
            return first..<first + stageLayers[stage]
        }
        rankLayers = (0..<groups.pp.size).map { rank in
            stride(from: rank, to: stageLayers.count, by: groups.pp.size).reduce(0) { $0 + stageLayers[$1] }
        }
        (preProcess, postProcess) = (groups.isFirstStage, groups.isLastStage)
    }

    /// The same with one of this rank's virtual stages alone.
    ///
    /// - Throws: `BridgeError` with code `badLayout` when there is no such stage.
    package func virtualStage(_ index: Int) throws -> ModelParallelism {
        guard chunks.indices.contains(index) else {
            throw BridgeError(
                .badLayout,
                "vpStage is \(index), and this rank has \(ByteFormat.counted(chunks.count, "virtual stage")); expected 0 to "
                    + "\(chunks.count - 1)"
            )
        }
        var stage = self
        (stage.preProcess, stage.postProcess) = (embeds(index), ends(index))
        stage.chunks = [chunks[index]]
        return stage
    }

    /// The layers of this rank, in order.
    public var layers: [Int] { chunks.flatMap { Array($0) } }

    /// The positions of a virtual stage's layers among those of this rank.
    func positions(ofChunk chunk: Int) -> Range<Int> {
        let start = chunks.prefix(chunk).reduce(0) { $0 + $1.count }
        return start..<start + chunks[chunk].count
    }

    /// Whether a virtual stage of this rank embeds tokens and images.
    public func embeds(_ chunk: Int) -> Bool { preProcess && chunk == 0 }

    /// Whether a virtual stage of this rank has the output layer.
    public func ends(_ chunk: Int) -> Bool { postProcess && chunk == chunks.count - 1 }

    /// The number of tensor-parallel ranks.
    public var tensorSize: Int { groups.tp.size }

    /// The input of column-parallel layers, [B, T, in], from activations between layers.
    func entering(_ x: Tensor) throws -> Tensor {
        sequenceParallel ? try x.gathered(1, over: groups.tp) : x.copied(to: groups.tp)
    }

    /// Activations between layers from the parts that row-parallel layers have made, [B, T, out].
    func leaving(_ x: Tensor) throws -> Tensor {
        sequenceParallel ? try x.scatteredSum(1, over: groups.tp) : try x.summed(over: groups.tp)
    }

    /// This rank's part of the sequence of embeddings [B, T, D] that every rank has.
    ///
    /// - Throws: `BridgeError` when the sequence does not divide evenly.
    func own(_ embeddings: Tensor) throws -> Tensor {
        let (batch, length, width) = (embeddings.shape[0], embeddings.shape[1], embeddings.shape[2])
        let split = try ContextSplit(length: length, size: groups.cp.size)
        var own = embeddings
        if split.size > 1 {
            let rows = split.rows(of: groups.cp.rank, batch: batch)
            own = embeddings.reshaped([batch * length, width]).rows(rows).reshaped([batch, rows.count / batch, width])
        }
        guard sequenceParallel else { return own }
        guard own.shape[1] % tensorSize == 0 else {
            throw BridgeError(
                .badLayout,
                "a sequence of \(own.shape[1]) tokens on each context-parallel rank is not divisible by TP \(tensorSize), which "
                    + "sequence parallelism needs; set dataset.pad_to_multiple_of to a multiple of "
                    + "\(tensorSize * (split.size > 1 ? 2 * split.size : 1))"
            )
        }
        return own.part(1, of: groups.tp)
    }

    /// The columns of a batch that this rank has between the tensor-parallel parts of layers; nil for all.
    func columns(of batch: TokenBatch) throws -> [Int32]? {
        guard groups.cp.size > 1 else { return nil }
        return try ContextSplit(length: batch.length, size: groups.cp.size).columns(of: groups.cp.rank).map {
            Int32($0)
        }
    }

    /// The number of columns of the residual stream that this rank has of a batch.
    public func columnCount(of batch: TokenBatch) -> Int {
        batch.length / groups.cp.size / (sequenceParallel ? tensorSize : 1)
    }

    /// The targets of this rank's tokens, or other numbers of each token: B x T of this rank.
    ///
    /// - Throws: `BridgeError` when the sequence does not divide evenly.
    public func own(_ targets: [Int32], of batch: TokenBatch) throws -> [Int32] {
        guard groups.cp.size > 1 else { return targets }
        let columns = try ContextSplit(length: batch.length, size: groups.cp.size).columns(of: groups.cp.rank)
        return batch.chosen(targets, columns: columns)
    }

    /// Which of a batch's supervised tokens this rank has: their numbers among all of them, row by row.
    ///
    /// - Parameters:
    ///   - targets: The targets of all tokens, negative for one that is not supervised.
    ///   - batch: The tokens.
    /// - Returns: The numbers, nil for all; and how many supervised tokens there are.
    /// - Throws: `BridgeError` when the sequence does not divide evenly.
    func numbers(ofSupervised targets: [Int32], in batch: TokenBatch) throws -> (part: [Int32]?, whole: Int) {
        var count: Int32 = 0
        let numbers = targets.map { target -> Int32 in
            guard target >= 0 else { return -1 }
            defer { count += 1 }
            return count
        }
        guard groups.cp.size > 1 else { return (nil, Int(count)) }
        return (try own(numbers, of: batch).filter { $0 >= 0 }, Int(count))
    }

    /// The smallest multiple of a number that the length of a batch has to be a multiple of too.
    public func lengthMultiple(of number: Int) -> Int {
        let own = (groups.cp.size > 1 ? 2 * groups.cp.size : 1) * (sequenceParallel ? tensorSize : 1)
        let (large, small) = (max(own, number), min(own, number))
        return stride(from: large, through: large * small, by: large).first { $0 % small == 0 } ?? large * small
    }

    /// What is done to the gradients of parameters that every tensor-parallel rank has and that see a part of the sequence
    /// or of the heads only.
    var replicatedReduction: GradientReduction? { tensorSize > 1 ? GradientReduction(over: groups.tp) : nil }
}

/// Which columns of a batch each context-parallel rank has: two chunks of the sequence, an early and a late one, so that
/// causal attention is as much work for each.
///
/// Source: `get_batch_on_this_cp_rank`, megatron/core/utils.py, 0.20.
public struct ContextSplit: Sendable {
    /// The number of columns of the batch.
    public let length: Int
    /// The number of ranks.
    public let size: Int

    /// A split.
    ///
    /// - Throws: `BridgeError` when the sequence does not divide evenly.
    public init(length: Int, size: Int) throws {
        guard size == 1 || length % (2 * size) == 0 else {
            throw BridgeError(
                .badLayout,
                "a sequence of \(length) tokens is not divisible by 2 x CP (2 x \(size)); "
                    + "set dataset.pad_to_multiple_of to a multiple of \(2 * size)"
            )
        }
        self.length = length
        self.size = size
    }

    /// The columns of a rank, in ascending order.
    public func columns(of rank: Int) -> [Int] {
        guard size > 1 else { return Array(0..<length) }
        let chunk = length / (2 * size)
        let late = 2 * size - 1 - rank
        return Array(rank * chunk..<(rank + 1) * chunk) + Array(late * chunk..<(late + 1) * chunk)
    }

    /// The rows of a rank in a batch [B x T], row by row.
    func rows(of rank: Int, batch: Int) -> [Int32] {
        let columns = columns(of: rank)
        return (0..<batch).flatMap { row in columns.map { Int32(row * length + $0) } }
    }

    /// The columns in the order in which an all-gather over the ranks concatenates them.
    public var gathered: [Int] { (0..<size).flatMap(columns) }
}
