/// A column of an Arrow file, or a part of one.
struct ArrowField: Sendable {
    /// The layout of the values.
    enum Layout: Sendable, Equatable {
        case null
        case bool
        case int(bytes: Int, isSigned: Bool)
        case float(bytes: Int)
        /// Bytes with 32-bit or 64-bit offsets before them.
        case bytes(isText: Bool, isLarge: Bool)
        case fixedBytes(width: Int)
        /// Lists with 32-bit or 64-bit offsets.
        case list(isLarge: Bool)
        case fixedList(count: Int)
        case structure
        /// Values of a type that is not supported, of this many bytes; reading one is an error with the type's name.
        case unsupported(String, width: Int)
    }

    let name: String
    let layout: Layout
    let children: [ArrowField]
    /// The dictionary that the values are in, and how its indices are laid out.
    let dictionary: (id: Int64, bytes: Int, isSigned: Bool)?

    private static let deepest = 64

    init(_ table: FlatTable, depth: Int = 0) throws(ParquetError) {
        guard depth < Self.deepest else { throw ParquetError("its schema nests deeper than \(Self.deepest) levels") }
        name = try table.text(0) ?? ""
        var children: [ArrowField] = []
        for child in try table.tables(5) { children.append(try ArrowField(child, depth: depth + 1)) }
        self.children = children
        layout = try Self.layout(try table.number(2, default: UInt8(0)), try table.table(3), name)
        switch layout {
        case .list, .fixedList:
            guard children.count == 1 else {
                throw ParquetError("the list \(name) has \(children.count) kinds of elements")
            }
        default: break
        }
        if let encoding = try table.table(4) {
            let index = try encoding.table(1)
            let bits = try index?.number(0, default: Int32(0)) ?? 32
            guard [8, 16, 32, 64].contains(bits) else { throw ParquetError("the indices of \(name) have \(bits) bits") }
            let isSigned = try index.map { table throws(ParquetError) in try table.number(1, default: UInt8(0)) != 0 }
            dictionary = (try encoding.number(0, default: Int64(0)), Int(bits) / 8, isSigned ?? true)
        } else {
            dictionary = nil
        }
    }

    /// The layout of a number of the union `Type`.
    ///
    /// Source: https://github.com/apache/arrow/blob/main/format/Schema.fbs
    private static func layout(_ type: UInt8, _ table: FlatTable?, _ name: String) throws(ParquetError) -> Layout {
        guard let table else { throw ParquetError("the column \(name) has no type") }
        switch type {
        case 1: return .null
        case 2:
            let bits = try table.number(0, default: Int32(0))
            guard [8, 16, 32, 64].contains(bits) else {
                throw ParquetError("the column \(name) has \(bits)-bit integers")
            }
            return .int(bytes: Int(bits) / 8, isSigned: try table.number(1, default: UInt8(0)) != 0)
        case 3: return .float(bytes: [2, 4, 8][min(2, max(0, Int(try table.number(0, default: Int16(0)))))])
        case 4, 5: return .bytes(isText: type == 5, isLarge: false)
        case 19, 20: return .bytes(isText: type == 20, isLarge: true)
        case 6: return .bool
        case 7:
            let bits = try table.number(2, default: Int32(128))
            guard [32, 64, 128, 256].contains(bits) else {
                throw ParquetError("the column \(name) has \(bits)-bit decimals")
            }
            return .unsupported("a decimal", width: Int(bits) / 8)
        case 8: return .int(bytes: try table.number(0, default: Int16(1)) == 0 ? 4 : 8, isSigned: true)
        case 9: return .int(bytes: try table.number(1, default: Int32(32)) == 64 ? 8 : 4, isSigned: true)
        case 10, 18: return .int(bytes: 8, isSigned: true)
        case 11:
            return .unsupported(
                "an interval",
                width: [4, 8, 16][min(2, max(0, Int(try table.number(0, default: Int16(0)))))]
            )
        case 12, 17: return .list(isLarge: false)
        case 21: return .list(isLarge: true)
        case 13: return .structure
        case 15:
            let width = Int(try table.number(0, default: Int32(0)))
            guard width >= 0 else { throw ParquetError("the column \(name) has values of \(width) bytes") }
            return .fixedBytes(width: width)
        case 16:
            let count = Int(try table.number(0, default: Int32(0)))
            guard count >= 0 else { throw ParquetError("the column \(name) has lists of \(count) elements") }
            return .fixedList(count: count)
        default:
            let names: [UInt8: String] = [
                14: "unions", 22: "runs", 23: "views of bytes", 24: "views of texts", 25: "views of lists",
                26: "views of lists",
            ]
            throw ParquetError(
                "the column \(name) has \(names[type] ?? "type \(type)"), which is not supported; write the data with to_parquet"
            )
        }
    }
}
