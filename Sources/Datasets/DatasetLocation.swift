import BridgeCore

/// The location of a data set: a directory, or the hub, from which the needed files are downloaded.
struct DatasetLocation {
    /// The directory with the cached files, and the names of all.
    let directory: DatasetDirectory
    private let snapshot: HubSnapshot?

    /// Finds a data set.
    ///
    /// - Parameters:
    ///   - name: A directory, or a hub id, `org/name` or `org/name@revision`.
    ///   - hub: Where ids lead to; nil where only directories count.
    /// - Throws: `BridgeError` when there is none.
    init(_ name: String, hub: Hub?) throws {
        if let kind = Files.kind(of: name) {
            guard kind == .directory else {
                throw BridgeError(.badArgument, "\(name) is a file; name the directory of a data set")
            }
            directory = try DatasetDirectory(path: name)
            snapshot = nil
            return
        }
        guard let hub, let repository = HubRepository(name, kind: .dataset) else {
            throw BridgeError(.fileSystem, "\(name) is neither a directory nor the id of a data set on the hub")
        }
        let snapshot = try hub.snapshot(of: repository)
        // Its front matter lists the files of each split.
        try snapshot.fetch(snapshot.listing.files.filter { $0.path == "README.md" })
        directory = DatasetDirectory(path: snapshot.directory, listing: snapshot.listing.files.map(\.path))
        self.snapshot = snapshot
    }

    /// Downloads files that are not cached.
    func fetch(_ paths: [String]) throws {
        guard let snapshot else { return }
        try snapshot.fetch(paths.compactMap { snapshot.listing.file($0) })
    }
}
