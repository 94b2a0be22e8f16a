import BridgeSupport
import JSONTree
package import TensorFiles
import TensorRuntime
package import TorchFiles

/// A file of items that is planned.
package struct ItemFile {
    private let name: String
    private var parts: [PlannedFile.Part] = []
    private var byteCount = 0

    /// The first file of a rank, or one of several.
    package init(rank: Int, index: Int = 0) { name = "__\(rank)_\(index).distcp" }

    /// Whether nothing was added.
    package var isEmpty: Bool { parts.isEmpty }

    /// The file.
    package var planned: PlannedFile { PlannedFile(name: name, parts: parts) }

    /// The directory in the archive of an item.
    private static let prefix = "archive"
    /// The elements of larger tensors are on a page of the file, so that they can be written past the page cache and
    /// mapped; those of smaller ones where torch would align them.
    private static let (smallestOnPage, alignment) = (64 << 10, 64)

    private static let mostWriters = 1024

    /// Checks a number of files of a rank.
    ///
    /// - Throws: `BridgeError` for one that no checkpoint has.
    package static func check(writers: Int) throws {
        guard (1...mostWriters).contains(writers) else {
            throw BridgeError(.badArgument, "--writers is \(writers), expected 1 to \(mostWriters)")
        }
    }

    /// Tensors as neighbours in files, about as many bytes in each.
    ///
    /// - Parameters:
    ///   - pieces: The tensors.
    ///   - writers: The number of files.
    ///   - byteCount: The size of a tensor.
    /// - Returns: The tensors of each file, at most as many as there are files.
    package static func groups<Piece>(of pieces: [Piece], writers: Int, byteCount: (Piece) -> Int) -> [[Piece]] {
        let total = pieces.reduce(0) { $0 + byteCount($1) }
        var groups: [[Piece]] = [[]]
        var done = 0
        for piece in pieces {
            // A piece is where its middle is, so that one large piece does not shift all others.
            let size = byteCount(piece)
            let middle = Double(done) + Double(size) / 2
            let file = total == 0 ? 0 : min(writers - 1, Int(saturating: middle / Double(total) * Double(writers)))
            if file >= groups.count, !(groups.last?.isEmpty ?? true) { groups.append([]) }
            groups[groups.count - 1].append(piece)
            done += size
        }
        return groups
    }

    /// Adds a tensor.
    ///
    /// - Parameters:
    ///   - view: Its elements.
    ///   - shape: Its sizes.
    /// - Returns: Where it is.
    /// - Throws: `BridgeError` for a name that cannot be pickled.
    package mutating func add(_ view: TensorView, shape: [Int]) throws -> DistributedMetadata.Item {
        var graph = PickleGraph()
        graph.finish(graph.tensor(view.elementType, shape: shape, key: "0"))
        let size = view.byteCount
        let layout = ZipLayout(
            [
                ("\(Self.prefix)/data.pkl", .bytes(try PickleWriter.pickle(graph))),
                ("\(Self.prefix)/byteorder", .bytes(Array("little".utf8))),
                ("\(Self.prefix)/data/0", .elsewhere(byteCount: size)),
                ("\(Self.prefix)/version", .bytes(Array("3\n".utf8))),
            ],
            at: byteCount,
            alignment: size >= Self.smallestOnPage ? AlignedBuffer.alignment : Self.alignment
        )
        for part in layout.parts {
            switch part {
            case .bytes(let bytes): parts.append(.bytes(bytes))
            case .member: parts.append(.tensor(view))
            }
        }
        return item(layout.byteCount)
    }

    /// Adds a value without tensors.
    ///
    /// - Returns: Where it is.
    /// - Throws: `BridgeError` for content that cannot be pickled.
    package mutating func add(_ content: PickleGraph) throws -> DistributedMetadata.Item {
        let bytes = try TorchArchive.bytes(of: content, prefix: Self.prefix)
        parts.append(.bytes(bytes))
        return item(bytes.count)
    }

    private mutating func item(_ count: Int) -> DistributedMetadata.Item {
        defer { byteCount += count }
        return .init(file: name, range: byteCount..<byteCount + count)
    }
}
