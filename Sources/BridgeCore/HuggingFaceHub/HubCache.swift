import BridgeSupport
public import CheckpointFormats
import Glibc
import JSONTree
import Network

/// The directory of downloaded repositories, in the layout of huggingface_hub 2.4.
///
/// ```
/// models--org--name/refs/main              the commit that a revision was last seen at
///                   trees/COMMIT.json      which files the commit has
///                   blobs/NAME             their contents, by SHA-256 or by git's name
///                   snapshots/COMMIT/...   relative links to them, under the files' own paths
/// .locks/models--org--name/NAME.lock       held while a content is fetched
/// ```
///
/// Both tools read what the other has written, also while both are running.
public struct HubCache: Sendable {
    /// The directory.
    public let path: String

    /// The cache in a directory, which need not exist yet.
    public init(path: String) { self.path = path }

    /// The directory of a repository.
    public func directory(of repository: HubRepository) -> String { Files.join(path, repository.directoryName) }

    /// The directory with the files of a commit.
    public func snapshot(_ commit: String, of repository: HubRepository) -> String {
        "\(directory(of: repository))/snapshots/\(commit)"
    }

    /// The last known commit of a revision; nil when it was never requested.
    public func commit(of repository: HubRepository) -> String? {
        if HubRepository.isCommit(repository.revision) { return repository.revision }
        let location = "\(directory(of: repository))/refs/\(repository.revision)"
        guard let bytes = try? Files.contents(of: location, limit: 256) else { return nil }
        let commit = String(decoding: bytes, as: UTF8.self).trimmed
        return HubRepository.isCommit(commit) ? commit : nil
    }

    /// Whether a file of a commit is cached, under its own path and with its expected size.
    public func holds(_ file: HubFile, _ commit: String, of repository: HubRepository) -> Bool {
        Self.isComplete(Files.join(snapshot(commit, of: repository), file.path), file)
    }

    /// Whether the content of a file is cached with its expected size, possibly under another commit.
    public func holdsContent(of file: HubFile, of repository: HubRepository) -> Bool {
        Self.isComplete(blob(file, of: repository), file)
    }

    /// A content whose size differs from the hub's is damaged.
    private static func isComplete(_ path: String, _ file: HubFile) -> Bool {
        Files.kind(of: path) == .file && Files.size(of: path) == file.byteCount
    }

    /// The stored listing of a commit; nil when there is none.
    func listing(_ commit: String, of repository: HubRepository) -> HubListing? {
        let location = "\(directory(of: repository))/trees/\(commit).json"
        // A damaged listing is requested again.
        guard Files.kind(of: location) == .file, let json = try? JSON(contentsOf: location) else { return nil }
        return try? HubListing(commit: commit, cached: json, at: location)
    }

    /// The paths of the cached files of a commit, sorted.
    func files(_ commit: String, of repository: HubRepository) throws -> [String] {
        var found: [String] = []
        try Files.walk(snapshot(commit, of: repository)) { entry in
            if entry.kind == .file { found.append(entry.path) }
            return true
        }
        return found
    }

    /// Stores the commit of a revision.
    func remember(_ commit: String, of repository: HubRepository) throws {
        guard repository.revision != commit, self.commit(of: repository) != commit else { return }
        let location = "\(directory(of: repository))/refs/\(repository.revision)"
        try Files.createDirectory(Files.parent(of: location))
        try Files.replace(location, with: Array(commit.utf8))
    }

    /// Stores the listing of a commit.
    func remember(_ listing: HubListing, of repository: HubRepository) throws {
        let location = "\(directory(of: repository))/trees/\(listing.commit).json"
        guard !listing.isKept, !listing.isOfTheCache, self.listing(listing.commit, of: repository) == nil else {
            return
        }
        try Files.createDirectory(Files.parent(of: location))
        try Files.replace(location, with: listing.json.text())
    }

    /// Creates the directory with the tag that excludes it from backups (https://bford.info/cachedir/).
    func prepare() throws {
        try Files.createDirectory(path)
        let tag = Files.join(path, "CACHEDIR.TAG")
        guard !Files.exists(tag) else { return }
        try? Files.replace(tag, with: Array("Signature: 8a477f597d28d172789f06886806bc55\n".utf8))
    }

    /// The path of the content of a file in the cache.
    func blob(_ file: HubFile, of repository: HubRepository) -> String {
        "\(directory(of: repository))/blobs/\(file.blobName)"
    }

    /// The path of the content of a file until it is complete.
    ///
    /// huggingface_hub gives such files eight random digits and never resumes them; Bridge's digits are fixed, so that
    /// the file is found again.
    func incomplete(_ file: HubFile, of repository: HubRepository) -> String {
        "\(blob(file, of: repository)).b41d6e00.incomplete"
    }

    /// Removes a partial content that another process has completed.
    func clearIncomplete(_ file: HubFile, of repository: HubRepository) {
        let part = incomplete(file, of: repository)
        guard Files.exists(part), holdsContent(of: file, of: repository),
            let lock = try? FileLock.take(self.lock(file, of: repository))
        else { return }
        withExtendedLifetime(lock) { _ = unlink(part) }
    }

    /// The lock for the download of a file's content.
    func lock(_ file: HubFile, of repository: HubRepository) -> String {
        "\(path)/.locks/\(repository.directoryName)/\(file.blobName).lock"
    }

    /// Links the content of a file into the snapshot of a commit.
    func link(_ file: HubFile, _ commit: String, of repository: HubRepository) throws {
        let location = Files.join(snapshot(commit, of: repository), file.path)
        guard !Self.isComplete(location, file) else { return }
        try Files.createDirectory(Files.parent(of: location))
        // From `snapshots/COMMIT` two levels up, and one more for each directory in the file's path.
        let up = String(repeating: "../", count: 2 + file.path.utf8.count { $0 == UInt8(ascii: "/") })
        let target = "\(up)blobs/\(file.blobName)"
        if symlink(target, location) == 0 { return }
        guard errno == EEXIST else { throw BridgeError.system("cannot link \(location)") }
        // Either a dangling link or a damaged copy has this name, or another process has just created the same link.
        guard !Self.isComplete(location, file) else { return }
        unlink(location)
        guard symlink(target, location) == 0 || Self.isComplete(location, file) else {
            throw BridgeError.system("cannot link \(location)")
        }
    }
}
