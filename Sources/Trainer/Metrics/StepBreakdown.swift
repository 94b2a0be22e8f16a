public import TensorRuntime

/// Measures the time of a run's steps by kernel, and compares matrix products with a large
/// matrix product on the same engine.
///
/// The large product is measured between the steps, because the clock of a processor changes within seconds: each step
/// is compared with the mean of the measurements before and after it. The first step is excluded, because memory and
/// libraries are initialized in it.
public final class StepBreakdown: TrainerCallback {
    /// What one step did.
    private struct Step {
        let seconds, dataSeconds: Double
        let work: [String: MeasuringEngine.Work]
        /// Operations per second of the large product, by type of the factors.
        let peaks: [ElementType: Double]

        /// The part of the peak that some kinds of work reach together in a time; nil without products.
        func share(of works: [MeasuringEngine.Work], in seconds: Double) -> Double? {
            let atPeak = works.reduce(0) { sum, work in
                sum + (work.type.flatMap { peaks[$0] }.map { work.operations / $0 } ?? 0)
            }
            return atPeak > 0 && seconds > 0 ? atPeak / seconds : nil
        }
    }

    private let engine: MeasuringEngine
    private let peakSize: Int
    private let write: ([[String]]) -> Void
    private var steps: [Step] = []
    private var peaksBefore: [ElementType: Double] = [:]
    private var isFirst = true

    /// The maximum number of rows; samples of many lengths make products of as many sizes.
    private static let mostKinds = 32

    /// A breakdown.
    ///
    /// - Parameters:
    ///   - engine: The engine of the run.
    ///   - peakSize: Rows and columns of the large product.
    ///   - write: Takes the rows of the table, the first of them the heads of the columns.
    public init(engine: MeasuringEngine, peakSize: Int = 2048, write: @escaping ([[String]]) -> Void) {
        (self.engine, self.peakSize, self.write) = (engine, peakSize, write)
    }

    /// Work before the first step is not counted.
    public func onTrainStart(_ run: RunMetadata, after iteration: Int) throws { _ = engine.takeWork() }

    /// Counts a step.
    public func onStepEnd(_ step: StepRecord) throws {
        let work = engine.takeWork()
        let types = Set(work.values.compactMap(\.type))
        let peaks = Dictionary(
            uniqueKeysWithValues: types.map { ($0, engine.peakOperationsPerSecond($0, size: peakSize)) }
        )
        defer { (isFirst, peaksBefore) = (false, peaks) }
        guard !isFirst else { return }
        let around = peaks.map { type, peak in (type, (peak + (peaksBefore[type] ?? peak)) / 2) }
        steps.append(
            Step(
                seconds: step.seconds,
                dataSeconds: step.dataSeconds,
                work: work,
                peaks: Dictionary(uniqueKeysWithValues: around)
            )
        )
    }

    /// A validation is not counted.
    public func onEvaluate(_ validation: ValidationRecord) throws { _ = engine.takeWork() }

    /// Writes the table: means of the steps, and medians of their shares of the peak.
    public func onTrainEnd(_ result: Result<Trainer.Outcome, any Error>) throws {
        guard !steps.isEmpty else { return }
        var rows = [["one step of \(steps.count)", "calls", "ms", "share", "GFLOP/s", "of peak"]]
        let count = Double(steps.count)
        let seconds = steps.reduce(0) { $0 + $1.seconds }
        func add(_ kind: String, _ calls: Int?, _ time: Double, _ rate: Double? = nil, _ share: String = "") {
            rows.append([
                kind, calls.map { "\(Int((Double($0) / count).rounded()))" } ?? "",
                CFormat.text("%.1f", 1000 * time / count), CFormat.text("%.1f %%", 100 * time / seconds),
                rate.map { CFormat.text("%.0f", $0 / 1e9) } ?? "", share,
            ])
        }
        var sums: [String: MeasuringEngine.Work] = [:]
        for step in steps { sums.merge(step.work) { $0 + $1 } }
        let sorted = sums.sorted { ($0.value.seconds, $1.key) > ($1.value.seconds, $0.key) }
        for (kind, work) in sorted.prefix(Self.mostKinds) {
            let rate = work.operations > 0 ? work.operations / work.seconds : nil
            let shares = steps.compactMap { step in
                step.work[kind].flatMap { step.share(of: [$0], in: $0.seconds) }
            }
            add(kind, work.calls, work.seconds, rate, Spread(shares).percent(showsRange: false))
        }
        let others = sorted.dropFirst(Self.mostKinds)
        if !others.isEmpty { add("\(others.count) more kinds", nil, others.reduce(0) { $0 + $1.value.seconds }) }
        let waited = steps.reduce(0) { $0 + $1.dataSeconds }
        add("waiting for samples", nil, waited)
        add("outside the engine", nil, seconds - waited - sums.values.reduce(0) { $0 + $1.seconds })
        let operations = sums.values.reduce(0) { $0 + $1.operations }
        let shares = steps.compactMap { $0.share(of: Array($0.work.values), in: $0.seconds) }
        add("all", nil, seconds, operations / seconds, Spread(shares).percent(showsRange: true))
        for type in Set(steps.flatMap(\.peaks.keys)).sorted(by: { $0.rawValue < $1.rawValue }) {
            let peaks = Spread(steps.compactMap { $0.peaks[type] })
            let size = "\(peakSize) x \(peakSize) x \(peakSize)"
            rows.append([
                "peak, \(size) in \(type.rawValue)", "", "", "", CFormat.text("%.0f", peaks.median / 1e9),
                CFormat.text("%.0f to %.0f", peaks.least / 1e9, peaks.most / 1e9),
            ])
        }
        write(rows)
    }

    /// The median of some figures, and the least and the greatest of them.
    private struct Spread {
        let count: Int
        let least, median, most: Double

        init(_ values: [Double]) {
            let sorted = values.sorted()
            count = sorted.count
            (least, most) = (sorted.first ?? 0, sorted.last ?? 0)
            median = sorted.isEmpty ? 0 : (sorted[(count - 1) / 2] + sorted[count / 2]) / 2
        }

        func percent(showsRange: Bool) -> String {
            guard count > 0 else { return "" }
            let text = CFormat.text("%.0f %%", 100 * median)
            return showsRange ? text + CFormat.text(" (%.0f to %.0f)", 100 * least, 100 * most) : text
        }
    }
}
