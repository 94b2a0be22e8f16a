import BridgeCore
import BridgeSupport
import Communication
import JSONTree
import Logging
import Models
import Recipes
import TensorRuntime

/// The log-probabilities of answers under the model before training.
///
/// Where new adapters are trained over a frozen model, the reference is the model without them, and a row is computed when it
/// is used first. Otherwise training changes the model, so all rows of the run are computed before its first step, and kept in a
/// file of each checkpoint. Every row is computed alone, so that its value does not depend on the rows beside it.
final class ReferenceModel {
    /// The log-probabilities of a pair: sums over the tokens of the answers.
    struct Pair: Equatable {
        var chosen: Double
        var rejected: Double
    }

    private let rows: BatchCollator
    private let model: any CausalModel
    private let passes: PipelineSchedule
    private let engine: any TensorEngine
    /// Whether the adapters of the model belong to the reference.
    private let hasAdapters: Bool
    private var known: [Int: Pair] = [:] { didSet { contents = nil } }
    private var contents: [UInt8]?

    /// A reference.
    ///
    /// - Parameters:
    ///   - rows: The pairs, in the order of the data set.
    ///   - model: The model that is trained.
    ///   - passes: Its passes.
    ///   - hasAdapters: Whether the adapters of the model belong to the reference: those that training begins with, not new ones.
    init(
        _ rows: BatchCollator,
        _ model: any CausalModel,
        _ passes: PipelineSchedule,
        withAdapters hasAdapters: Bool = false
    ) {
        self.hasAdapters = hasAdapters
        (self.rows, self.model, self.passes, engine) = (rows, model, passes, model.engine)
    }

    /// The log-probabilities of rows; those that are not known are computed by all ranks of this copy of the model.
    ///
    /// - Returns: One for each row; zeros on all stages of a pipeline but the last.
    /// - Throws: What a row, a pass or a group throws.
    func pairs(_ wanted: [Int]) throws -> [Pair] {
        try wanted.map { row in
            if let pair = known[row] { return pair }
            let pair = try computed(row)
            known[row] = pair
            return pair
        }
    }

    private func computed(_ row: Int) throws -> Pair {
        let prepared = try rows.prepare(from: row, count: 1)
        let batch = TrainingBatch(prepared.batch, on: engine)
        var pair = Pair(chosen: 0, rejected: 0)
        var microBatch = PipelineSchedule.MicroBatch(batch)
        microBatch.objective = { [model] stream in
            let values = try model.targetScores(of: stream, batch.tokens, targets: batch.targets)
            let sums = try AnswerSums(values, batch, model.decoder.parallelism)
            pair = Pair(chosen: sums.logProbabilities[0], rejected: sums.logProbabilities[1])
            return (stream, 0)
        }
        _ = try hasAdapters ? passes.evaluate(microBatch) : withoutAdapters { try passes.evaluate(microBatch) }
        return pair
    }

    // MARK: All rows of a run

    /// Computes rows, divided among the copies of the model; afterwards all ranks know all of them.
    ///
    /// - Parameters:
    ///   - wanted: The rows.
    ///   - key: What the values depend on.
    ///   - path: A file with values; nil for none.
    ///   - logger: Where to report how many are computed.
    ///   - shouldStop: Whether to stop, the same on all ranks; called before each row.
    /// - Returns: Whether all are known, and not stopped.
    /// - Throws: What a row, a pass or a group throws.
    func prepare(
        _ wanted: [Int],
        key: String,
        path: String?,
        _ logger: Logger,
        shouldStop: () throws -> Bool
    ) throws -> Bool {
        let groups = model.decoder.parallelism.groups
        // One rank reads the file, so that no two ranks differ about what it has.
        if let path, groups.world.rank == 0 { known = Self.read(path, key: key) }
        try share(groups)
        let missing = Set(wanted).filter { known[$0] == nil }.sorted()
        guard !missing.isEmpty else { return true }
        logger.notice(
            "computing the reference log-probabilities of \(ByteFormat.counted(missing.count, "pair")) before the first step"
        )
        let share = missing.enumerated().filter { $0.offset % groups.dp.size == groups.dp.rank }.map(\.element)
        let rounds = (missing.count + groups.dp.size - 1) / groups.dp.size
        for round in 0..<rounds {
            if try shouldStop() { return false }
            if round < share.count { _ = try pairs([share[round]]) }
        }
        let isLastStage = groups.pp.rank == groups.pp.size - 1
        let contributes = isLastStage && groups.tp.rank == 0 && groups.cp.rank == 0
        let own = missing.flatMap { row -> [Double] in
            guard contributes, let pair = known[row] else { return [0, 0] }
            return [pair.chosen, pair.rejected]
        }
        let sums = try groups.world.allReduceSum(own)
        for (index, row) in missing.enumerated() {
            known[row] = Pair(chosen: sums[2 * index], rejected: sums[2 * index + 1])
        }
        return true
    }

    /// Gives what rank 0 knows to all ranks.
    private func share(_ groups: ProcessGroupCollection) throws {
        let isFirst = groups.world.rank == 0
        let rows = known.keys.sorted()
        let count = Int(try groups.world.allReduceSum([isFirst ? Double(rows.count) : 0])[0])
        guard count > 0, groups.world.size > 1 else { return }
        var own = [Double](repeating: 0, count: 3 * count)
        if isFirst {
            own = rows.flatMap { [Double($0), known[$0]?.chosen ?? 0, known[$0]?.rejected ?? 0] as [Double] }
        }
        let all = try groups.world.allReduceSum(own)
        for index in 0..<count {
            known[Int(all[3 * index])] = Pair(chosen: all[3 * index + 1], rejected: all[3 * index + 2])
        }
    }

    /// The file's name in an iteration's directory.
    static func fileName(_ set: String) -> String { "reference_log_probabilities\(set).json" }

    /// The values of a file for the same model and data; none for another file, whose values are computed again.
    private static func read(_ path: String, key: String) -> [Int: Pair] {
        guard Files.exists(path), let json = try? JSON(contentsOf: path), json["key"]?.string == key else { return [:] }
        var known: [Int: Pair] = [:]
        for entry in json["rows"]?.array ?? [] {
            guard let numbers = entry.array, numbers.count == 3, let row = numbers[0].integer,
                let chosen = numbers[1].double, let rejected = numbers[2].double
            else { return [:] }
            known[row] = Pair(chosen: chosen, rejected: rejected)
        }
        return known
    }

    /// The content of a file with the values.
    func file(key: String) -> [UInt8] {
        if let contents { return contents }
        let rows = known.sorted { $0.key < $1.key }.map { row, pair -> JSON in
            .array([JSON(row), JSON(pair.chosen), JSON(pair.rejected)])
        }
        let json: JSON = ["key": .string(key), "rows": .array(rows)]
        let bytes = json.text(pretty: false)
        contents = bytes
        return bytes
    }
}
