import BridgeSupport
package import CheckpointFormats
package import ModelSchema
package import TensorFiles
package import TensorRuntime

/// The locations of parameters and adapters in a Megatron checkpoint.
package struct TrainedNames {
    private let entries: [String: ParameterTable.Entry]

    package init(_ table: ParameterTable) {
        entries = Dictionary(table.entries.map { ($0.megatron, $0) }) { first, _ in first }
    }

    /// A parameter's name without the number of its piece: `a.weight[1]` is part of `a.weight`.
    package static func whole(_ name: String) -> String { String(name.prefix { $0 != "[" }) }

    /// The pieces of each parameter, in order.
    package static func grouped<Item>(_ pieces: [Item], name: (Item) -> String) -> [(whole: String, items: [Item])] {
        var positions: [String: Int] = [:]
        var groups: [(whole: String, items: [Item])] = []
        for piece in pieces {
            let whole = whole(name(piece))
            if let position = positions[whole] {
                groups[position].items.append(piece)
            } else {
                positions[whole] = groups.count
                groups.append((whole, [piece]))
            }
        }
        return groups
    }

    /// The names of an adapter's parameters, after the module's.
    private static let adapterMark = ".adapter."

    /// Whether a parameter is an adapter's.
    package static func isAdapter(_ name: String) -> Bool { name.contains(adapterMark) }

    /// Whether a parameter is what the matrices of an adapter were before training.
    package static func isStart(_ name: String) -> Bool { isAdapter(name) && name.contains(".start.linear_") }

    /// How the matrices of a parameter make Megatron's, and the position.
    package struct Place {
        package var transform: any ParameterTransform
        package var split: SplitRule
        package var stage: ParameterMapping.Stage
        package var layer: Int?
        package var parts: Int?

        init(_ entry: ParameterTable.Entry) {
            transform = entry.mapping.transform
            split = entry.mapping.split
            stage = entry.mapping.stage
            layer = entry.layer
            parts = entry.mapping.parts
        }
    }

    /// The location of a parameter of the model or of an adapter; nil for one that the model does not have.
    package func location(of whole: String) -> Place? {
        guard let mark = whole.firstRange(of: Self.adapterMark) else { return entries[whole].map(Place.init) }
        guard var position = entries["\(whole[..<mark.lowerBound]).weight"].map(Place.init) else { return nil }
        let own = whole[mark.upperBound...]
        let isWholeModule = !own.hasPrefix("adapter_")
        let followsRows = own.hasSuffix("linear_out.weight") || own.hasSuffix("weight_magnitude")
        if !isWholeModule || !followsRows { position.transform = Identity() }
        if !isWholeModule { (position.split, position.parts) = (.replicated, nil) }
        switch position.split {
        case .row where followsRows: (position.split, position.parts) = (.replicated, nil)
        case .column where !followsRows, .gatedColumn where !followsRows, .vocabulary where !followsRows:
            (position.split, position.parts) = (.replicated, nil)
        default: break
        }
        return position
    }

    /// Parameters in Megatron's form, assembled from the tensors of their pieces.
    ///
    /// - Throws: `BridgeError` for a name that the model does not have.
    package func parameters(_ pieces: [(name: String, tensor: Tensor)]) throws -> [GlobalParameter] {
        var names: [String] = []
        var views: [String: [TensorView]] = [:]
        for (name, tensor) in pieces {
            let whole = Self.whole(name)
            if views[whole] == nil { names.append(whole) }
            let stored = StoredTensor(
                name: name,
                elementType: tensor.elementType,
                shape: tensor.shape,
                storage: TensorBytes(name: name, tensor: tensor),
                offset: 0
            )
            views[whole, default: []].append(TensorView(stored))
        }
        return try names.map { name in
            guard let position = location(of: name), let views = views[name] else {
                throw BridgeError(
                    .badPlugin,
                    "the model has a parameter \(name) that is missing from its parameter table"
                )
            }
            return GlobalParameter(
                name: name,
                view: position.transform.fromLayers(views),
                split: position.split,
                stage: position.stage,
                layer: position.layer,
                parts: position.parts
            )
        }
    }
}

/// The memory of a tensor, for a plan to read.
final class TensorBytes: ByteStorage {
    let name: String
    /// The elements as bytes, of which a part can be read.
    private let bytes: Tensor

    init(name: String, tensor: Tensor) {
        self.name = name
        bytes = tensor.detached.contiguous().bytes
    }

    var byteCount: Int { bytes.count }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) {
        guard offset >= 0, offset + buffer.count <= byteCount, !buffer.isEmpty else { return }
        let part = bytes.narrowed(0, to: offset..<offset + buffer.count)
        part.engine.download(part) { buffer.copyMemory(from: $0) }
    }
}
