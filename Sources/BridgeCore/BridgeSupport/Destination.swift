import Glibc

/// Checks that a result does not overwrite its sources, and that its destination can be written.
public enum Destination {
    /// The position of a destination relative to a source.
    public enum Relation: Sendable {
        /// It is the source.
        case same
        /// It is inside of the source.
        case inside
        /// The destination contains the source.
        case above
    }

    /// Checks that a destination is not a source, inside of one or above one; nothing is changed.
    ///
    /// Both are compared by what the paths lead to, whatever links and dots they go through. Files that a source has links
    /// to belong to it.
    ///
    /// - Parameters:
    ///   - path: The destination: a file, or a directory that is replaced or gets another iteration.
    ///   - sources: Its sources; nil and paths that do not exist, such as an id on the hub, are ignored.
    /// - Throws: `BridgeError` with code `badArgument` for a destination that would replace a source.
    public static func checkRelation(_ path: String, to sources: [String?]) throws {
        for case let source? in sources {
            guard let relation = relation(of: path, to: source) else { continue }
            throw BridgeError(.badArgument, sentence(path, relation, source))
        }
    }

    /// Checks that the directory of a file exists, before there is something to write.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - option: The option that names it, with a space behind it, for the message.
    /// - Throws: `BridgeError` with code `fileSystem`.
    public static func checkParent(of path: String, option: String = "") throws {
        let directory = Files.parent(of: path)
        guard Files.kind(of: directory) != .directory else { return }
        throw BridgeError(
            .fileSystem,
            "cannot write \(option)\(path): \(directory) is not a directory; create it, or choose another"
        )
    }

    static func sentence(_ path: String, _ relation: Relation, _ source: String) -> String {
        let what =
            switch relation {
            case .same: "is"
            case .inside: "is inside of"
            case .above: "contains"
            }
        return
            "\(path) \(what) \(source), which is read; writing there would change or remove it, so choose a destination "
            + "outside of it"
    }

    /// The position of a destination relative to a source; nil where neither contains the other, or the source does not
    /// exist.
    public static func relation(of destination: String, to source: String) -> Relation? {
        guard let kind = Files.kind(of: source) else { return nil }
        if let relation = plainRelation(of: destination, to: source) { return relation }
        guard kind == .directory else { return nil }
        // What links inside of the source lead to is read as well.
        for target in linkTargets(in: source) {
            if let relation = plainRelation(of: destination, to: target) { return relation == .above ? .above : .same }
        }
        return nil
    }

    /// The relation of the two paths themselves.
    private static func plainRelation(of destination: String, to source: String) -> Relation? {
        let (mine, other) = (resolved(destination), resolved(source))
        if mine == other || Files.areOne(mine, other) { return .same }
        // Also by identity: a mount may show one directory at two paths.
        if ancestors(of: mine).contains(where: { $0 == other || Files.areOne($0, other) }) { return .inside }
        if ancestors(of: other).contains(where: { $0 == mine || Files.areOne($0, mine) }) { return .above }
        return nil
    }

    /// The directories above an absolute path, the innermost first.
    static func ancestors(of path: String) -> [String] {
        var (found, path) = ([String](), path)
        while path != "/", found.count < 4096 {
            path = Files.parent(of: path)
            found.append(path)
        }
        return found
    }

    /// The targets of the links in a directory, to the depth of a checkpoint.
    private static func linkTargets(in directory: String) -> [String] {
        var targets: [String] = []
        try? Files.walk(directory, depth: 2, mostNames: 10_000, skipsUnreadable: true) { entry in
            if entry.isLink { targets.append(resolved(Files.join(directory, entry.path))) }
            return !entry.isLink
        }
        return targets
    }

    /// An absolute path without links, `.` and `..`; its end need not exist.
    public static func resolved(_ path: String) -> String { resolved(path, links: 0) }

    private static func resolved(_ path: String, links: Int) -> String {
        var current = path.hasPrefix("/") ? "/" : Files.real(".") ?? "/"
        for part in path.split(separator: "/") where part != "." {
            guard part != ".." else {
                current = Files.parent(of: current)
                continue
            }
            let next = Files.join(current, String(part))
            if let found = Files.real(next) {
                current = found
            } else if links < 40, let target = linkTarget(next) {
                // A link to what does not exist yet.
                current = resolved(target.hasPrefix("/") ? target : Files.join(current, target), links: links + 1)
            } else {
                current = next
            }
        }
        return current
    }

    private static func linkTarget(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.withMemoryRebound(to: CChar.self) { text in
                text.baseAddress.map { readlink(path, $0, text.count) } ?? 0
            }
        }
        return count > 0 ? String(decoding: buffer[..<count], as: UTF8.self) : nil
    }
}
