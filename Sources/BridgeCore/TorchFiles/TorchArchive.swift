package import BridgeSupport

/// A file of `torch.save`: a pickle, and the bytes of the tensors in it.
package struct TorchArchive: Sendable {
    /// The file, for messages.
    package let name: String
    /// What the pickle contains.
    package let content: PickleGraph.Reference
    package let storage: any ByteStorage
    /// The bytes of the storages, by their keys.
    private let storages: [String: ZipArchive.Member]

    /// The largest pickle of a file; the bytes of tensors are beside it.
    private static let largestPickle = 256 << 20

    /// Opens a file, or an item in one.
    ///
    /// - Parameters:
    ///   - storage: The bytes.
    ///   - range: The part of them that is the file; nil for all.
    ///   - name: The file, for messages.
    ///   - globals: Which classes and functions the pickle may name.
    /// - Throws: `BridgeError` with code `corruptInput`.
    package init(_ storage: any ByteStorage, in range: Range<Int>? = nil, name: String, globals: PickleGlobals) throws {
        let archive = try ZipArchive(storage, in: range ?? 0..<storage.byteCount, name: name)
        func corrupt(_ what: String) -> BridgeError { BridgeError(.corruptInput, "\(name) \(what)") }
        guard let pickle = archive.members.first(where: { $0.name.hasSuffix("/data.pkl") }) else {
            throw corrupt("has no data.pkl, expected a file of torch.save")
        }
        let prefix = String(pickle.name.dropLast("data.pkl".count))
        if let order = archive.members.first(where: { $0.name == "\(prefix)byteorder" }) {
            guard order.range.count <= 16, try storage.bytes(order.range) == Array("little".utf8) else {
                throw corrupt("was written on a machine with another byte order, expected little")
            }
        }
        guard pickle.range.count <= Self.largestPickle else {
            throw corrupt(
                "has a pickle of \(pickle.range.count) bytes, more than the \(Self.largestPickle) of any checkpoint"
            )
        }
        let data = "\(prefix)data/"
        self.name = name
        self.storage = storage
        storages = Dictionary(
            archive.members.filter { $0.name.hasPrefix(data) }.map { (String($0.name.dropFirst(data.count)), $0) }
        ) { first, _ in first }
        content = try PickleReader.read(storage.bytes(pickle.range), name: name, globals: globals).reference
    }

    /// The bytes of a storage.
    ///
    /// - Throws: `BridgeError` where the file does not have them.
    package func bytes(of key: String) throws -> Range<Int> {
        guard let member = storages[key] else { throw BridgeError(.corruptInput, "\(name) has no storage data/\(key)") }
        return member.range
    }
}

extension TorchArchive {
    /// A small file of `torch.save`.
    ///
    /// - Parameters:
    ///   - graph: Its content.
    ///   - prefix: The directory in the archive, which torch names after the file.
    ///   - storages: The bytes of the tensors, whose keys are their numbers.
    /// - Returns: The bytes.
    /// - Throws: `BridgeError` for content that cannot be pickled.
    package static func bytes(of graph: PickleGraph, prefix: String, storages: [[UInt8]] = []) throws -> [UInt8] {
        let members: [(name: String, content: ZipLayout.Content)] =
            [
                ("\(prefix)/data.pkl", .bytes(try PickleWriter.pickle(graph))),
                ("\(prefix)/byteorder", .bytes(Array("little".utf8))),
            ]
            + storages.enumerated().map { ("\(prefix)/data/\($0.offset)", .bytes($0.element)) }
            + [("\(prefix)/version", .bytes(Array("3\n".utf8)))]
        return ZipLayout(members).parts.reduce(into: []) { bytes, part in
            if case .bytes(let content) = part { bytes += content }
        }
    }
}
