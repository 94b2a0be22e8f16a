import BridgeSupport
import TensorFiles
package import TensorRuntime
import TorchFiles

/// `.metadata` of torch's distributed checkpoints: which tensors there are, and which file has which part of each.
///
/// Source: torch/distributed/checkpoint/metadata.py and filesystem.py, torch 2.13; megatron-core 0.16 to 0.19 uses them.
package struct DistributedMetadata: Sendable {
    /// Bytes in a file of the checkpoint: a complete file of `torch.save`.
    package struct Item: Sendable, Equatable {
        /// The name of the file, beside `.metadata`.
        package var file: String
        package var range: Range<Int>

        package init(file: String, range: Range<Int>) {
            self.file = file
            self.range = range
        }
    }

    /// A rectangle of a tensor.
    package struct Chunk: Sendable, Equatable {
        /// Its first index along each dimension.
        package var offsets: [Int]
        /// Its size along each dimension.
        package var sizes: [Int]
        package var item: Item

        package init(offsets: [Int], sizes: [Int], item: Item) {
            self.offsets = offsets
            self.sizes = sizes
            self.item = item
        }
    }

    /// A tensor.
    package struct Entry: Sendable, Equatable {
        package var key: String
        package var elementType: ElementType
        /// The sizes of the whole.
        package var shape: [Int]
        package var chunks: [Chunk]

        package init(key: String, elementType: ElementType, shape: [Int], chunks: [Chunk]) {
            self.key = key
            self.elementType = elementType
            self.shape = shape
            self.chunks = chunks
        }
    }

    /// Values that are pickled as they are.
    package struct Object: Sendable, Equatable {
        package var key: String
        package var item: Item

        package init(key: String, item: Item) {
            self.key = key
            self.item = item
        }
    }

    /// The tensors, in the order of the file.
    package var entries: [Entry]
    /// The other values.
    package var objects: [Object]
    /// Whether torch's own planner wrote it, for nested dictionaries whose keys it joined.
    package var hasPlannerData: Bool

    package init(entries: [Entry], objects: [Object], hasPlannerData: Bool = false) {
        self.entries = entries
        self.objects = objects
        self.hasPlannerData = hasPlannerData
    }

    /// The name of the file.
    package static let name = ".metadata"
    /// The largest file: checkpoints of the largest models have some ten megabytes.
    private static let largestFile = 256 << 20

    /// The files that hold the items, sorted.
    package var files: [String] {
        Set(entries.flatMap { $0.chunks.map(\.item.file) } + objects.map(\.item.file)).sorted()
    }
}

// MARK: - Reading

extension DistributedMetadata {
    /// Reads the file of a checkpoint.
    ///
    /// - Throws: `BridgeError` with code `corruptInput` for a file that torch has not written.
    package init(path: String) throws {
        try self.init(parsing: Files.contents(of: path, limit: Self.largestFile), name: path)
    }

    /// Reads the content of a file.
    package init(parsing bytes: [UInt8], name: String) throws {
        let graph = try PickleReader.read(bytes, name: name, globals: .listed(DistributedGlobals.all))
        try self.init(graph.reference, name: name)
    }

    private init(_ root: PickleGraph.Reference, name: String) throws {
        func corrupt(_ what: String) -> BridgeError { BridgeError(.corruptInput, "\(name) \(what)") }
        guard root.callable == DistributedGlobals.metadata, let tensors = root.attribute("state_dict_metadata")?.pairs,
            let stored = root.attribute("storage_data")?.pairs
        else { throw corrupt("is not the metadata of a distributed checkpoint of torch") }
        var items: [Location: Item] = [:]
        for (key, value) in stored {
            guard let location = Location(key) else { throw corrupt("has a storage index that is not a MetadataIndex") }
            guard items.updateValue(try Self.item(value, of: location.key, name: name), forKey: location) == nil else {
                throw corrupt("stores \(location.key) twice at \(location.offsets ?? [])")
            }
        }
        func item(_ key: String, _ offsets: [Int]?) throws -> Item {
            guard let item = items[Location(key: key, offsets: offsets)] else {
                throw corrupt("names no file for \(key)\(offsets.map { " at \($0)" } ?? "")")
            }
            return item
        }
        var (entries, objects) = ([Entry](), [Object]())
        var seen: Set<String> = []
        for (key, value) in tensors {
            guard let key = key.text, seen.insert(key).inserted else {
                throw corrupt("has a tensor without a name of its own")
            }
            switch value.callable {
            case DistributedGlobals.bytes: objects.append(Object(key: key, item: try item(key, nil)))
            case DistributedGlobals.tensor:
                entries.append(try Self.entry(key, value, name: name) { try item(key, $0) })
            default: throw corrupt("describes \(key) as neither a tensor nor bytes")
            }
        }
        self.init(
            entries: entries,
            objects: objects,
            hasPlannerData: !(root.attribute("planner_data")?.isNone ?? true)
        )
    }

