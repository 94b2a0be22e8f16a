package import BridgeSupport
import CheckpointFormats
import Glibc
import JSONTree

/// A directory with iterations, to which one is added atomically.
package struct NativeDestination {
    let path: String
    let iteration: Int
    let overwrite: Bool
    /// Whether the iteration continues those in the directory, as that of a run does, and is therefore always the
    /// newest.
    var continuesRun = false

    package init(path: String, iteration: Int, overwrite: Bool, continuesRun: Bool = false) {
        self.path = path
        self.iteration = iteration
        self.overwrite = overwrite
        self.continuesRun = continuesRun
    }

    /// Checks that the iteration can be written, as far as that is known in advance.
    ///
    /// - Returns: Whether the directory is made.
    /// - Throws: `BridgeError` with code `destinationTaken`.
    @discardableResult
    package func check() throws -> Bool {
        let root = Files.trimmed(path)
        if try Self.isFree(root) { return true }
        guard !overwrite else { return false }
        let others = try NativeCheckpoint.iterations(in: root).map(\.iteration)
        if let newest = others.last, newest > iteration || others.contains(iteration) {
            let own = "\(NativeCheckpoint.iterationName(iteration))"
            throw BridgeError(
                .destinationTaken,
                others.contains(iteration)
                    ? "\(root) already has \(own); choose another directory, or pass --overwrite to replace it"
                    : "\(root) holds iterations up to \(newest), and this would add \(own) to them; choose another directory, "
                        + "or pass --overwrite to add it and keep \(newest) as the newest"
            )
        }
        return false
    }

    /// Writes a plan as an iteration, and makes it the newest unless the directory has a later one.
    package func write(_ plan: ConversionPlan, context: RunContext) throws -> ConversionReport {
        let root = Files.trimmed(path)
        let name = NativeCheckpoint.iterationName(iteration)
        let isNew = try check()
        let staged = try StagedDirectory(
            destination: isNew ? root : Files.join(root, name),
            overwrite: !isNew && overwrite
        )
        let directory = isNew ? Files.join(staged.path, name) : staged.path
        var report = try staged.filling {
            if isNew { try Files.createDirectory(directory) }
            let report = try plan.write(into: directory, context: context)
            if isNew { try nameNewest(in: staged.path) }
            try staged.commit()
            return report
        }
        let isNewest = try continuesRun || NativeCheckpoint.iterations(in: root).last?.iteration == iteration
        if !isNew, isNewest { try nameNewest(in: root) }
        report.destination = Files.join(root, name)
        return report
    }

    /// Makes the iteration the one that a directory names as its newest.
    private func nameNewest(in directory: String) throws {
        let state = Files.join(
            Files.join(directory, NativeCheckpoint.iterationName(iteration)),
            TorchDistDirectory.trainStateName
        )
        let latest = Files.join(directory, TorchDistDirectory.latestTrainStateName)
        // What Megatron Bridge looks for first; one of another iteration would lead it there.
        if Files.exists(state) {
            try Files.replace(latest, with: Files.contents(of: state, limit: 1 << 20))
        } else {
            try Files.remove(latest)
        }
        let (path, number) = (Files.join(directory, NativeCheckpoint.latestName), Array(String(iteration).utf8))
        guard (try? Files.contents(of: path, limit: 64)) != number else { return }
        try Files.replace(path, with: number)
    }

    /// Whether the whole directory can be created or replaced; throws when it holds other files.
    static func isFree(_ root: String) throws -> Bool {
        switch Files.kind(of: root) {
        case nil: return true
        case .directory:
            let names = try Files.list(root)
            if names.isEmpty { return true }
            let isCheckpoint =
                names.contains(NativeCheckpoint.latestName)
                || names.contains { NativeCheckpoint.iteration(inName: $0) != nil }
            guard isCheckpoint else {
                throw BridgeError(
                    .destinationTaken,
                    "\(root) is not empty and is not a Megatron checkpoint; choose another directory"
                )
            }
            return false
        default: throw BridgeError(.destinationTaken, "\(root) exists and is not a directory; choose another path")
        }
    }
}
