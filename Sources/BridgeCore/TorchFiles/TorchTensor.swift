import BridgeSupport
package import TensorFiles
package import TensorRuntime

extension TorchArchive {
    /// The tensor that a value of the pickle is, where it lies in the file.
    ///
    /// - Parameters:
    ///   - value: The value.
    ///   - name: The tensor, for messages.
    /// - Returns: The tensor; nil for a value that is not one.
    /// - Throws: `BridgeError` for a tensor that is not stored row by row, or whose bytes are not there.
    package func tensor(_ value: PickleGraph.Reference, named name: String) throws -> StoredTensor? {
        var value = value
        if value.callable == .rebuildParameter, let inner = value.arguments.first { value = inner }
        guard let callable = value.callable, callable == .rebuildTensor || callable == .rebuildTensorV3 else {
            return nil
        }
        func corrupt(_ what: String) -> BridgeError {
            BridgeError(.corruptInput, "\(self.name): the tensor \(name) \(what)")
        }
        let arguments = value.arguments
        guard arguments.count >= 6, let place = arguments[0].persistent?.items, place.count == 5,
            place[0].text == "storage", let storageClass = place[1].global, let key = place[2].text,
            let offset = arguments[1].integer, let shape = arguments[2].sizes, let strides = arguments[3].sizes
        else { throw corrupt("is not described as torch does it") }
        let dtype = arguments.count > 6 ? arguments[6].global : nil
        guard
            let type = dtype.map({ TorchStorageType.elementType(ofDtype: $0) })
                ?? TorchStorageType.elementType(ofStorage: storageClass)
        else { throw corrupt("has the type \(dtype ?? storageClass), which is not known") }
        guard let count = type.byteCount(ofShape: shape) else {
            throw corrupt("has the shape \(shape), which no memory can hold")
        }
        guard strides.count == shape.count, Self.isRowMajor(shape, strides) else {
            throw corrupt("has the shape \(shape) with strides \(strides), expected one row after the other")
        }
        let bytes = try self.bytes(of: key)
        let (start, overflow) = offset.multipliedReportingOverflow(by: type.byteCount)
        guard !overflow, offset >= 0, start <= bytes.count, count <= bytes.count - start else {
            throw corrupt("has \(count) bytes from element \(offset) on, but its storage has \(bytes.count)")
        }
        return StoredTensor(
            name: name,
            elementType: type,
            shape: shape,
            storage: storage,
            offset: bytes.lowerBound + start
        )
    }

    /// The number that a tensor without dimensions holds.
    ///
    /// - Parameters:
    ///   - value: The value.
    ///   - name: The tensor, for messages.
    /// - Returns: The number; nil for another value, and for a type that is neither int32, int64 nor float32.
    /// - Throws: `BridgeError` for a tensor whose bytes are not there.
    package func scalar(_ value: PickleGraph.Reference, named name: String) throws -> Double? {
        guard let tensor = try tensor(value, named: name), tensor.shape.isEmpty else { return nil }
        let bytes = try tensor.storage.bytes(tensor.offset..<tensor.offset + tensor.byteCount)
        let bits = bytes.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        switch tensor.elementType {
        case .int32: return Double(Int32(truncatingIfNeeded: bits))
        case .int64: return Double(Int64(bitPattern: bits))
        case .float32: return Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits)))
        default: return nil
        }
    }

    /// Whether the elements lie one row after the other; the stride of a dimension of size 1 has no meaning.
    private static func isRowMajor(_ shape: [Int], _ strides: [Int]) -> Bool {
        guard !shape.contains(0) else { return true }
        var expected = 1
        for (size, stride) in zip(shape, strides).reversed() where size != 1 {
            guard stride == expected else { return false }
            expected *= size
        }
        return true
    }
}

extension PickleGraph.Reference {
    /// Whole numbers that are sizes, in a tuple, a list or a `torch.Size`; nil for other values.
    package var sizes: [Int]? {
        if let callable, callable == PickleGlobal("torch", "Size") { return arguments.first?.listedSizes }
        return listedSizes
    }

    /// The same of a tuple or a list alone.
    private var listedSizes: [Int]? {
        guard let items, items.count <= Self.mostDimensions else { return nil }
        // A loop: the optimizer of Swift 6.3 fails on the same with `compactMap`.
        var sizes: [Int] = []
        for item in items {
            guard let size = item.integer, size >= 0, size < Self.largestSize else { return nil }
            sizes.append(size)
        }
        return sizes
    }

    /// More dimensions than torch allows.
    private static let mostDimensions = 64
    /// More bytes than any disk has.
    private static let largestSize = 1 << 56
}

extension PickleGraph {
    /// Adds a `torch.Size`.
    package mutating func size(_ sizes: [Int]) -> PickleValue {
        let sizes = tuple(sizes.map { .integer($0) })
        return call(PickleGlobal("torch", "Size"), [sizes])
    }

    /// Adds a tensor whose bytes are a storage of their own.
    ///
    /// - Parameters:
    ///   - type: The type of the elements, which torch has a storage for.
    ///   - shape: The sizes.
    ///   - key: The key of the storage.
    /// - Returns: The tensor.
    package mutating func tensor(_ type: ElementType, shape: [Int], key: String) -> PickleValue {
        let count = shape.reduce(1, *)
        var (strides, next) = ([Int](), 1)
        for size in shape.reversed() {
            strides.insert(next, at: 0)
            next *= max(size, 1)
        }
        let hooks = call(.orderedDictionary, [])
        let typed = TorchStorageType.storage(of: type)
        let storageClass = add(.global(typed ?? .untypedStorage))
        // An untyped storage counts bytes.
        let place = tuple([
            .text("storage"), storageClass, .text(key), .text("cpu"),
            .integer(typed == nil ? count * type.byteCount : count),
        ])
        let storage = add(.persistent(place))
        let (sizes, steps) = (tuple(shape.map { .integer($0) }), tuple(strides.map { .integer($0) }))
        let arguments = [storage, .integer(0), sizes, steps, .bool(false), hooks]
        guard typed == nil else { return call(.rebuildTensor, arguments) }
        let dtype = add(.global(TorchStorageType.dtype(of: type)))
        return call(.rebuildTensorV3, arguments + [dtype])
    }
}