    /// What `storage_data` is indexed with.
    private struct Location: Hashable {
        var key: String
        /// Nil for values that are not tensors.
        var offsets: [Int]?

        init(key: String, offsets: [Int]?) {
            self.key = key
            self.offsets = offsets
        }

        init?(_ value: PickleGraph.Reference) {
            guard value.callable == DistributedGlobals.index, let key = value.attribute("fqn")?.text else { return nil }
            self.key = key
            if let offset = value.attribute("offset"), !offset.isNone {
                guard let sizes = offset.sizes else { return nil }
                offsets = sizes
            }
        }
    }

    private static func item(_ value: PickleGraph.Reference, of key: String, name: String) throws -> Item {
        func corrupt(_ what: String) -> BridgeError { BridgeError(.corruptInput, "\(name): \(key) \(what)") }
        guard value.callable == DistributedGlobals.storage, let file = value.attribute("relative_path")?.text,
            let start = value.attribute("offset")?.integer, let count = value.attribute("length")?.integer
        else { throw corrupt("has no location") }
        guard Files.isPlainName(file) else { throw corrupt("is in \(file), which is not inside the checkpoint") }
        guard (0..<1 << 56).contains(start), (0..<1 << 56).contains(count) else {
            throw corrupt("is at byte \(start) of \(file) with \(count) bytes")
        }
        let transforms = value.attribute("transform_descriptors")
        guard transforms?.isNone ?? true else {
            throw corrupt(
                "was changed by \(transforms?.items?.first?.text ?? "a transform") as it was stored, expected plain bytes"
            )
        }
        return Item(file: file, range: start..<start + count)
    }

    private static func entry(
        _ key: String,
        _ value: PickleGraph.Reference,
        name: String,
        item: ([Int]) throws -> Item
    ) throws -> Entry {
        func corrupt(_ what: String) -> BridgeError { BridgeError(.corruptInput, "\(name): \(key) \(what)") }
        guard let shape = value.attribute("size")?.sizes, let chunks = value.attribute("chunks")?.items,
            let dtype = value.attribute("properties")?.state?.items?.first?.global
        else { throw corrupt("has no type, size or chunks") }
        guard let type = TorchStorageType.elementType(ofDtype: dtype) else {
            throw corrupt("has the type \(dtype), which is not known")
        }
        guard type.byteCount(ofShape: shape) != nil else {
            throw corrupt("has the size \(shape), which no memory can hold")
        }
        return Entry(
            key: key,
            elementType: type,
            shape: shape,
            chunks: try chunks.map { chunk in
                guard let offsets = chunk.attribute("offsets")?.sizes, let sizes = chunk.attribute("sizes")?.sizes
                else {
                    throw corrupt("has a chunk without offsets or sizes")
                }
                guard offsets.count == shape.count, sizes.count == shape.count,
                    zip(shape, zip(offsets, sizes)).allSatisfy({ $1.0 <= $0 && $1.1 <= $0 - $1.0 })
                else {
                    throw corrupt("has a chunk of \(sizes) at \(offsets), which reaches outside its size \(shape)")
                }
                return Chunk(offsets: offsets, sizes: sizes, item: try item(offsets))
            }
        )
    }
}
