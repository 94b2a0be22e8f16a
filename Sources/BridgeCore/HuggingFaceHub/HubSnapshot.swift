import BridgeSupport
public import CheckpointFormats
import JSONTree
import Network

/// A repository at a commit: what it holds, and what of that is in the cache.
public struct HubSnapshot: Sendable {
    /// The hub.
    public internal(set) var hub: Hub
    /// The repository.
    public let repository: HubRepository
    /// The files that the commit has.
    public let listing: HubListing

    /// The directory with those that are here.
    public var directory: String { hub.cache.snapshot(listing.commit, of: repository) }

    /// Whether a file is here.
    public func holds(_ file: HubFile) -> Bool { hub.cache.holds(file, listing.commit, of: repository) }

    /// Whether the content of a file is in the cache, so that nothing has to come for it.
    public func isCached(_ file: HubFile) -> Bool {
        holds(file) || hub.cache.holdsContent(of: file, of: repository)
    }

    /// Fetches what a purpose needs and is not here.
    ///
    /// - Throws: `BridgeError`; what has come is kept, and the next call goes on from there.
    public func fetch(for purpose: HubPurpose) throws {
        let selection = try selection(purpose)
        let (small, weights) = (
            try fetch(selection.small, pending: [:]), try fetch(weights(of: selection), pending: [:])
        )
        try remember(afterFetching: small || weights)
    }

    /// Makes the commit the one that its branch was last seen at, once what was wanted of it is here.
    ///
    /// - Parameter hasCome: Whether something had to come. A cache that cannot be written does as well when it is whole.
    /// - Throws: `BridgeError` when the cache cannot be written, and something had to come.
    func remember(afterFetching hasCome: Bool) throws {
        do {
            try hub.cache.remember(listing, of: repository)
            try hub.cache.remember(listing.commit, of: repository)
        } catch  where !hasCome {}
    }

    /// What a purpose needs.
    private func selection(_ purpose: HubPurpose) throws -> HubSelection {
        do { return try HubSelection(purpose, in: listing, of: repository) } catch {
            throw listing.isOfTheCache ? notWhole([]) : error
        }
    }

    /// What is wrong where something is missing and nobody may be asked for it.
    private func notWhole(_ missing: [String]) -> BridgeError {
        BridgeError(
            .network,
            "\(repository) is not whole in \(hub.cache.path)\(missing.isEmpty ? ": its weights are not there" : ""), and "
                + "HF_HUB_OFFLINE says not to ask the hub; unset it to fetch what is missing",
            names: missing
        )
    }

    /// Fetches what a model needs besides its weights, and returns those.
    func fetchAllButWeights() throws -> [HubFile] {
        let selection = try selection(.model)
        try fetch(selection.small, pending: [:])
        return try weights(of: selection)
    }

    /// The files that a purpose needs.
    ///
    /// - Throws: `BridgeError`; the index of the weights has to be read for this, if need be on the hub.
    public func files(for purpose: HubPurpose) throws -> [HubFile] {
        let selection = try selection(purpose)
        return try selection.small + weights(of: selection)
    }

    /// The index of the weights, from the cache or, without leaving it there, from the hub.
    private func shards(_ index: String) throws -> ShardIndex {
        let location = Files.join(directory, index)
        guard let file = listing.file(index), !holds(file) else { return try ShardIndex(path: location) }
        if hub.cache.holdsContent(of: file, of: repository) {
            return try ShardIndex(path: location, json: JSON(contentsOf: hub.cache.blob(file, of: repository)))
        }
        do {
            let bytes = try hub.client().bytes(0..<file.byteCount, of: file, listing.commit, in: repository)
            return try ShardIndex(path: location, json: JSON(parsing: bytes, named: location))
        } catch let failure as HTTPFailure {
            throw failure.error("\(repository)", hub.environment)
        }
    }

    /// The files with weights.
    private func weights(of selection: HubSelection) throws -> [HubFile] {
        guard let index = selection.index else { return selection.weights }
        return try shards(index).files.map { path in
            guard let file = listing.file(path) else {
                if listing.isOfTheCache { throw notWhole([path]) }
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
    public func fetch(_ files: [HubFile]) throws {
        guard !files.isEmpty else { return }
        try remember(afterFetching: fetch(files, pending: [:]))
    }

    /// Fetches files that are not here, and tells their readers, by path, how far they are.
    ///
    /// - Returns: Whether something had to come.
    @discardableResult
    func fetch(_ files: [HubFile], pending: [String: PendingFile]) throws -> Bool {
        let missing = files.filter { !holds($0) }
        for file in files where holds(file) { hub.cache.clearIncomplete(file, of: repository) }
        guard !missing.isEmpty else { return false }
        guard !hub.environment.isOffline else { throw notWhole(missing.map(\.path)) }
        try hub.cache.prepare()
        try hub.cache.remember(listing, of: repository)
        let download = HubDownload(
            missing,
            from: hub,
            repository: repository,
            commit: listing.commit,
            pending: pending
        )
        try download.run(progress: hub.context.progress)
        return true
    }
}
