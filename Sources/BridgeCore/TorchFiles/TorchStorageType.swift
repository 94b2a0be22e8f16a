package import TensorRuntime

/// The names of element types in torch's files.
package enum TorchStorageType {
    /// The typed storages of `torch`, by the name of the class.
    private static let storages: [String: ElementType] = [
        "FloatStorage": .float32, "DoubleStorage": .float64, "HalfStorage": .float16, "BFloat16Storage": .bfloat16,
        "LongStorage": .int64, "IntStorage": .int32, "ShortStorage": .int16, "CharStorage": .int8,
        "ByteStorage": .uint8, "BoolStorage": .bool,
    ]
    /// Other names of `torch.dtype` than those of ``ElementType``, which torch's own pickler does not write.
    private static let otherNames: [String: ElementType] = [
        "float": .float32, "double": .float64, "half": .float16, "long": .int64, "int": .int32, "short": .int16,
    ]

    /// The names of the typed storages.
    package static var names: [String] { storages.keys.sorted() }

    /// The names of `torch.dtype`.
    package static var elementNames: [String] { ElementType.allCases.map(\.rawValue) + otherNames.keys.sorted() }

    /// The type of a storage's class; nil for an unknown one.
    package static func elementType(ofStorage global: PickleGlobal) -> ElementType? {
        global.module == "torch" ? storages[global.name] : nil
    }

    /// The class of a storage; nil for a type that torch stores as bytes only.
    package static func storage(of type: ElementType) -> PickleGlobal? {
        storages.first { $0.value == type }.map { PickleGlobal("torch", $0.key) }
    }

    /// The type that a `torch.dtype` is.
    package static func elementType(ofDtype global: PickleGlobal) -> ElementType? {
        global.module == "torch" ? ElementType(rawValue: global.name) ?? otherNames[global.name] : nil
    }

    /// The `torch.dtype` of a type.
    package static func dtype(of type: ElementType) -> PickleGlobal { PickleGlobal("torch", type.rawValue) }
}
