import BridgeCore
import Foundation
import Tokenizers

/// Prints generation in the format of the scripts of Megatron Bridge, for comparisons.
enum StepPrinter {
    /// A step; the first five with their logits.
    static func show(_ step: Generator.Step, number: Int, _ tokenizer: Tokenizer?) {
        Output.line("Generation step \(number)")
        guard number < 5 else { return }
        let best = step.logits.max() ?? 0
        let weights = step.logits.map { exp(Double($0 - best)) }
        let (sum, mean) = (weights.reduce(0, +), step.logits.reduce(0) { $0 + Double($1) } / Double(step.logits.count))
        let variance = step.logits.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
        let top = weights.indices.sorted { weights[$0] > weights[$1] }.prefix(5).map { token in
            "('\(name(Int32(token), tokenizer))', \(rounded(weights[token] / sum)))"
        }
        Output.line(
            "Step \(number): output shape=[1, 1, \(step.logits.count)], var=\(rounded(variance / Double(max(step.logits.count - 1, 1))))"
        )
        Output.line("Top 5: [\(top.joined(separator: ", "))]")
        Output.line("Selected: '\(name(step.token, tokenizer))' (id=\(step.token))")
    }

    /// The result in its frame.
    static func frame(images: [String], prompt: String, text: String) {
        Output.line("======== GENERATED TEXT OUTPUT ========")
        for image in images { Output.line("Image: \(image)") }
        Output.lines("Prompt: \(prompt)")
        Output.lines("Generated: \(text)")
        Output.line("=======================================")
    }

    private static func name(_ token: Int32, _ tokenizer: Tokenizer?) -> String {
        (try? tokenizer?.decode([token])) ?? "\(token)"
    }

    private static func rounded(_ number: Double) -> String { String(format: "%.4f", number) }
}
