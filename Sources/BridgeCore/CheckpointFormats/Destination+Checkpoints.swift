public import BridgeSupport

extension Destination {
    /// Checks that a destination can be written without changing a source; nothing is changed.
    ///
    /// - Parameters:
    ///   - path: The destination: a file, or a directory that is replaced or gets another iteration.
    ///   - sources: Its sources; nil and paths that do not exist, such as an id on the hub, are ignored.
    /// - Throws: `BridgeError` with code `badArgument` for a destination that would replace a source,
    ///   `destinationTaken` or `fileSystem` for a path that cannot be written.
    public static func check(_ path: String, against sources: [String?]) throws {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw BridgeError(.badArgument, "the destination is empty; name the path to write to")
        }
        // A directory with iterations gets another one, and stays itself.
        let isGrown = (try? NativeCheckpoint.iterations(in: path))?.isEmpty == false
        if !isGrown { try checkReplaceable(path) }
        try checkRelation(path, to: sources)
    }
}
