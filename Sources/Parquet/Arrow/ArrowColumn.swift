/// The limit of one row: lists that refer to the same elements repeatedly can be larger than their file.
struct ArrowBudget {
    private var values: Int
    private var bytes: Int

    /// A budget for a row of a file of this many bytes.
    init(_ limits: ParquetLimits, fileBytes: Int) {
        values = min(limits.values, limits.rowValues)
        bytes = min(limits.pageBytes, max(limits.bytes(ofPacked: 0), fileBytes))
    }

    mutating func take(values count: Int, bytes size: Int = 0) throws(ParquetError) {
        (values, bytes) = (values - count, bytes - size)
        guard values >= 0, bytes >= 0 else { throw ParquetError("a row is larger than supported") }
    }
}

/// The values of a column in one batch, read where they are.
struct ArrowColumn {
    let field: ArrowField
    let count: Int
    /// A bit for each value that is not null; nil where all are.
    var validity: ArrowBuffer?
    var offsets: ArrowBuffer
    var values: ArrowBuffer
    var children: [ArrowColumn] = []
    /// The dictionary's values, which the values of this column index.
    var dictionary: [ArrowColumn] = []

    init(field: ArrowField, count: Int, file: FileBytes) {
        self.field = field
        self.count = count
        offsets = .none(file)
        values = .none(file)
    }

    /// Checks that there are values of this many bytes.
    func check(width: Int) throws(ParquetError) {
        let (bytes, overflow) = count.multipliedReportingOverflow(by: width)
        guard !overflow, values.bytes.count >= bytes else {
            throw ParquetError("the column \(field.name) has \(values.bytes.count) bytes for \(count) values")
        }
    }

    func checkOffsets(isLarge: Bool) throws(ParquetError) {
        // A column without values may have no offset either.
        guard count == 0 || offsets.bytes.count >= (count + 1) * (isLarge ? 8 : 4) else {
            throw ParquetError("the column \(field.name) has too few offsets")
        }
    }

    private static func bit(_ buffer: ArrowBuffer, _ index: Int) -> Bool {
        buffer.bytes[index / 8] >> (index % 8) & 1 == 1
    }

    private static func integer(_ bytes: UnsafeRawBufferPointer, _ index: Int, width: Int, isSigned: Bool)
        -> ParquetValue
    {
        func load<Number: FixedWidthInteger>(_ type: Number.Type) -> Number {
            Number(littleEndian: bytes.loadUnaligned(fromByteOffset: index * width, as: Number.self))
        }
        switch (width, isSigned) {
        case (1, true): return .int(Int64(load(Int8.self)))
        case (1, false): return .int(Int64(load(UInt8.self)))
        case (2, true): return .int(Int64(load(Int16.self)))
        case (2, false): return .int(Int64(load(UInt16.self)))
        case (4, true): return .int(Int64(load(Int32.self)))
        case (4, false): return .int(Int64(load(UInt32.self)))
        case (_, true): return .int(load(Int64.self))
        default: return .unsigned(load(UInt64.self))
        }
    }

    /// The range between two offsets, which have to be inside of `limit`.
    private func range(_ index: Int, isLarge: Bool, limit: Int) throws(ParquetError) -> Range<Int> {
        func offset(_ index: Int) -> Int {
            guard isLarge else {
                return Int(Int32(littleEndian: offsets.bytes.loadUnaligned(fromByteOffset: index * 4, as: Int32.self)))
            }
            return Int(Int64(littleEndian: offsets.bytes.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)))
        }
        let (start, end) = (offset(index), offset(index + 1))
        guard 0 <= start, start <= end, end <= limit else {
            throw ParquetError("the column \(field.name) has the offsets \(start) and \(end) for \(limit) elements")
        }
        return start..<end
    }

    /// The value of a number.
    func value(at index: Int, _ budget: inout ArrowBudget) throws(ParquetError) -> ParquetValue {
        guard index >= 0, index < count else {
            throw ParquetError("the column \(field.name) has \(count) values and no value \(index)")
        }
        try budget.take(values: 1)
        if let validity, !Self.bit(validity, index) { return .null }
        if let dictionary = field.dictionary { return try entry(index, dictionary.bytes, dictionary.isSigned, &budget) }
        switch field.layout {
        case .null: return .null
        case .bool: return .bool(Self.bit(values, index))
        case .int(let width, let isSigned): return Self.integer(values.bytes, index, width: width, isSigned: isSigned)
        case .float(let width): return .double(Self.float(values.bytes, index, width))
        case .bytes(let isText, let isLarge):
            let range = try range(index, isLarge: isLarge, limit: values.bytes.count)
            try budget.take(values: 0, bytes: range.count)
            let bytes = values.bytes[range]
            return isText ? .string(String(decoding: bytes, as: UTF8.self)) : .bytes(Array(bytes))
        case .fixedBytes(let width):
            try budget.take(values: 0, bytes: width)
            return .bytes(Array(values.bytes[index * width..<(index + 1) * width]))
        case .list(let isLarge):
            return try list(range(index, isLarge: isLarge, limit: children[0].count), &budget)
        case .fixedList(let size):
            let (start, overflow) = index.multipliedReportingOverflow(by: size)
            guard !overflow, start <= children[0].count - size else {
                throw ParquetError("the list \(field.name) has too few elements")
            }
            return try list(start..<start + size, &budget)
        case .structure:
            var fields: [ParquetValue.Field] = []
            for child in children {
                fields.append(.init(name: child.field.name, value: try child.value(at: index, &budget)))
            }
            return .structure(fields)
        case .unsupported(let name, _):
            throw ParquetError("a value of \(field.name) is \(name), which is not supported")
        }
    }

    private func list(_ range: Range<Int>, _ budget: inout ArrowBudget) throws(ParquetError) -> ParquetValue {
        var values: [ParquetValue] = []
        for index in range { values.append(try children[0].value(at: index, &budget)) }
        return .list(values)
    }

    private func entry(_ index: Int, _ width: Int, _ isSigned: Bool, _ budget: inout ArrowBudget) throws(ParquetError)
        -> ParquetValue
    {
        var position: Int
        switch Self.integer(values.bytes, index, width: width, isSigned: isSigned) {
        case .int(let number): position = Int(number)
        case .unsigned(let number): position = Int(clamping: number)
        default: position = -1
        }
        let wanted = position
        for piece in dictionary {
            if position >= 0, position < piece.count { return try piece.value(at: position, &budget) }
            position -= piece.count
        }
        throw ParquetError("the dictionary of \(field.name) has no value \(wanted)")
    }

    private static func float(_ bytes: UnsafeRawBufferPointer, _ index: Int, _ width: Int) -> Double {
        switch width {
        case 2:
            let bits = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self))
            return half(bits)
        case 4:
            return Double(
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)))
            )
        default:
            return Double(
                bitPattern: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
            )
        }
    }

    /// A number of 16 bits, which Swift has no type for on every machine.
    private static func half(_ bits: UInt16) -> Double {
        let (exponent, fraction) = (Int(bits >> 10 & 0x1F), Double(bits & 0x3FF))
        let sign: Double = bits >> 15 == 1 ? -1 : 1
        switch exponent {
        case 0: return sign * fraction * 0x1p-24
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * (1024 + fraction) * Double(sign: .plus, exponent: exponent - 25, significand: 1)
        }
    }
}
