import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing

@testable import BridgeCore
@testable import Conversion
@testable import TensorFiles

/// Weights in 8 bits with a factor for each block of any size: the expected number is that of the byte times the factor.
@Suite struct BlockScaleTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private static let (rows, columns) = (20, 36)
    private static let bytes: [UInt8] = (0..<rows * columns).map { index -> UInt8 in
        let magnitude = (index * 37 + 11) % 0x7E
        let sign = index % 3 == 0 ? 0x80 : 0
        return UInt8(magnitude + sign)
    }
    private static func factor(_ index: Int) -> Float { Float(index % 7 + 1) / 8 }

    /// The number of a byte: a sign, four bits of an exponent with the bias 7, three bits behind the point.
    private static func number(_ byte: UInt8) -> Float {
        let (exponent, fraction) = (Int(byte >> 3 & 15), Float(byte & 7) / 8)
        let power = Float(sign: .plus, exponent: max(exponent, 1) - 7, significand: 1)
        let magnitude = (exponent == 0 ? fraction : 1 + fraction) * power
        return byte & 0x80 == 0 ? magnitude : -magnitude
    }

    /// A file with a weight and its factors.
    private func tensors(_ shape: [Int]) throws -> (weight: StoredTensor, factors: StoredTensor) {
        let count = shape.reduce(1, *)
        let size = Self.bytes.count
        let header = """
            {"w.weight":{"dtype":"F8_E4M3","shape":[\(Self.rows),\(Self.columns)],"data_offsets":[0,\(size)]},\
            "w.weight_scale_inv":{"dtype":"F32","shape":\(shape),"data_offsets":[\(size),\(size + 4 * count)]}}
            """
        var data = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        data.append(contentsOf: header.utf8)
        data.append(contentsOf: Self.bytes)
        for index in 0..<count {
            withUnsafeBytes(of: Self.factor(index).bitPattern.littleEndian) { data.append(contentsOf: $0) }
        }
        let path = directory.path("w.safetensors")
        try data.write(to: URL(filePath: path))
        let found = try SafetensorsFile(path: path).tensors
        return (
            try #require(found.first { $0.name == "w.weight" }), try #require(found.first { $0.name != "w.weight" })
        )
    }

    static let settings: [(String, [Int])] = [
        (#"{"quantization_config": {"weight_block_size": [16, 16]}}"#, [16, 16]),
        (#"{"quantization_config": {"quant_method": "fp8", "weight_block_size": [8, 24]}}"#, [8, 24]),
        (#"{"quantization_config": {"weight_block_size": [1, 16]}}"#, [1, 16]),
        (#"{"quantization_config": {"weight_block_size": [64, 8]}}"#, [64, 8]),
        (#"{"quantization_config": {"weight_block_size": [5, 1]}}"#, [5, 1]),
        (#"{"text_config": {"quantization_config": {"weight_block_size": [4, 12]}}}"#, [4, 12]),
        (
            #"{"quantization_config": {"config_groups": {"group_0": {"weights": {"block_structure": [10, 6]}}}}}"#,
            [10, 6]
        ),
    ]

    @Test(arguments: settings) func blocksOfAnySizeAreDequantised(_ configuration: String, _ block: [Int]) throws {
        let across = (Self.columns + block[1] - 1) / block[1]
        let (weight, factors) = try tensors([(Self.rows + block[0] - 1) / block[0], across])
        let size = try Quantisation.blockSize(in: JSON(parsing: Array(configuration.utf8)))
        let found = try Quantisation.block(of: weight, factors: factors, size: size)
        #expect([found.rows, found.columns] == block)
        let view = TensorView(weight).dequantised(
            by: factors,
            blockRows: found.rows,
            blockColumns: found.columns,
            to: .float32
        )
        let bytes = try TensorReader().bytes(of: view)
        let numbers = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        let expected = Self.bytes.indices.map { index -> Float in
            let (row, column) = (index / Self.columns, index % Self.columns)
            let number = Self.number(Self.bytes[index])
            return number * Self.factor(row / block[0] * across + column / block[1])
        }
        #expect(numbers == expected)
    }

    @Test func aSizeThatDoesNotFitIsNamedWithWhatIsExpected() throws {
        let (weight, factors) = try tensors([3, 4])
        for (size, words) in [
            ((16, 16), ["[3, 4]", "16 x 16", "[2, 3]", "Set weight_block_size"]),
            (nil, ["[3, 4]", "128 x 128", "no weight_block_size in the configuration"]),
        ] as [((Int, Int)?, [String])] {
            let error = #expect(throws: BridgeError.self) {
                try Quantisation.block(of: weight, factors: factors, size: size.map { (rows: $0.0, columns: $0.1) })
            }
            for word in words { #expect(error?.message.contains(word) ?? false, "\(error?.message ?? "")") }
        }
        for value in ["[16]", "[0, 16]", "128", "[16, 16, 16]"] {
            let json = try JSON(parsing: Array(#"{"quantization_config": {"weight_block_size": \#(value)}}"#.utf8))
            let error = #expect(throws: BridgeError.self) { try Quantisation.blockSize(in: json) }
            #expect(error?.message.contains("two positive numbers") ?? false, "\(error?.message ?? "")")
        }
        #expect(try Quantisation.blockSize(in: ["quantization_config": ["weight_block_size": nil]]) == nil)
    }
}
