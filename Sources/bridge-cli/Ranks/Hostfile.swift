import BridgeCore

/// A file with the names of hosts, one per line, as `mpirun` reads it.
enum Hostfile {
    /// Checks it before `mpirun` does, which tells less.
    ///
    /// - Throws: `BridgeError` when it cannot be read or names no host.
    static func check(_ path: String) throws {
        func refusal(_ problem: String) -> BridgeError {
            BridgeError(
                .badArgument,
                "--hostfile is \(path), which \(problem); expected a file with the name of a host on each line"
            )
        }
        let text: String
        switch Files.kind(of: path) {
        case nil: throw refusal("does not exist")
        case .directory: throw refusal("is a directory")
        // mpirun could not read a pipe again.
        case .other: return
        case .file:
            guard let bytes = try? Files.contents(of: path, limit: 16 << 20) else { throw refusal("cannot be read") }
            text = String(decoding: bytes, as: UTF8.self)
        }
        let lines = text.split(whereSeparator: \.isNewline).map { $0.prefix { $0 != "#" } }
        guard lines.contains(where: { !$0.allSatisfy(\.isWhitespace) }) else { throw refusal("names no host") }
    }
}
