public import BridgeSupport

extension Destination {
    /// Makes sure that a destination can be written without changing a source; nothing is touched.
    ///
    /// - Parameters:
    ///   - path: Where the result goes: a file, or a directory that is put in place as a whole or gets another iteration.
    ///   - sources: What it is made of; nil and what is not here, such as an id on the hub, count for nothing.
    /// - Throws: `BridgeError` with code `badArgument` for a source in the way, `destinationTaken` or `fileSystem` for a path
    ///   at which nothing can be put.
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
