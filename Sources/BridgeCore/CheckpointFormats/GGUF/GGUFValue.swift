import BridgeSupport

/// A value of the metadata of a GGUF file.
///
/// Source: docs/gguf.md of ggml, version 3.
public enum GGUFValue: Sendable, Equatable {
    /// A number that is not negative, 32 bits.
    case count(Int)
    /// A float32.
    case number(Double)
    /// True or false.
    case flag(Bool)
    /// A text.
    case text(String)
    /// Several of them.
    case flags([Bool])
    /// Several float32.
    case numbers([Float])
    /// Several integers, 32 bits.
    case integers([Int32])
    /// Several texts, as their bytes.
    case texts([[UInt8]])

    /// The number of the type in a file.
    private var code: UInt32 {
        switch self {
        case .count: 4
        case .integers: 5
        case .number, .numbers: 6
        case .flag, .flags: 7
        case .text, .texts: 8
        }
    }

    private static let arrayCode: UInt32 = 9

    /// The type and the value, as a file has them.
    ///
    /// - Throws: `BridgeError` for a number that does not fit.
    func encode(into bytes: inout [UInt8]) throws {
        func array(_ count: Int) {
            bytes.append(littleEndian: Self.arrayCode)
            bytes.append(littleEndian: code)
            bytes.append(littleEndian: UInt64(count))
        }
        switch self {
        case .count(let number):
            guard let number = UInt32(exactly: number) else {
                throw BridgeError(
                    .badConfiguration,
                    "\(number) does not fit into a GGUF file, expected 0 to \(UInt32.max)"
                )
            }
            bytes.append(littleEndian: code)
            bytes.append(littleEndian: number)
        case .number(let number):
            bytes.append(littleEndian: code)
            bytes.append(littleEndian: Float(number).bitPattern)
        case .flag(let flag):
            bytes.append(littleEndian: code)
            bytes.append(flag ? 1 : 0)
        case .text(let text):
            bytes.append(littleEndian: code)
            bytes.append(counted: text.utf8)
        case .flags(let flags):
            array(flags.count)
            bytes += flags.map { $0 ? 1 : 0 }
        case .numbers(let numbers):
            array(numbers.count)
            for number in numbers { bytes.append(littleEndian: number.bitPattern) }
        case .integers(let numbers):
            array(numbers.count)
            for number in numbers { bytes.append(littleEndian: number) }
        case .texts(let texts):
            array(texts.count)
            for text in texts { bytes.append(counted: text) }
        }
    }
}

extension [UInt8] {
    mutating func append(littleEndian number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
    }

    /// A text with its length before it.
    mutating func append(counted text: some Collection<UInt8>) {
        append(littleEndian: UInt64(text.count))
        append(contentsOf: text)
    }
}

/// The type of a tensor in a GGUF file.
public enum GGUFType: String, Sendable, CaseIterable {
    /// float32.
    case f32
    /// float16.
    case f16
    /// bfloat16.
    case bf16
    /// Blocks of 32 integers of 8 bits with a factor.
    case q8 = "q8_0"
    /// Blocks of 32 integers of 4 bits with a factor.
    case q4 = "q4_0"

    /// Its number in a file.
    ///
    /// Source: `ggml_type` in ggml.h.
    var code: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4: 2
        case .q8: 8
        case .bf16: 30
        }
    }

    /// The number of a file whose matrices have it.
    ///
    /// Source: `llama_ftype` in llama.h.
    package var fileCode: Int {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q4: 2
        case .q8: 7
        case .bf16: 32
        }
    }

    /// The name in messages and names of files.
    public var title: String { rawValue.uppercased() }

    /// Whether elements are rounded to few bits, in blocks.
    package var isQuantised: Bool { self == .q8 || self == .q4 }
}
