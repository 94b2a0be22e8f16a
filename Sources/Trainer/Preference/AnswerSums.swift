import Communication
import Models
import TensorRuntime

/// The log-probabilities of the sequences of a micro-batch, from those of its tokens.
struct AnswerSums {
    /// The sum over the tokens of each sequence's answer, of all context-parallel ranks.
    let logProbabilities: [Double]
    /// The number of tokens of each sequence's answer.
    let tokens: [Int]
    /// Which of this rank's targets are tokens of an answer: B x T of this rank.
    let isAnswer: [Bool]
    /// The number of this rank's tokens in each sequence.
    let width: Int

    /// The sums.
    ///
    /// - Parameters:
    ///   - values: The scores of this rank's targets, B x T of this rank.
    ///   - batch: The micro-batch.
    ///   - parallelism: Which columns this rank has.
    /// - Throws: What the context-parallel group throws.
    init(_ values: [TargetScore?], _ batch: TrainingBatch, _ parallelism: ModelParallelism) throws {
        let all = batch.targets.indices.map { batch.targets[$0] >= 0 && batch.answer?[$0] ?? true }
        let own = try parallelism.own(all.map { $0 ? 1 : 0 }, of: batch.tokens).map { $0 > 0 }
        let (count, length) = (batch.tokens.batch, batch.tokens.length)
        let width = values.count / max(count, 1)
        let sums = (0..<count).map { row in
            (row * width..<(row + 1) * width).reduce(0.0) { $0 + (own[$1] ? -Double(values[$1]?.loss ?? 0) : 0) }
        }
        self.width = width
        isAnswer = own
        tokens = (0..<count).map { row in all[row * length..<(row + 1) * length].count { $0 } }
        logProbabilities = try parallelism.groups.cp.allReduceSum(sums)
    }
}
