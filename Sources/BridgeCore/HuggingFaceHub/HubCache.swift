import BridgeSupport
public import CheckpointFormats
import Glibc
import JSONTree
import Network

/// The folder with the repositories that were downloaded, laid out as huggingface_hub 2.4 lays it out.
///
/// ```
/// models--org--name/refs/main              the commit that a revision was last seen at
///                   trees/COMMIT.json      which files the commit has
///                   blobs/NAME             their contents, by SHA-256 or by git's name
///                   snapshots/COMMIT/...   relative links to them, under the files' own paths
/// .locks/models--org--name/NAME.lock       held while a content is fetched
/// ```
///
/// Both tools read what the other has written, also at the same moment.
public struct HubCache: Sendable {
    /// The folder.
    public let path: String

    /// The cache in a folder, which need not exist yet.
    public init(path: String) { self.path = path }

    /// The folder of a repository.
    public func folder(of repository: HubRepository) -> String { Files.join(path, repository.folderName) }

    /// The folder with the files of a commit.
    public func snapshot(_ commit: String, of repository: HubRepository) -> String {
        "\(folder(of: repository))/snapshots/\(commit)"
    }

    /// The commit that a revision was last seen at; nil when it never was.
    public func commit(of repository: HubRepository) -> String? {
        if HubRepository.isCommit(repository.revision) { return repository.revision }
        let place = "\(folder(of: repository))/refs/\(repository.revision)"
        guard let bytes = try? Files.contents(of: place, limit: 256) else { return nil }
        let commit = String(decoding: bytes, as: UTF8.self).trimmed
        return HubRepository.isCommit(commit) ? commit : nil
    }

    /// Whether a file of a commit is here, under its own path and with the size that it should have.
    public func holds(_ file: HubFile, _ commit: String, of repository: HubRepository) -> Bool {
        Self.isWhole(Files.join(snapshot(commit, of: repository), file.path), file)
    }

    /// Whether the content of a file is here, be it under another commit, with the size that it should have.
    public func holdsContent(of file: HubFile, of repository: HubRepository) -> Bool {
        Self.isWhole(blob(file, of: repository), file)
    }

    /// A content of another size than the hub's was damaged.
    private static func isWhole(_ path: String, _ file: HubFile) -> Bool {
        Files.kind(of: path) == .file && Files.size(of: path) == file.byteCount
    }

    /// The files of a commit as they were listed; nil when they never were.
    func listing(_ commit: String, of repository: HubRepository) -> HubListing? {
        let place = "\(folder(of: repository))/trees/\(commit).json"
        // What is damaged there is asked for again.
        guard Files.kind(of: place) == .file, let json = try? JSON(contentsOf: place) else { return nil }
        return try? HubListing(commit: commit, cached: json, at: place)
    }

    /// The paths of the files of a commit that are here, sorted.
    func files(_ commit: String, of repository: HubRepository) throws -> [String] {
        var found: [String] = []
        let root = snapshot(commit, of: repository)
        func visit(_ folder: String) throws {
            for name in try Files.list(Files.join(root, folder)) {
                let inside = folder.isEmpty ? name : "\(folder)/\(name)"
                switch Files.kind(of: Files.join(root, inside)) {
                case .folder: try visit(inside)
                case .file: found.append(inside)
                default: break
                }
            }
        }
        try visit("")
        return found
    }

    /// Remembers which commit a revision is at.
    func remember(_ commit: String, of repository: HubRepository) throws {
        guard repository.revision != commit, self.commit(of: repository) != commit else { return }
        let place = "\(folder(of: repository))/refs/\(repository.revision)"
        try Files.makeFolder(Files.parent(of: place))
        try Files.replace(place, with: Array(commit.utf8))
    }

    /// Remembers which files a commit has.
    func remember(_ listing: HubListing, of repository: HubRepository) throws {
        let place = "\(folder(of: repository))/trees/\(listing.commit).json"
        guard !listing.isKept, !listing.isOfTheCache, self.listing(listing.commit, of: repository) == nil else {
            return
        }
        try Files.makeFolder(Files.parent(of: place))
        try Files.replace(place, with: listing.json.text())
    }

    /// Makes the folder, with the sign that tells backups to leave it out (https://bford.info/cachedir/).
    func prepare() throws {
        try Files.makeFolder(path)
        let tag = Files.join(path, "CACHEDIR.TAG")
        guard !Files.exists(tag) else { return }
        try? Files.replace(tag, with: Array("Signature: 8a477f597d28d172789f06886806bc55\n".utf8))
    }

    /// Where the content of a file is, or will be.
    func blob(_ file: HubFile, of repository: HubRepository) -> String {
        "\(folder(of: repository))/blobs/\(file.blobName)"
    }

    /// Where the content of a file is until it is whole.
    ///
    /// huggingface_hub gives such files eight random digits and never goes on with them; Bridge's are always the same, so
    /// that it finds them again.
    func incomplete(_ file: HubFile, of repository: HubRepository) -> String {
        "\(blob(file, of: repository)).b41d6e00.incomplete"
    }

    /// Removes what has come of a content that somebody else has brought whole.
    func clearIncomplete(_ file: HubFile, of repository: HubRepository) {
        let part = incomplete(file, of: repository)
        guard Files.exists(part), holdsContent(of: file, of: repository),
            let lock = try? FileLock.take(self.lock(file, of: repository))
        else { return }
        withExtendedLifetime(lock) { _ = unlink(part) }
    }

    /// What is locked while the content of a file is fetched.
    func lock(_ file: HubFile, of repository: HubRepository) -> String {
        "\(path)/.locks/\(repository.folderName)/\(file.blobName).lock"
    }

    /// Puts a link to the content of a file into the snapshot of a commit.
    func link(_ file: HubFile, _ commit: String, of repository: HubRepository) throws {
        let place = Files.join(snapshot(commit, of: repository), file.path)
        guard !Self.isWhole(place, file) else { return }
        try Files.makeFolder(Files.parent(of: place))
        // From `snapshots/COMMIT` two levels up, and one more for each folder of the file's own path.
        let up = String(repeating: "../", count: 2 + file.path.utf8.count { $0 == UInt8(ascii: "/") })
        let target = "\(up)blobs/\(file.blobName)"
        if symlink(target, place) == 0 { return }
        guard errno == EEXIST else { throw BridgeError.system("cannot link \(place)") }
        // A link that leads nowhere or a damaged copy is in the way, or somebody else has just made the same.
        guard !Self.isWhole(place, file) else { return }
        unlink(place)
        guard symlink(target, place) == 0 || Self.isWhole(place, file) else {
            throw BridgeError.system("cannot link \(place)")
        }
    }
}
