import BridgeSupport
import TensorRuntime

extension DistributedMetadata {
    /// Adds chunks of a tensor.
    ///
    /// - Parameters:
    ///   - entry: The tensor with the chunks.
    ///   - positions: The tensors that there are, by their keys; kept up to date.
    /// - Throws: `BridgeError` for a tensor that is there with another type or size.
    package mutating func add(_ entry: Entry, positions: inout [String: Int]) throws {
        guard let position = positions[entry.key] else {
            positions[entry.key] = entries.count
            entries.append(entry)
            return
        }
        let own = entries[position]
        guard own.elementType == entry.elementType, own.shape == entry.shape else {
            throw BridgeError(
                .badArgument,
                "\(entry.key) is \(entry.shape) of \(entry.elementType.rawValue) on one rank or layer and \(own.shape) of "
                    + "\(own.elementType.rawValue) on another, expected one size and type for all"
            )
        }
        entries[position].chunks += entry.chunks
    }

    /// Adds what another rank has written.
    ///
    /// - Parameter other: Tensors, of which some may be there already, and objects.
    /// - Throws: `BridgeError` for a tensor of another type or size.
    package mutating func merge(_ other: DistributedMetadata) throws {
        var positions = Dictionary(entries.enumerated().map { ($0.element.key, $0.offset) }) { first, _ in first }
        for entry in other.entries { try add(entry, positions: &positions) }
        objects += other.objects
    }

    /// Gives an optimizer's state the float32 parameters that it asks for and that are those of the model.
    ///
    /// An optimizer of Megatron-Core stores its own float32 copy of every parameter. A parameter that is float32 itself
    /// has no copy here; the name leads to the same bytes.
    package mutating func addMainParameters() {
        let entries = Dictionary(entries.map { ($0.key, $0) }) { first, _ in first }
        for entry in self.entries {
            guard let parameter = MegatronKey.mainParameter(ofMoment: entry.key), entries[parameter.main] == nil,
                var copy = entries[parameter.key], copy.elementType == .float32
            else { continue }
            copy.key = parameter.main
            self.entries.append(copy)
        }
    }

    /// The keys of an optimizer's float32 parameters that lead to the bytes of the model's.
    var sharedMainParameters: Set<String> {
        let items = Dictionary(entries.map { ($0.key, $0.chunks.map(\.item)) }) { first, _ in first }
        return Set(
            entries.lazy.filter { entry in
                guard let parameter = MegatronKey.parameter(ofMain: entry.key) else { return false }
                return items[parameter] == entry.chunks.map(\.item)
            }.map(\.key)
        )
    }

    /// Whether there are adapters without the parameters that they are for.
    var holdsAdapter: Bool {
        let others: [MegatronKey.Kind] = [.optimizer, .extraState, .run]
        let keys = Set(entries.map(\.key).filter { !others.contains(MegatronKey.kind(of: $0)) })
        let modules = Set(keys.compactMap(MegatronKey.adaptedModule))
        return !modules.isEmpty
            && !modules.contains { module in ["weight", "weight_w"].contains { keys.contains("\(module).\($0)") } }
    }

    /// Checks that every tensor has all of its elements: a stack without one of its layers cannot be loaded.
    ///
    /// - Parameter layerCount: The number of layers of the model, for the message.
    /// - Throws: `BridgeError` with the names of those that do not.
    package func checkComplete(layerCount: Int) throws {
        let wrong = entries.filter { entry in
            entry.chunks.reduce(0) { $0 + $1.sizes.reduce(1, *) } != entry.shape.reduce(1, *)
        }
        guard wrong.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                "\(ByteFormat.counted(wrong.count, "tensor")) would lack some of the \(layerCount) layers, which torch_dist "
                    + "stores together; write all layers, or use the native container",
                names: wrong.map(\.key)
            )
        }
    }
}
