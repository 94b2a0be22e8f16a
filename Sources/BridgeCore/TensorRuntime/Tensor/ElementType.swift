package import CTensorKernels

/// The type of a tensor's elements.
///
/// The names are those of PyTorch; arithmetic is done on the first three and on the two wide integers, the rest can be
/// stored, moved and converted.
public enum ElementType: String, Sendable, Codable, CaseIterable, Hashable {
    /// IEEE 754 binary32.
    case float32
    /// The upper half of a binary32.
    case bfloat16
    /// IEEE 754 binary16.
    case float16
    /// IEEE 754 binary64.
    case float64
    /// Eight bits: four of exponent, three of mantissa, no infinity (OCP FP8, E4M3FN).
    case float8E4M3 = "float8_e4m3fn"
    /// Eight bits: five of exponent, two of mantissa (OCP FP8, E5M2).
    case float8E5M2 = "float8_e5m2"
    /// Signed, 64 bits.
    case int64
    /// Signed, 32 bits.
    case int32
    /// Signed, 16 bits.
    case int16
    /// Signed, 8 bits.
    case int8
    /// Unsigned, 64 bits.
    case uint64
    /// Unsigned, 32 bits.
    case uint32
    /// Unsigned, 16 bits.
    case uint16
    /// Unsigned, 8 bits.
    case uint8
    /// One byte, 0 or 1.
    case bool

    /// The size of one element in bytes.
    public var byteCount: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .bfloat16, .float16, .int16, .uint16: 2
        case .float8E4M3, .float8E5M2, .int8, .uint8, .bool: 1
        }
    }

    /// Whether the type is a floating-point type of any width.
    public var isFloatingPoint: Bool { kernelType != nil }

    /// The type's number in the C kernels; nil for a type that is only moved, never converted.
    package var kernelType: ctk_type? {
        switch self {
        case .float32: CTK_FLOAT32
        case .bfloat16: CTK_BFLOAT16
        case .float16: CTK_FLOAT16
        case .float64: CTK_FLOAT64
        case .float8E4M3: CTK_FLOAT8_E4M3
        case .float8E5M2: CTK_FLOAT8_E5M2
        default: nil
        }
    }
}

extension ElementType {
    /// A number rounded to the nearest one of this type, which is a floating-point type.
    public func rounded(_ value: Float) -> Float {
        guard let kernelType else { return value }
        var (value, bits) = (value, UInt64(0))
        ctk_store_f32(&bits, &value, kernelType, 1)
        ctk_load_f32(&value, &bits, kernelType, 1)
        return value
    }
}
