import BridgeSupport

/// A repository of the hub at a revision: `org/name` or `org/name@revision`.
public struct HubRepository: Sendable, Hashable, CustomStringConvertible {
    /// The type of a repository.
    public enum Kind: String, Sendable, CaseIterable {
        case model
        case dataset
    }

    /// Its type.
    public var kind: Kind
    /// Its id, such as `mistralai/Ministral-3-3B-Instruct-2512-BF16`.
    public var id: String
    /// A branch, a tag, or a commit.
    public var revision: String

    /// The revision where none is given.
    public static let standardRevision = "main"

    /// A repository by the text that a person writes.
    ///
    /// Nil when the text cannot be an id.
    ///
    /// - Parameters:
    ///   - text: `org/name` or `org/name@revision`; a data set's id may lack the `org/`.
    ///   - kind: What it holds.
    public init?(_ text: String, kind: Kind = .model) {
        let halves = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let parts = halves[0].split(separator: "/", omittingEmptySubsequences: false)
        let counts = kind == .dataset ? 1...2 : 2...2
        guard counts.contains(parts.count), halves[0].utf8.count <= 96, parts.allSatisfy(Self.isName) else {
            return nil
        }
        let revision = halves.count == 2 ? halves[1] : Self.standardRevision
        guard Self.isRevision(revision) else { return nil }
        self.kind = kind
        id = halves[0]
        self.revision = revision
    }

    /// The repository that the user means where a directory is accepted too; nil for an existing directory and for an
    /// invalid id.
    public init?(meantBy text: String) {
        // The name of an iteration is that of a directory, which is missing then.
        guard !Files.exists(text), NativeCheckpoint.iteration(inName: Files.name(of: text)) == nil else { return nil }
        self.init(text)
    }

    /// The rules of the hub for one part of an id.
    private static func isName(_ name: Substring) -> Bool {
        let isPlain = name.utf8.allSatisfy {
            (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) || "-_.".utf8.contains($0)
        }
        return isPlain && !name.isEmpty && !name.contains("--") && !name.contains("..")
            && !"-.".contains(name.first ?? ".") && !"-.".contains(name.last ?? ".") && !name.hasSuffix(".git")
    }

    /// A revision becomes the path of a file in the cache, so it may lead nowhere else.
    private static func isRevision(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return name.utf8.count <= 256 && parts.allSatisfy { Files.isPlainName(String($0)) }
            && !name.utf8.contains { $0 <= 32 || $0 == 127 }
    }

    /// Whether a text is the whole name of a commit.
    package static func isCommit(_ text: String) -> Bool {
        text.utf8.count == 40 && text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }

    /// The name of its directory in the cache.
    public var directoryName: String { "\(kind.rawValue)s--" + id.split(separator: "/").joined(separator: "--") }

    /// The id, with the revision if it is not the default.
    public var description: String { revision == Self.standardRevision ? id : "\(id)@\(revision)" }

    /// A repository of the same name that holds the other thing.
    package var otherType: HubRepository {
        var otherType = self
        otherType.kind = kind == .model ? .dataset : .model
        otherType.revision = Self.standardRevision
        return otherType
    }

    /// Its web page, below the hub's address.
    package var page: String { kind == .model ? id : "\(kind.rawValue)s/\(id)" }
    /// Its API path, below the hub's address.
    package var api: String { "api/\(kind.rawValue)s/\(id)" }
}
