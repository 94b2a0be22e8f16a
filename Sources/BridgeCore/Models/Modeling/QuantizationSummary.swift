import BridgeSupport
public import ModelSchema
public import TensorRuntime

/// What the quantized weights of a loaded model take.
public struct QuantizationSummary: Sendable {
    /// How many matrices have each number of bits.
    public private(set) var matrices: [Int: Int] = [:]
    /// The bytes of their numbers and factors, and those of the same matrices as the model's type.
    public private(set) var byteCount = 0, denseByteCount = 0

    /// The matrices that keep their type because their rows have no whole number of groups.
    public private(set) var unfitting: [String] = []

    /// The counts as sentences: what was quantized, and what was not.
    public var sentences: [String] {
        let counts = matrices.sorted { $0.key < $1.key }.map { "\($0.value) of \($0.key) bits" }
        let whole = "\(ByteFormat.text(byteCount)) instead of \(ByteFormat.text(denseByteCount))"
        let quantized = "quantized weights: \(counts.joined(separator: ", ")); \(whole)"
        guard let first = unfitting.first else { return [quantized] }
        return [
            quantized,
            "\(unfitting.count) matrices keep their type, because their rows have no multiple of the group size, such as \(first)",
        ]
    }

    /// Counts the quantized ones of some parameters, which were chosen so.
    public init(_ parameters: [Parameter], _ choice: WeightQuantization) {
        for parameter in parameters {
            let tensor = parameter.tensor
            guard let matrix = tensor.quantized else {
                if choice.chosenFormat(of: parameter.name) != nil { unfitting.append(parameter.name) }
                continue
            }
            matrices[matrix.format.bits, default: 0] += 1
            byteCount += matrix.format.byteCount(rows: matrix.rows, columns: matrix.columns)
            denseByteCount += tensor.byteCount
        }
    }
}
