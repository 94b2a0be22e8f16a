import TorchFiles

extension DistributedMetadata {
    /// The content of the file.
    ///
    /// Without the plans of the ranks, which megatron-core adds and nobody reads.
    ///
    /// - Throws: `BridgeError` for a name that cannot be pickled.
    package func pickled() throws -> [UInt8] {
        var graph = PickleGraph()
        var (lines, locations) = ([PicklePair](), [PicklePair]())
        for entry in entries {
            lines.append(PicklePair(.text(entry.key), graph.entry(entry)))
            for chunk in entry.chunks {
                locations.append(
                    PicklePair(graph.index(entry.key, chunk.offsets), graph.location(chunk.item))
                )
            }
        }
        for object in objects {
            lines.append(PicklePair(.text(object.key), graph.instance(of: DistributedGlobals.bytes, state: nil)))
            locations.append(PicklePair(graph.index(object.key, nil), graph.location(object.item)))
        }
        // torch's own planner joins the keys of nested dictionaries, and keeps the path of each.
        var planned = PickleValue.none
        if hasPlannerData {
            let paths = entries.map { entry in
                PicklePair(.text(entry.key), graph.tuple([.text(entry.key)]))
            }
            planned = graph.add(.dictionary(paths))
        }
        let (tensors, stored) = (graph.add(.dictionary(lines)), graph.add(.dictionary(locations)))
        let state = graph.dictionary([
            ("state_dict_metadata", tensors),
            ("planner_data", planned),
            ("storage_data", stored),
            ("storage_meta", .none),
            ("version", .text("1.0.0")),
        ])
        graph.finish(graph.instance(of: DistributedGlobals.metadata, state: state))
        return try PickleWriter.pickle(graph)
    }
}

extension PickleGraph {
    fileprivate mutating func entry(_ entry: DistributedMetadata.Entry) -> PickleValue {
        let layout = call(DistributedGlobals.layout, [.text("torch.strided")])
        let format = call(DistributedGlobals.memoryFormat, [.integer(0)])
        let dtype = add(.global(TorchStorageType.dtype(of: entry.elementType)))
        // The type, the layout, whether it needs a gradient, the memory format, whether its memory is pinned.
        let described = tuple([dtype, layout, .bool(false), format, .bool(false)])
        let properties = instance(of: DistributedGlobals.properties, state: described)
        let shape = size(entry.shape)
        let chunks = entry.chunks.map { chunk in
            let (offsets, sizes) = (size(chunk.offsets), size(chunk.sizes))
            let state = dictionary([("offsets", offsets), ("sizes", sizes)])
            return instance(of: DistributedGlobals.chunk, state: state)
        }
        let list = add(.list(chunks))
        let state = dictionary([("properties", properties), ("size", shape), ("chunks", list)])
        return instance(of: DistributedGlobals.tensor, state: state)
    }

    fileprivate mutating func index(_ key: String, _ offsets: [Int]?) -> PickleValue {
        var state: [(String, PickleValue)] = [("fqn", .text(key))]
        if let offsets { state.append(("offset", size(offsets))) }
        state.append(("index", .none))
        let attributes = dictionary(state)
        return instance(of: DistributedGlobals.index, state: attributes)
    }

    fileprivate mutating func location(_ item: DistributedMetadata.Item) -> PickleValue {
        let state = dictionary([
            ("relative_path", .text(item.file)), ("offset", .integer(item.range.lowerBound)),
            ("length", .integer(item.range.count)),
        ])
        return instance(of: DistributedGlobals.storage, state: state)
    }
}
