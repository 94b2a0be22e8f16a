import Foundation

/// A tensor as an array of rows of bytes: slow, and too simple to be wrong.
///
/// The reference for everything that moves rows
/// and columns.
public struct SlowTensor: Equatable {
    /// The dtype as safetensors names it.
    public var dtype: String
    /// The sizes.
    public var shape: [Int]
    /// The rows, each of them the elements of all dimensions but the first.
    public var rows: [[[UInt8]]]

    /// A tensor of the given rows of elements.
    public init(dtype: String, shape: [Int], rows: [[[UInt8]]]) {
        self.dtype = dtype
        self.shape = shape
        self.rows = rows
    }

    /// Some of the rows.
    public func rows(_ range: Range<Int>) -> SlowTensor {
        SlowTensor(dtype: dtype, shape: [range.count] + shape.dropFirst(), rows: Array(rows[range]))
    }

    /// Some of the columns of a matrix.
    public func columns(_ range: Range<Int>) -> SlowTensor {
        SlowTensor(dtype: dtype, shape: [shape[0], range.count], rows: rows.map { Array($0[range]) })
    }

    /// The mirror image of a matrix.
    public var transposed: SlowTensor {
        let rows = (0..<shape[1]).map { column in self.rows.map { $0[column] } }
        return SlowTensor(dtype: dtype, shape: [shape[1], shape[0]], rows: rows)
    }

    /// One below the other.
    public static func stack(_ tensors: [SlowTensor]) -> SlowTensor {
        let rows = tensors.flatMap(\.rows)
        return SlowTensor(dtype: tensors[0].dtype, shape: [rows.count] + tensors[0].shape.dropFirst(), rows: rows)
    }

    /// With rows of zeros below.
    public func padded(to height: Int) -> SlowTensor {
        let zero = rows[0].map { $0.map { _ in UInt8(0) } }
        return SlowTensor(
            dtype: dtype,
            shape: [height] + shape.dropFirst(),
            rows: rows + Array(repeating: zero, count: height - rows.count)
        )
    }

    /// The bytes.
    public var bytes: [UInt8] { rows.flatMap { $0.flatMap { $0 } } }

    /// The tensors of a safetensors file, read with Foundation's JSON.
    public static func read(_ path: String) throws -> [String: SlowTensor] {
        let data = [UInt8](try Data(contentsOf: URL(filePath: path)))
        let length = (0..<8).reduce(0) { $0 | Int(data[$1]) << (8 * $1) }
        let header = try JSONSerialization.jsonObject(with: Data(data[8..<8 + length])) as? [String: Any] ?? [:]
        var tensors: [String: SlowTensor] = [:]
        for (name, value) in header where name != "__metadata__" {
            guard let entry = value as? [String: Any], let dtype = entry["dtype"] as? String,
                let shape = entry["shape"] as? [Int],
                let offsets = entry["data_offsets"] as? [Int]
            else { continue }
            let bytes = Array(data[8 + length + offsets[0]..<8 + length + offsets[1]])
            let count = max(1, shape.reduce(1, *))
            let size = bytes.count / count
            let elements = stride(from: 0, to: bytes.count, by: max(size, 1)).map { Array(bytes[$0..<$0 + size]) }
            let width = shape.dropFirst().reduce(1, *)
            let rows = stride(from: 0, to: elements.count, by: max(width, 1)).map { Array(elements[$0..<$0 + width]) }
            tensors[name] = SlowTensor(dtype: dtype, shape: shape, rows: rows)
        }
        return tensors
    }

    /// The tensors of all safetensors files of a directory whose names start with a prefix.
    public static func readAll(_ directory: String, prefix: String) throws -> [String: SlowTensor] {
        try FileManager.default.contentsOfDirectory(atPath: directory)
            .filter { $0.hasPrefix(prefix) && $0.hasSuffix(".safetensors") }
            .reduce(into: [:]) { try $0.merge(read("\(directory)/\($1)")) { first, _ in first } }
    }
}
