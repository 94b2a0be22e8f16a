public import TensorRuntime

/// Measures the time of a run's steps by kernel, and compares matrix products with a large
/// matrix product on the same engine.
///
/// The first step is excluded, because memory and libraries are initialized in it.
public final class StepBreakdown: TrainerCallback {
    private let engine: MeasuringEngine
    private let write: ([[String]]) -> Void
    private var work: [String: MeasuringEngine.Work] = [:]
    private var (steps, seconds) = (0, 0.0)
    private var isFirst = true

    /// The maximum number of rows; samples of many lengths make products of as many sizes.
    private static let mostKinds = 32

    /// A breakdown.
    ///
    /// - Parameters:
    ///   - engine: The engine of the run.
    ///   - write: Takes the rows of the table, the first of them the heads of the columns.
    public init(engine: MeasuringEngine, write: @escaping ([[String]]) -> Void) {
        (self.engine, self.write) = (engine, write)
    }

    /// Work before the first step is not counted.
    public func onTrainStart(_ run: RunMetadata, after iteration: Int) throws { _ = engine.takeWork() }

    /// Counts a step.
    public func onStepEnd(_ step: StepRecord) throws {
        let done = engine.takeWork()
        defer { isFirst = false }
        guard !isFirst else { return }
        steps += 1
        seconds += step.seconds
        work.merge(done) { sum, part in
            var sum = sum
            sum.calls += part.calls
            sum.seconds += part.seconds
            sum.operations += part.operations
            return sum
        }
    }

    /// A validation is not counted.
    public func onEvaluate(_ validation: ValidationRecord) throws { _ = engine.takeWork() }

    /// Writes the table.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws {
        guard steps > 0 else { return }
        var peaks: [ElementType: Double] = [:]
        for type in Set(work.values.compactMap(\.type)) { peaks[type] = engine.peakOperationsPerSecond(type) }
        var rows = [["one step of \(steps)", "calls", "ms", "share", "GFLOP/s", "of peak"]]
        func add(_ kind: String, _ calls: Int?, _ time: Double, _ rate: Double? = nil, _ peak: Double? = nil) {
            let count = Double(steps)
            let share = rate.flatMap { rate in peak.map { 100 * rate / $0 } }
            rows.append([
                kind, calls.map { "\(Int((Double($0) / count).rounded()))" } ?? "",
                CFormat.text("%.1f", 1000 * time / count), CFormat.text("%.1f %%", 100 * time / seconds),
                rate.map { CFormat.text("%.0f", $0 / 1e9) } ?? "", share.map { CFormat.text("%.0f %%", $0) } ?? "",
            ])
        }
        let sorted = work.sorted { ($0.value.seconds, $1.key) > ($1.value.seconds, $0.key) }
        for (kind, work) in sorted.prefix(Self.mostKinds) {
            let rate = work.operations > 0 ? work.operations / work.seconds : nil
            add(kind, work.calls, work.seconds, rate, work.type.flatMap { peaks[$0] })
        }
        let others = sorted.dropFirst(Self.mostKinds)
        if !others.isEmpty { add("\(others.count) more kinds", nil, others.reduce(0) { $0 + $1.value.seconds }) }
        add("outside the engine", nil, seconds - work.values.reduce(0) { $0 + $1.seconds })
        let operations = work.values.reduce(0) { $0 + $1.operations }
        let atPeak = work.values.reduce(0) { sum, work in
            sum + (work.type.flatMap { peaks[$0] }.map { work.operations / $0 } ?? 0)
        }
        add("all", nil, seconds, operations / seconds, atPeak > 0 ? operations / atPeak : nil)
        for (type, peak) in peaks.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            let kind = "peak, 2048 x 2048 x 2048 in \(type.rawValue)"
            rows.append([kind, "", "", "", CFormat.text("%.0f", peak / 1e9), ""])
        }
        write(rows)
    }
}
