/// The values of consecutive pages, without the memory of a separate value for each entry: a value of a dictionary is
/// an index into it, and a null takes no entry.
struct PageValues {
    /// The values of a page.
    enum Piece {
        /// Each by itself.
        case plain([ParquetValue])
        /// As indices into the values of a dictionary; ``none`` is null.
        case coded([UInt32], [ParquetValue])

        /// The number of a null.
        static let none = UInt32.max

        var count: Int {
            switch self {
            case .plain(let values): values.count
            case .coded(let numbers, _): numbers.count
            }
        }

        /// The approximate bytes of the entries, without those of the page.
        var cost: Int {
            switch self {
            case .plain(let values): values.count * MemoryLayout<ParquetValue>.stride
            case .coded(let numbers, _): numbers.count * MemoryLayout<UInt32>.stride
            }
        }

        subscript(index: Int) -> ParquetValue {
            switch self {
            case .plain(let values): return values[index]
            case .coded(let numbers, let dictionary):
                return numbers[index] == Self.none ? .null : dictionary[Int(numbers[index])]
            }
        }

        /// With a null where a definition level is not the highest.
        func spread(over definition: [UInt32], highest: UInt32) -> Piece {
            var next = 0
            var numbers: [UInt32] = []
            numbers.reserveCapacity(definition.count)
            for level in definition {
                guard level == highest, next < count else {
                    numbers.append(Self.none)
                    continue
                }
                switch self {
                case .plain: numbers.append(UInt32(next))
                case .coded(let known, _): numbers.append(known[next])
                }
                next += 1
            }
            switch self {
            case .plain(let values): return .coded(numbers, values)
            case .coded(_, let dictionary): return .coded(numbers, dictionary)
            }
        }
    }

    private var pieces: [(start: Int, piece: Piece)] = []
    private(set) var count = 0

    mutating func append(_ piece: Piece) {
        guard piece.count > 0 else { return }
        pieces.append((count, piece))
        count += piece.count
    }

    /// The value of an entry.
    subscript(index: Int) -> ParquetValue {
        var (low, high) = (0, pieces.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if pieces[middle].start <= index { low = middle } else { high = middle }
        }
        return pieces[low].piece[index - pieces[low].start]
    }
}
