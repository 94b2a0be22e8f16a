/// Values that go from the host to a tensor's memory and back.
extension Tensor {
    /// A tensor with the given values, rounded to `elementType`.
    public init(_ values: [Float], shape: [Int], _ elementType: ElementType = .float32, on engine: any TensorEngine) {
        let exact = Tensor(host: values, shape: shape, .float32, on: engine)
        self = elementType == .float32 ? exact : exact.cast(to: elementType)
    }

    /// A vector of indices, int32: rows of a table, classes, positions.
    public init(indices: [Int32], on engine: any TensorEngine) {
        self.init(host: indices, shape: [indices.count], .int32, on: engine)
    }

    private init<Element: BitwiseCopyable>(
        host values: [Element],
        shape: [Int],
        _ elementType: ElementType,
        on engine: any TensorEngine
    ) {
        guard values.count == shape.reduce(1, *) else {
            Tensor.fail("Tensor", "\(values.count) values for the shape \(shape)")
        }
        self.init(uninitialized: shape, elementType, on: engine)
        values.withUnsafeBytes { bytes in engine.upload(self) { $0.copyMemory(from: bytes) } }
    }

    /// The values in row-major order, whatever the type and the strides; waits for the operations that compute them.
    public func floats() -> [Float] { detached.cast(to: .float32).hostValues() }

    /// The values of a float64 tensor; waits for the operations that compute them.
    public func doubles() -> [Double] {
        guard elementType == .float64 else { Tensor.fail("doubles", "a float64 tensor was expected", self) }
        return hostValues()
    }

    /// The values of an int32 tensor; waits for the operations that compute them.
    public func indices() -> [Int32] {
        guard elementType == .int32 else { Tensor.fail("indices", "an int32 tensor was expected", self) }
        return hostValues()
    }

    private func hostValues<Element: BitwiseCopyable>() -> [Element] {
        let dense = detached.contiguous()
        return [Element](unsafeUninitializedCapacity: count) { buffer, written in
            dense.engine.download(dense) { UnsafeMutableRawBufferPointer(buffer).copyMemory(from: $0) }
            written = count
        }
    }

    /// The only number of a tensor with one element; waits for the operations that compute it.
    public var item: Float {
        guard count == 1 else { Tensor.fail("item", "a tensor with one element was expected", self) }
        return floats()[0]
    }
}
