/// A repository at a commit: what it holds, and what of that is in the cache.
public struct HubSnapshot: Sendable {
    /// The hub.
    public let hub: Hub
    /// The repository.
    public let repository: HubRepository
    /// The files that the commit has.
    public let listing: HubListing

    /// The folder with those that are here.
    public var folder: String { hub.cache.snapshot(listing.commit, of: repository) }

    /// Whether a file is here.
    public func holds(_ file: HubFile) -> Bool { hub.cache.holds(file.path, listing.commit, of: repository) }

    /// Fetches what a purpose needs and is not here.
    ///
    /// - Throws: `BridgeError`; what has come is kept, and the next call goes on from there.
    public func fetch(for purpose: HubPurpose) throws {
        let selection = try HubSelection(purpose, in: listing, of: repository)
        try fetch(selection.small)
        try fetch(weights(of: selection))
    }

    /// Fetches what a model needs besides its weights, and returns those.
    func fetchAllButWeights() throws -> [HubFile] {
        let selection = try HubSelection(.model, in: listing, of: repository)
        try fetch(selection.small)
        return try weights(of: selection)
    }

    /// The files that a purpose needs.
    ///
    /// - Throws: `BridgeError`; the index of the weights has to be fetched for this.
    public func files(for purpose: HubPurpose) throws -> [HubFile] {
        let selection = try HubSelection(purpose, in: listing, of: repository)
        try fetch(listing.files.filter { $0.path == selection.index })
        return try selection.small + weights(of: selection)
    }

    /// The files with weights, once their index is here.
    private func weights(of selection: HubSelection) throws -> [HubFile] {
        guard let index = selection.index else { return selection.weights }
        let name = Files.join(folder, index)
        return try ShardIndex(path: name).files.map { path in
            guard let file = listing.file(path) else {
                throw BridgeError(
                    .corruptInput,
                    "\(index) of \(repository) lists \(path), and the repository has no such file; choose another revision"
                )
            }
            return file
        }
    }

    /// Fetches files that are not here.
    ///
    /// - Parameter files: The files, in the order in which they are wanted.
    /// - Throws: `BridgeError`; what has come is kept, and the next call goes on from there.
    public func fetch(_ files: [HubFile]) throws { try fetch(files, arriving: [:]) }

    /// Fetches files that are not here, and tells their readers, by path, how far they are.
    func fetch(_ files: [HubFile], arriving: [String: HubArrival]) throws {
        let missing = files.filter { !holds($0) }
        guard !missing.isEmpty else { return }
        guard !hub.environment.isOffline else {
            throw BridgeError(
                .network,
                "\(repository) is not whole in \(hub.cache.path), and HF_HUB_OFFLINE says not to ask the hub; unset it to "
                    + "fetch what is missing",
                names: missing.map(\.path)
            )
        }
        try hub.cache.prepare()
        let download = HubDownload(
            missing,
            from: hub,
            repository: repository,
            commit: listing.commit,
            arriving: arriving
        )
        try download.run(progress: arriving.isEmpty ? hub.context.progress : nil)
    }
}
