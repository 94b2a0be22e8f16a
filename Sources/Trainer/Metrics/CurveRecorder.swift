/// Keeps the losses and gradient norms of a run.
public final class CurveRecorder: TrainerCallback {
    /// The steps so far.
    public private(set) var curve = LayoutSelftest.Curve()

    /// A recorder without steps.
    public init() {}

    /// Keeps loss and gradient norm.
    public func onStepEnd(_ step: StepRecord) {
        curve.losses.append(step.loss)
        curve.norms.append(step.gradientNorm)
    }
}
