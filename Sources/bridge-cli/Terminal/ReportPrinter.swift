import BridgeCore
import JSONTree

/// Prints the report of a conversion.
struct ReportPrinter {
    let report: ConversionReport
    let json: Bool

    func show(done: String, structure: String) {
        guard !json else { return Output.json(report.json) }
        for note in report.notes { Output.line("   note: \(note)") }
        Output.line(Style.green(done))
        let rate =
            report.seconds > 0 ? ByteFormat.text(Int(saturating: Double(report.byteCount) / report.seconds)) : "-"
        Output.line(
            "   \(report.tensors) tensors, \(ByteFormat.text(report.byteCount)) in \(ByteFormat.rounded(report.seconds, digits: 2)) s, \(rate)/s"
        )
        Output.line(structure)
        let directory = report.destination.split(separator: "/").last.map(String.init) ?? ""
        let isIteration = directory.hasPrefix("iter_")
        let indent = isIteration ? "      " : "   "
        if isIteration {
            Output.line("   📄 latest_checkpointed_iteration.txt")
            Output.line("   📂 \(directory)/")
        }
        var seen: Set<String> = []
        for file in report.files {
            guard let slash = file.name.firstIndex(of: "/") else {
                Output.line("\(indent)📄 \(file.name)")
                continue
            }
            let directory = String(file.name[...slash])
            if seen.insert(directory).inserted { Output.line("\(indent)📂 \(directory)") }
        }
    }
}
