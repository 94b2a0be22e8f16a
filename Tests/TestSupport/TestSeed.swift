import Foundation

/// The seed of tests with random inputs: `BRIDGE_TEST_SEED`, or 1, so that a crash can be repeated.
public enum TestSeed {
    /// The seed.
    public static let value: UInt64 = {
        guard let text = ProcessInfo.processInfo.environment["BRIDGE_TEST_SEED"], !text.isEmpty else { return 1 }
        guard let value = UInt64(text) else { preconditionFailure("BRIDGE_TEST_SEED is \(text), expected a number") }
        return value
    }()

    /// What repeats a failure; belongs into the comment of an expectation about random inputs.
    public static let note = "BRIDGE_TEST_SEED=\(value)"

    /// A generator that starts from the seed.
    public static func generator() -> SplitMix { SplitMix(state: value) }
}
