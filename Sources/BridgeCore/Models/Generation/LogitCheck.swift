/// Finds logits that are not finite: the result of damaged weights, or of weights too large for their type.
public enum LogitCheck {
    /// The problem of some logits; nil for none.
    ///
    /// A token may be impossible, so minus infinity for some of them is a number like any other.
    ///
    /// - Parameters:
    ///   - logits: The logits.
    ///   - allowsInfinity: Whether positive infinity may be the largest logit, which greedy decoding accepts.
    /// - Returns: A clause about them; nil where nothing is wrong.
    public static func problem(_ logits: [Float], allowsInfinity: Bool = false) -> String? {
        var (wrong, finite) = (0, 0)
        for logit in logits {
            if logit.isFinite { finite += 1 } else if logit.isNaN || (logit > 0 && !allowsInfinity) { wrong += 1 }
        }
        guard !logits.isEmpty, wrong > 0 || finite == 0 else { return nil }
        return "\(wrong > 0 ? wrong : logits.count) of \(logits.count) logits are not numbers (NaN or infinite)"
    }

    /// The advice for the user.
    public static let advice =
        "the weights are damaged, or too large for the type that is computed in; compare them with their source by "
        + "'bridge verify', a Megatron checkpoint with its checksums by 'bridge checkpoint check', or compute with "
        + "--dtype float32"
}
