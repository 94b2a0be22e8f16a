/// Keeps the losses and gradient norms of a run.
public final class CurveSink: MetricsSink {
    /// The steps so far.
    public private(set) var curve = LayoutSelftest.Curve()

    /// A sink without steps.
    public init() {}

    /// Keeps nothing.
    public func begin(_ run: RunMetadata, after iteration: Int) {}
    /// Keeps loss and gradient norm.
    public func record(_ step: StepRecord) {
        curve.losses.append(step.loss)
        curve.norms.append(step.gradientNorm)
    }
    /// Keeps nothing.
    public func record(_ validation: ValidationRecord) {}
    /// Nothing is open.
    public func finish() {}
}
