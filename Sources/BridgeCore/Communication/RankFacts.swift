import BridgeSupport
public import TensorRuntime

/// What all ranks of a run must have in common, such as settings and files, compared before the first step.
public struct RankFacts: Sendable {
    private var facts: [(name: String, value: String)] = []

    /// No facts.
    public init() {}

    /// Adds a fact.
    public mutating func add(_ name: String, _ value: String) {
        func plain(_ text: String) -> String { String(decoding: text.utf8.filter { $0 >= 32 }, as: UTF8.self) }
        facts.append((plain(name), plain(value)))
    }

    /// Adds the sizes and the contents of a file, or of the files in a directory.
    public mutating func add(_ name: String, contentsOf path: String) {
        guard Files.kind(of: path) == .directory else { return add(name, Self.summary(path)) }
        for file in ((try? Files.list(path)) ?? []).sorted() where Files.kind(of: Files.join(path, file)) != .directory
        {
            add(Files.join(name, file), Self.summary(Files.join(path, file)))
        }
    }

    /// Adds other facts.
    public mutating func add(_ other: RankFacts) { facts += other.facts }

    /// Compares the facts of all ranks, which all of them call.
    ///
    /// - Throws: `BridgeError` that names the first rank which differs from rank 0, and everything in which it does.
    public func check(_ ranks: any ProcessGroup) throws {
        guard ranks.size > 1 else { return }
        let all = try ranks.agree { Array(facts.map { "\($0.name)\u{1F}\($0.value)" }.joined(separator: "\n").utf8) }
            .map(Self.read)
        for (rank, found) in all.enumerated() where found != all[0] {
            let names = Set(found.keys).union(all[0].keys).sorted().filter { found[$0] != all[0][$0] }
            let differences = names.map { "\($0): \(found[$0] ?? "none"), on rank 0 \(all[0][$0] ?? "none")" }
            throw BridgeError(
                .badArgument,
                "rank \(rank) was started with another \(differences[0]); start all ranks with the same command, program, "
                    + "plugins and files",
                names: Array(differences.dropFirst())
            )
        }
    }

    private static func read(_ bytes: [UInt8]) -> [String: String] {
        let lines = bytes.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
        let pairs = lines.map { $0.split(separator: "\u{1F}", maxSplits: 1, omittingEmptySubsequences: false) }
        return Dictionary(pairs.map { (String($0[0]), String($0[$0.count - 1])) }) { first, _ in first }
    }

    private static func summary(_ path: String) -> String {
        guard let file = try? FileStorage(path: path) else { return "missing" }
        guard let checksum = try? ContentFingerprint.of([path]) else { return "not readable" }
        return "\(file.byteCount) bytes, checksum \(checksum)"
    }
}
