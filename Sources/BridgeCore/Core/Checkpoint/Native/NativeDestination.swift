import Glibc
import JSONTree

/// A folder with iterations, to which one is added whole or not at all.
struct NativeDestination {
    let path: String
    let iteration: Int
    let overwrite: Bool

    /// Writes a plan as an iteration and makes it the newest.
    func write(_ plan: ConversionPlan, context: RunContext) throws -> ConversionReport {
        let root = Files.trimmed(path)
        let name = NativeCheckpoint.iterationName(iteration)
        let isNew = try Self.isFree(root)
        let staged = try StagedFolder(
            destination: isNew ? root : Files.join(root, name),
            overwrite: !isNew && overwrite
        )
        let folder = isNew ? Files.join(staged.path, name) : staged.path
        if isNew { try Files.makeFolder(folder) }
        var report = try plan.write(into: folder, context: context)
        let latest = NativeCheckpoint.latestName
        let number = Array(String(iteration).utf8)
        if isNew { try Files.write(number, to: Files.join(staged.path, latest)) }
        try staged.commit()
        let latestPath = Files.join(root, latest)
        if !isNew, (try? Files.contents(of: latestPath, limit: 64)) != number {
            try Files.replace(latestPath, with: number)
        }
        report.destination = Files.join(root, name)
        return report
    }

    /// Whether the whole folder can be made anew; throws when what stands there is something else.
    static func isFree(_ root: String) throws -> Bool {
        switch Files.kind(of: root) {
        case nil: return true
        case .folder:
            let names = try Files.list(root)
            if names.isEmpty { return true }
            let isCheckpoint =
                names.contains(NativeCheckpoint.latestName)
                || names.contains { NativeCheckpoint.iteration(inName: $0) != nil }
            guard isCheckpoint else {
                throw BridgeError(
                    .destinationTaken,
                    "\(root) is not empty and no Megatron checkpoint; choose another folder"
                )
            }
            return false
        default: throw BridgeError(.destinationTaken, "\(root) exists and is not a folder; choose another path")
        }
    }
}
