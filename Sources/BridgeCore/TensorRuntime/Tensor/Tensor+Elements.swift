extension Tensor {
    /// A tensor with the given values, rounded to `elementType`.
    public init(_ values: [Float], shape: [Int], _ elementType: ElementType = .float32, on engine: any TensorEngine) {
        guard values.count == shape.reduce(1, *) else {
            Tensor.fail("Tensor", "\(values.count) values for the shape \(shape)")
        }
        let exact = Tensor(uninitialized: shape, .float32, on: engine)
        values.withUnsafeBytes { bytes in
            if let base = bytes.baseAddress { exact.pointer.copyMemory(from: base, byteCount: bytes.count) }
        }
        self = elementType == .float32 ? exact : exact.cast(to: elementType)
    }

    /// The values in row-major order, whatever the type and the strides.
    public func floats() -> [Float] {
        let exact = detached.cast(to: .float32).contiguous()
        return [Float](unsafeUninitializedCapacity: count) { buffer, written in
            written = count
            guard let base = buffer.baseAddress, count > 0 else { return }
            UnsafeMutableRawPointer(base).copyMemory(from: exact.pointer, byteCount: count * 4)
        }
    }

    /// The only number of a tensor with one element.
    public var item: Float {
        guard count == 1 else { Tensor.fail("item", "a tensor with one element was expected", self) }
        return floats()[0]
    }
}
