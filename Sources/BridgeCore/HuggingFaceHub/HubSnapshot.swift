import BridgeSupport
public import CheckpointFormats
import JSONTree
import Network

/// A repository at a commit: its files, and which of them are cached.
public struct HubSnapshot: Sendable {
    /// The hub.
    public internal(set) var hub: Hub
    /// The repository.
    public let repository: HubRepository
    /// The files of the commit.
    public let listing: HubListing

    /// The directory of the cached files.
    public var directory: String { hub.cache.snapshot(listing.commit, of: repository) }

    /// Whether a file is cached.
    public func holds(_ file: HubFile) -> Bool { hub.cache.holds(file, listing.commit, of: repository) }

    /// Whether the content of a file is cached, so that it needs no download.
    public func isCached(_ file: HubFile) -> Bool {
        holds(file) || hub.cache.holdsContent(of: file, of: repository)
    }

    /// Downloads what a purpose needs and is not cached.
    ///
    /// - Throws: `BridgeError`; downloaded bytes are kept, and the next call resumes.
    public func fetch(for purpose: HubPurpose) throws {
        let selection = try selection(purpose)
        let (small, weights) = (
            try fetch(selection.small, pending: [:]), try fetch(weights(of: selection), pending: [:])
        )
        try remember(afterFetching: small || weights)
    }

    /// Stores the commit as the last known one of its branch, once the requested files are cached.
    ///
    /// - Parameter hasCome: Whether something was downloaded. A read-only cache is sufficient when it is complete.
    /// - Throws: `BridgeError` when the cache cannot be written, and something was downloaded.
    func remember(afterFetching hasCome: Bool) throws {
        do {
            try hub.cache.remember(listing, of: repository)
            try hub.cache.remember(listing.commit, of: repository)
        } catch  where !hasCome {}
    }

    /// The files that a purpose needs.
    private func selection(_ purpose: HubPurpose) throws -> HubSelection {
        do { return try HubSelection(purpose, in: listing, of: repository) } catch {
            throw listing.isOfTheCache ? notWhole([]) : error
        }
    }

    /// The error when something is missing and requests are forbidden.
    private func notWhole(_ missing: [String]) -> BridgeError {
        BridgeError(
            .network,
            "\(repository) is incomplete in \(hub.cache.path)\(missing.isEmpty ? ": it has no weights" : ""), and "
                + "HF_HUB_OFFLINE forbids requests to the hub; unset it to download the missing files",
            names: missing
        )
    }

    /// Downloads what a model needs besides its weights, and returns the weight files.
    func fetchAllButWeights() throws -> [HubFile] {
        let selection = try selection(.model)
        try fetch(selection.small, pending: [:])
        return try weights(of: selection)
    }

    /// The files that a purpose needs.
    ///
    /// - Throws: `BridgeError`; the index of the weights has to be read for this, from the hub if it is not cached.
    public func files(for purpose: HubPurpose) throws -> [HubFile] {
        let selection = try selection(purpose)
        return try selection.small + weights(of: selection)
    }

    /// The index of the weights, from the cache or from the hub, which does not store it.
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

    /// The weight files.
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

    /// Downloads files that are not cached.
    ///
    /// - Parameter files: The files, in the order of download.
    /// - Throws: `BridgeError`; downloaded bytes are kept, and the next call resumes.
    public func fetch(_ files: [HubFile]) throws {
        guard !files.isEmpty else { return }
        try remember(afterFetching: fetch(files, pending: [:]))
    }

    /// Downloads files that are not cached, and notifies their readers, by path.
    ///
    /// - Returns: Whether something was downloaded.
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
