import ArgumentParser

/// How far logits may be apart.
struct LogitTolerance: ParsableArguments {
    /// The largest difference that is accepted by default.
    static let standard: Float = 1e-4

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Largest allowed difference of logits, as a fraction of the largest logit. (default: \(standard))",
            valueName: "fraction"
        )
    )
    var tolerance: Float?

    func validate() throws {
        guard let tolerance, !(tolerance >= 0 && tolerance.isFinite) else { return }
        throw ValidationError("--tolerance is \(tolerance), expected 0 or more")
    }
}
