public import BridgeSupport
public import CheckpointFormats
public import Network

/// The Hugging Face hub and the cache of what was downloaded from it.
///
/// ```swift
/// let directory = try Hub.standard.directory(of: "mistralai/Ministral-3-3B-Instruct-2512-BF16", for: .model)
/// ```
///
/// See <doc:TheHub>.
public struct Hub: Sendable {
    /// When the hub is requested although the cache may have the response.
    public enum CachePolicy: Sendable {
        /// When something is missing.
        case ifMissing
        /// Always: a branch may have moved.
        case forceRevalidate
    }

    /// The addresses of the hub and its cache, and the credentials.
    public var environment: HubEnvironment
    /// The receiver of progress and of cancellation.
    public var context: RunContext
    /// When the hub is requested.
    public var cachePolicy: CachePolicy
    /// How often transient failures are retried.
    public var retryPolicy: RetryPolicy

    /// The hub.
    public init(
        environment: HubEnvironment,
        context: RunContext = RunContext(),
        cachePolicy: CachePolicy = .ifMissing,
        retryPolicy: RetryPolicy = .standard
    ) {
        self.environment = environment
        self.context = context
        self.cachePolicy = cachePolicy
        self.retryPolicy = retryPolicy
    }

    /// The hub that the process's environment describes.
    public static var standard: Hub { Hub(environment: .process) }

    /// The cache.
    public var cache: HubCache { HubCache(path: environment.cache) }

    /// The directory that the user means: an existing one, or that of a repository, which is downloaded if it is not
    /// cached.
    ///
    /// - Parameters:
    ///   - text: A path, or `org/name` or `org/name@revision`.
    ///   - purpose: Which files are needed.
    /// - Returns: The directory; the text itself when it names a directory, or cannot be an id.
    /// - Throws: `BridgeError` when it has to be downloaded and cannot be.
    public func directory(of text: String, for purpose: HubPurpose) throws -> String {
        guard let repository = HubRepository(meantBy: text) else { return text }
        return try directory(of: repository, for: purpose)
    }

    /// The directory of a repository, downloaded if it is not cached.
    ///
    /// - Throws: `BridgeError` when it has to be downloaded and cannot be.
    public func directory(of repository: HubRepository, for purpose: HubPurpose) throws -> String {
        let snapshot = try snapshot(of: repository)
        try snapshot.fetch(for: purpose)
        return snapshot.directory
    }

    /// A repository at a commit: its files, and which of them are cached.
    ///
    /// Does not change the cache.
    ///
    /// - Throws: `BridgeError` when the hub has to be requested and does not respond.
    public func snapshot(of repository: HubRepository) throws -> HubSnapshot {
        let known = cache.commit(of: repository)
        let isFixed = HubRepository.isCommit(repository.revision)
        if let known, isFixed || cachePolicy == .ifMissing || environment.isOffline,
            let listing = try listing(known, of: repository)
        {
            return HubSnapshot(hub: self, repository: repository, listing: listing)
        }
        guard !environment.isOffline else {
            throw BridgeError(
                .network,
                "\(repository) is not in \(cache.path), and HF_HUB_OFFLINE forbids requests to the hub; unset it, or download "
                    + "the repository where there is a network",
                names: cache.names(near: repository)
            )
        }
        do {
            let client = try client()
            let commit = isFixed ? repository.revision : try client.commit(of: repository)
            let listing = try cache.listing(commit, of: repository) ?? client.listing(commit, of: repository)
            return HubSnapshot(hub: self, repository: repository, listing: listing)
        } catch let failure as HTTPFailure {
            throw failure.error("\(repository)", environment, isHere: (try? isHere(repository)) == true)
        }
    }

    /// The files of a commit that are in the cache.
    ///
    /// Without a network the cached files are the listing.
    private func listing(_ commit: String, of repository: HubRepository) throws -> HubListing? {
        if let listing = cache.listing(commit, of: repository) { return listing }
        let directory = cache.snapshot(commit, of: repository)
        guard environment.isOffline, Files.kind(of: directory) == .directory else { return nil }
        let none = String(repeating: "0", count: 40)
        let files = try cache.files(commit, of: repository).map {
            HubFile(path: $0, byteCount: Files.size(of: Files.join(directory, $0)), blobID: none)
        }
        var listing = HubListing(commit: commit, files: files)
        listing.isOfTheCache = true
        return listing
    }

    /// Whether a text names a directory, or a repository of which a complete model is in the cache.
    ///
    /// - Throws: `BridgeError` when the cache cannot be read.
    public func isHere(_ text: String) throws -> Bool {
        guard let repository = HubRepository(meantBy: text) else { return true }
        return try isHere(repository)
    }

    private func isHere(_ repository: HubRepository) throws -> Bool {
        var quiet = self
        quiet.environment.isOffline = true
        let snapshot = try quiet.snapshot(of: repository)
        return try snapshot.files(for: .model).allSatisfy { snapshot.holds($0) }
    }

    func client() throws -> HubClient {
        try environment.check()
        var retryPolicy = retryPolicy
        retryPolicy.logger = context.logger
        return try HubClient(environment, retryPolicy: retryPolicy, idleSeconds: environment.requestTimeout) {
            [context] in
            context.cancellation.isCancelled
        }
    }
}
