import BridgeCore
import JSONTree
import TensorRuntime

/// Prints a plan as text or JSON.
struct PlanPrinter {
    let plan: ConversionPlan
    let context: RunContext
    let json: Bool
    /// The user's name of the source, if it differs from its directory.
    var source: String?
    /// The planned upload: the repository, and a sentence about it.
    var upload: (repository: String, sentence: String)?

    func show() {
        guard !json else {
            var json = plan.json
            json.set(.number(.init(plan.peakMemory(context))), at: "peak_memory_bytes")
            if let upload { json.set(.string(upload.repository), at: "push_to_hub") }
            return Output.json(json)
        }
        Output.line("\(plan.kind.rawValue) of \(source ?? plan.source): \(plan.architecture), \(plan.layout)")
        Output.line()
        Output.table(
            [["TENSOR", "SHAPE", "TYPE", "FROM", ""]]
                + plan.lines.map { line in
                    let shape = "[" + line.shape.map(String.init).joined(separator: ", ") + "]"
                    return [
                        line.name, shape, line.elementType.rawValue, Self.brief(line.sources),
                        line.notes.joined(separator: ", "),
                    ]
                }
        )
        Output.line()
        Output.table([["FILE", "BYTES"]] + plan.files.map { [$0.name, "\($0.byteCount)"] })
        Output.line()
        let ledger = plan.ledger
        Output.line(
            "\(ledger.mapped.count) tensors are mapped, \(ledger.dequantised.count) quantization scales are applied, \(ledger.ignored.count) tensors are ignored"
        )
        for (name, other) in ledger.shared.sorted(by: { $0.key < $1.key }) { Output.line("\(name) shares \(other)") }
        for ignored in ledger.ignored { Output.line("ignored: \(ignored.name) (\(ignored.reason))") }
        for name in ledger.allowed { Output.line("allowed: \(name)") }
        for note in plan.notes { Output.line("note: \(note)") }
        Output.line(
            "\(ByteFormat.text(plan.byteCount)) will be written, with at most \(ByteFormat.text(plan.peakMemory(context))) of buffers; this was a dry run"
        )
        if let upload { Output.line(upload.sentence) }
    }

    /// Several sources by their common prefix.
    private static func brief(_ names: [String]) -> String {
        guard let first = names.first, names.count > 1 else { return names.first ?? "" }
        let prefix = names.dropFirst().reduce(first) { $0.commonPrefix(with: $1) }
        let suffix = names.map { String($0.dropFirst(prefix.count)) }
        return "\(prefix){\(suffix.joined(separator: ","))}"
    }
}

extension String {
    fileprivate func commonPrefix(with other: String) -> String {
        String(zip(self, other).prefix { $0 == $1 }.map(\.0))
    }
}
