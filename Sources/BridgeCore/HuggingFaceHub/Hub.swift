public import BridgeSupport
public import CheckpointFormats
import Network

/// The Hugging Face hub and the cache of what was downloaded from it.
///
/// ```swift
/// let folder = try Hub.standard.folder(of: "mistralai/Ministral-3-3B-Instruct-2512-BF16", for: .model)
/// ```
///
/// See <doc:TheHub>.
public struct Hub: Sendable {
    /// When the hub is asked though the cache may have the answer.
    public enum Freshness: Sendable {
        /// When something is missing.
        case whenMissing
        /// Always: a branch may have moved.
        case always
    }

    /// Where the hub and its cache are, and who asks.
    public var environment: HubEnvironment
    /// Whom to tell how far a download is, and when to stop.
    public var context: RunContext
    /// When the hub is asked.
    public var freshness: Freshness
    /// How often failures that pass are tried again.
    public var patience: HubPatience

    /// The hub.
    public init(
        environment: HubEnvironment,
        context: RunContext = RunContext(),
        freshness: Freshness = .whenMissing,
        patience: HubPatience = .standard
    ) {
        self.environment = environment
        self.context = context
        self.freshness = freshness
        self.patience = patience
    }

    /// The hub that the process's environment describes.
    public static var standard: Hub { Hub(environment: .process) }

    /// The cache.
    public var cache: HubCache { HubCache(path: environment.cache) }

    /// The folder that a person means: one that is there, or that of a repository, which is downloaded where it is not here.
    ///
    /// - Parameters:
    ///   - text: A path, or `org/name` or `org/name@revision`.
    ///   - purpose: Which files are needed.
    /// - Returns: The folder; the text itself when it names a folder, or cannot be an id.
    /// - Throws: `BridgeError` when it has to be downloaded and cannot be.
    public func folder(of text: String, for purpose: HubPurpose) throws -> String {
        guard let repository = HubRepository(meantBy: text) else { return text }
        return try folder(of: repository, for: purpose)
    }

    /// The folder of a repository, downloaded where it is not here.
    ///
    /// - Throws: `BridgeError` when it has to be downloaded and cannot be.
    public func folder(of repository: HubRepository, for purpose: HubPurpose) throws -> String {
        let snapshot = try snapshot(of: repository)
        try snapshot.fetch(for: purpose)
        return snapshot.folder
    }

    /// A repository at a commit: what it holds, and what of that is here.
    ///
    /// Nothing in the cache is changed by this.
    ///
    /// - Throws: `BridgeError` when the hub has to be asked and does not answer.
    public func snapshot(of repository: HubRepository) throws -> HubSnapshot {
        let known = cache.commit(of: repository)
        let isFixed = HubRepository.isCommit(repository.revision)
        if let known, isFixed || freshness == .whenMissing || environment.isOffline,
            let listing = try listing(known, of: repository)
        {
            return HubSnapshot(hub: self, repository: repository, listing: listing)
        }
        guard !environment.isOffline else {
            throw BridgeError(
                .network,
                "\(repository) is not in \(cache.path), and HF_HUB_OFFLINE says not to ask the hub; unset it, or download "
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

    /// The files of a commit that the cache knows.
    ///
    /// Without a network what is here counts as all there is.
    private func listing(_ commit: String, of repository: HubRepository) throws -> HubListing? {
        if let listing = cache.listing(commit, of: repository) { return listing }
        let folder = cache.snapshot(commit, of: repository)
        guard environment.isOffline, Files.kind(of: folder) == .folder else { return nil }
        let none = String(repeating: "0", count: 40)
        let files = try cache.files(commit, of: repository).map {
            HubFile(path: $0, byteCount: Files.size(of: Files.join(folder, $0)), blobID: none)
        }
        var listing = HubListing(commit: commit, files: files)
        listing.isOfTheCache = true
        return listing
    }

    /// Whether a text names a folder, or a repository of which a model is in the cache, whole.
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
        var patience = patience
        patience.logger = context.logger
        return try HubClient(environment, patience: patience, idleSeconds: environment.questionSeconds) { [context] in
            context.cancellation.isCancelled
        }
    }
}
