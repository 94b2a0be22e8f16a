import BridgeCore
import Foundation

// Import and export.
extension CardMeasurement {
    func importing(_ layout: CardLayout) throws -> Finding {
        let report = try bridge.importCheckpoint(
            to: imported,
            options: ConversionOptions(layout: layout.ranks, context: options.context)
        )
        return (.passed, figures(of: report))
    }

    func exporting(_ layout: CardLayout) throws -> Finding { try export(imported) }

    func torchDist(_ layout: CardLayout) throws -> Finding {
        let directory = path("torch_dist")
        defer { try? Files.remove(directory) }
        let report = try bridge.importCheckpoint(
            to: directory,
            options: ConversionOptions(layout: layout.ranks, container: .torchDist, context: options.context)
        )
        let exported = try export(directory)
        return (exported.outcome, figures(of: report) + exported.figures)
    }

    private func figures(of report: ConversionReport) -> [ModelCard.Figure] {
        [.init("tensors", "\(report.tensors)"), .init("bytes", "\(report.byteCount)")]
    }

    /// Exports a checkpoint and compares the files with those of the source.
    private func export(_ checkpoint: String) throws -> Finding {
        let exported = path("exported")
        defer { try? Files.remove(exported) }
        let own = try AutoBridge.fromMegatron(checkpoint, catalog: catalog)
        try own.exportCheckpoint(
            from: checkpoint,
            to: exported,
            options: ConversionOptions(context: options.context)
        )
        let (names, others) = (try Self.files(of: source), try Self.files(of: exported))
        let different = try Set(names).union(others).sorted().filter { name in
            try throwIfCancelled()
            return !FileManager.default.contentsEqual(
                atPath: Files.join(source, name),
                andPath: Files.join(exported, name)
            )
        }
        let figures = [ModelCard.Figure("files", "\(names.count)")]
        guard different.isEmpty else {
            let listed = different.prefix(4).joined(separator: ", ")
            return (.failed("\(ByteFormat.counted(different.count, "file")) of the export differ: \(listed)"), figures)
        }
        return (.passed, figures)
    }

    /// The files of a directory and of those below it, as sorted paths.
    static func files(of directory: String) throws -> [String] {
        var files: [String] = []
        try Files.walk(directory) { entry in
            if entry.kind == .file { files.append(entry.path) }
            return entry.kind == .directory
        }
        return files.sorted()
    }
}
