import BridgeCore
import TensorRuntime

/// What transformers computed for a fixture, see `Tests/Fixtures/README.md`.
public struct Reference {
    /// Its name.
    public let name: String
    /// The file.
    public let path: String
    private let tensors: [String: StoredTensor]

    /// Opens the file of a name in a directory of the fixtures.
    public init(_ name: String, in directory: String = "reference") throws {
        try self.init(name: name, file: "\(Fixtures.root)/\(directory)/\(name).safetensors")
    }

    /// Opens any file.
    public init(file: String) throws { try self.init(name: file, file: file) }

    private init(name: String, file: String) throws {
        self.name = name
        path = file
        tensors = Dictionary(try SafetensorsFile(path: path).tensors.map { ($0.name, $0) }) { first, _ in first }
    }

    /// The names of all tensors.
    public var keys: [String] { tensors.keys.sorted() }

    /// The prefixes under which there are inputs with logits.
    public var cases: [String] {
        tensors.keys.filter { $0.hasSuffix("input_ids") }.map { String($0.dropLast("input_ids".count)) }
            .filter { holds("\($0)logits") }.sorted()
    }

    /// Whether there is a tensor of this name.
    public func holds(_ key: String) -> Bool { tensors[key] != nil }

    /// The shape of a tensor.
    public func shape(_ key: String) throws -> [Int] { try tensor(key).shape }

    /// The numbers of a tensor.
    public func floats(_ key: String) throws -> [Float] {
        let view = TensorView(try tensor(key)).cast(to: .float32)
        return try read(view, as: Float.self)
    }

    /// The whole numbers of a tensor.
    public func integers(_ key: String) throws -> [Int] {
        let stored = try tensor(key)
        let view = TensorView(stored)
        return stored.elementType == .int64
            ? try read(view, as: Int64.self).map(Int.init) : try read(view, as: Int32.self).map(Int.init)
    }

    private func tensor(_ key: String) throws -> StoredTensor {
        guard let found = tensors[key] else { throw BridgeError(.badArgument, "\(path) has no \(key)") }
        return found
    }

    private func read<Number>(_ view: TensorView, as type: Number.Type) throws -> [Number] {
        let bytes = try TensorReader().bytes(of: view)
        return bytes.withUnsafeBytes { Array($0.bindMemory(to: Number.self)) }
    }
}

/// The largest difference, and the largest number of the reference.
public func gap(_ values: [Float], _ expected: [Float]) -> (difference: Float, scale: Float) {
    guard values.count == expected.count else { return (.infinity, 1) }
    return (
        zip(values, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }, expected.reduce(0) { max($0, abs($1)) }
    )
}
