/// Decodes the values of a page without nulls.
struct ValueDecoder {
    let leaf: ParquetLeaf
    let limits: ParquetLimits

    /// Decodes `count` values; `dictionary` holds the values of indices, nil without one.
    func decode(_ content: inout ByteReader, encoding: Int, count: Int, dictionary: [ParquetValue]?)
        throws(ParquetError)
        -> PageValues.Piece
    {
        // A few bytes of differences can encode any number of values.
        if (5...7).contains(encoding), count > max(limits.values / 4, content.remaining) {
            throw ParquetError("\(count) values are announced in a page of \(content.remaining) bytes")
        }
        // What texts that begin like the ones before them may become together.
        let mostBytes = limits.bytes(ofPacked: content.remaining)
        switch (encoding, leaf.physical) {
        case (0, .boolean):
            let bytes = try content.take((count + 7) / 8)
            var numbers: [UInt32] = []
            numbers.reserveCapacity(count)
            BitUnpacker.unpack(bytes, width: 1, count: count) { numbers.append(UInt32($0)) }
            return .coded(numbers, Self.truthValues)
        case (0, _): return .plain(try plain(&content, count: count))
        case (2, _), (8, _):
            guard let dictionary else { throw ParquetError("a page has indices where there is no dictionary") }
            guard count > 0 else { return .plain([]) }
            let width = Int(try content.byte())
            let indices = try HybridDecoder.decode(try content.take(content.remaining), width: width, count: count)
            for index in indices where Int(index) >= dictionary.count {
                throw ParquetError("index \(index) points into a dictionary of \(dictionary.count) values")
            }
            return .coded(indices, dictionary)
        case (3, .boolean):
            let bytes = try content.take(Int(try content.number(UInt32.self)))
            return .coded(try HybridDecoder.decode(bytes, width: 1, count: count), Self.truthValues)
        case (5, .int32):
            return .plain(
                try DeltaDecoder.numbers(&content, count: count).map { int32(Int32(truncatingIfNeeded: $0)) }
            )
        case (5, .int64): return .plain(try DeltaDecoder.numbers(&content, count: count).map(int64))
        case (6, .byteArray):
            var values: [ParquetValue] = []
            for bytes in try DeltaDecoder.byteArrays(&content, count: count) { values.append(try text(bytes)) }
            return .plain(values)
        case (7, .byteArray), (7, .fixed):
            var values: [ParquetValue] = []
            for bytes in try DeltaDecoder.prefixed(&content, count: count, limit: mostBytes) {
                guard leaf.physical == .byteArray || bytes.count == leaf.width else {
                    throw ParquetError("a value has \(bytes.count) bytes, expected \(leaf.width)")
                }
                if leaf.kind == .double {
                    values.append(.double(Self.half(UInt16(bytes[0]) | UInt16(bytes[1]) << 8)))
                } else {
                    values.append(try text(bytes))
                }
            }
            return .plain(values)
        case (9, .float), (9, .double), (9, .int32), (9, .int64), (9, .fixed):
            return .plain(try split(&content, count: count))
        default:
            throw ParquetError(
                "column \(leaf.path.joined(separator: ".")) has the encoding \(encoding), which is not supported"
            )
        }
    }

    private static let truthValues: [ParquetValue] = [.bool(false), .bool(true)]

    private var valueBytes: Int {
        switch leaf.physical {
        case .int32, .float: 4
        case .int64, .double: 8
        case .int96: 12
        case .fixed: leaf.width
        case .boolean, .byteArray: 0
        }
    }

    private func plain(_ content: inout ByteReader, count: Int) throws(ParquetError) -> [ParquetValue] {
        var values: [ParquetValue] = []
        // Checked before room is made: what is announced has to be there.
        guard count <= content.remaining / (leaf.physical == .byteArray ? 4 : valueBytes) else {
            throw ParquetError("\(count) values are announced in a page that has no room for them")
        }
        values.reserveCapacity(count)
        for _ in 0..<count {
            switch leaf.physical {
            case .byteArray: values.append(try text(try content.take(Int(try content.number(UInt32.self)))))
            case .boolean, .int32, .int64, .int96, .float, .double, .fixed:
                values.append(try fixed(try content.take(valueBytes)))
            }
        }
        return values
    }

    /// BYTE_STREAM_SPLIT: the first bytes of all values, then the second ones, and so on.
    private func split(_ content: inout ByteReader, count: Int) throws(ParquetError) -> [ParquetValue] {
        let width = valueBytes
        guard count <= content.remaining / width else {
            throw ParquetError("\(count) values are announced in a page that has no room for them")
        }
        let bytes = try content.take(count * width)
        let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count * width, 1), alignment: 16)
        defer { whole.deallocate() }
        for index in 0..<count {
            for part in 0..<width { whole[index * width + part] = bytes[part * count + index] }
        }
        var reader = ByteReader(UnsafeRawBufferPointer(whole))
        var values: [ParquetValue] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try fixed(try reader.take(width))) }
        return values
    }

    private func fixed(_ bytes: UnsafeRawBufferPointer) throws(ParquetError) -> ParquetValue {
        var reader = ByteReader(bytes)
        switch leaf.physical {
        case .int32: return int32(try reader.number(Int32.self))
        case .int64: return int64(try reader.number(Int64.self))
        case .float: return .double(Double(Float(bitPattern: try reader.number(UInt32.self))))
        case .double: return .double(Double(bitPattern: try reader.number(UInt64.self)))
        case .fixed where leaf.kind == .double: return .double(Self.half(try reader.number(UInt16.self)))
        case .fixed: return .bytes(Array(bytes))
        case .boolean, .byteArray, .int96: throw ParquetError("a value has a type that is not supported")
        }
    }

    /// A number of IEEE's 16 bits; written out because not every platform has the type.
    static func half(_ bits: UInt16) -> Double {
        let sign: Double = bits >> 15 == 1 ? -1 : 1
        let exponent = Int(bits >> 10 & 31)
        let fraction = Double(bits & 1023) / 1024
        if exponent == 31 { return fraction == 0 ? sign * .infinity : .nan }
        if exponent == 0 { return sign * fraction * Double(sign: .plus, exponent: -14, significand: 1) }
        return sign * Double(sign: .plus, exponent: exponent - 15, significand: 1 + fraction)
    }

    private func int32(_ value: Int32) -> ParquetValue {
        .int(leaf.isUnsigned ? Int64(UInt32(bitPattern: value)) : Int64(value))
    }

    private func int64(_ value: Int64) -> ParquetValue {
        leaf.isUnsigned ? .unsigned(UInt64(bitPattern: value)) : .int(value)
    }

    private func text(_ bytes: some Collection<UInt8>) throws(ParquetError) -> ParquetValue {
        guard leaf.kind == .string else { return .bytes(Array(bytes)) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ParquetError("column \(leaf.path.joined(separator: ".")) has a text that is not UTF-8")
        }
        return .string(text)
    }
}
