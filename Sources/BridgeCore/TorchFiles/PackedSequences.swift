import BridgeSupport

/// The rows of a file of packed sequences as NeMo and Megatron Bridge write it: a NumPy file (`.npy`) of pickled dictionaries.
///
/// Each has `input_ids`, `loss_mask` and `seq_start_id`: the tokens of several samples, for each token whether the token after it is
/// supervised, and where each sample begins. Sources: `fill_packing_strategy` of Megatron Bridge 0.6
/// (data/datasets/packing_utils.py); numpy/lib/_format_impl.py and `array_reduce` of numpy 2. No code of the file is run.
public struct PackedSequences: Sendable {
    /// A row.
    public struct Row: Sendable, Equatable {
        /// The tokens.
        public var tokens: [Int32] = []
        /// For each token whether the token after it is supervised.
        public var lossMask: [Bool] = []
        /// Where each sample begins, the first one with 0.
        public var starts: [Int] = []
    }

    /// The rows.
    public let rows: [Row]

    /// The largest file that is read, because its values are in memory.
    public static let largestFile = 1 << 30

    private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

    private static let globals: Set<PickleGlobal> = [
        PickleGlobal("numpy", "ndarray"), PickleGlobal("numpy", "dtype"),
        PickleGlobal("numpy.core.multiarray", "_reconstruct"), PickleGlobal("numpy._core.multiarray", "_reconstruct"),
    ]

    /// Reads a file.
    ///
    /// - Parameter path: The file.
    /// - Throws: `BridgeError` for a file that is too large, damaged, or something else than packed sequences.
    public init(path: String) throws {
        try self.init(parsing: Files.contents(of: path, limit: Self.largestFile), name: path)
    }

    /// Reads the bytes of a file.
    init(parsing bytes: [UInt8], name: String) throws {
        func corrupt(_ what: String) -> BridgeError {
            BridgeError(
                .corruptInput,
                "\(name) \(what); expected a .npy file of packed sequences, with input_ids, loss_mask and seq_start_id"
            )
        }
        guard bytes.count >= 12, Array(bytes[..<6]) == Self.magic, (1...3).contains(bytes[6]) else {
            throw corrupt("is not a NumPy file")
        }
        let width = bytes[6] == 1 ? 2 : 4
        let length = bytes[8..<8 + width].reversed().reduce(0) { $0 << 8 | Int($1) }
        let start = 8 + width
        guard length <= bytes.count - start else { throw corrupt("ends in its header") }
        let header = String(decoding: bytes[start..<start + length], as: UTF8.self)
        guard header.contains("'descr': '|O'") else { throw corrupt("has an array of numbers, not of objects") }
        let graph = try PickleReader.read(
            Array(bytes[(start + length)...]),
            name: name,
            globals: .listed(Self.globals)
        )
        // The state of an array: version, shape, dtype, order, and the list of its objects.
        guard let state = graph.root.reference(in: graph).state?.items, state.count == 5,
            let list = Self.list(state[4].value, graph), !list.isEmpty
        else { throw corrupt("has no list of objects") }
        rows = try list.enumerated().map { number, value in
            guard case .node(let index) = value, case .dictionary(let pairs) = graph.nodes[index] else {
                throw corrupt("has something else than a dictionary as row \(number)")
            }
            func values(_ key: String) throws -> [PickleValue] {
                guard let found = pairs.last(where: { $0.key == .text(key) }), let list = Self.list(found.value, graph)
                else { throw corrupt("has no list \(key) in row \(number)") }
                return list
            }
            func integers(_ key: String) throws -> [Int] {
                try values(key).map { value in
                    guard case .integer(let number) = value else {
                        throw corrupt("has \(key) that are not all whole numbers")
                    }
                    return number
                }
            }
            var row = Row()
            row.tokens = try integers("input_ids").map { id in
                guard let token = Int32(exactly: id), token >= 0 else {
                    throw corrupt("has the token \(id) in row \(number)")
                }
                return token
            }
            row.lossMask = try values("loss_mask").map { value in
                switch value {
                case .bool(let isSupervised): return isSupervised
                case .integer(0), .real(0): return false
                case .integer(1), .real(1): return true
                default: throw corrupt("has a loss_mask in row \(number) that is not of zeros and ones")
                }
            }
            row.starts = try integers("seq_start_id")
            let isAscending = zip(row.starts, row.starts.dropFirst()).allSatisfy { $0 < $1 }
            guard row.lossMask.count == row.tokens.count, row.starts.first == 0, isAscending,
                (row.starts.last ?? 0) < row.tokens.count
            else {
                throw corrupt(
                    "has \(row.tokens.count) input_ids, \(row.lossMask.count) elements of loss_mask and seq_start_id "
                        + "\(row.starts.prefix(8)) in row \(number), which do not fit each other"
                )
            }
            return row
        }
    }

    private static func list(_ value: PickleValue, _ graph: PickleGraph) -> [PickleValue]? {
        guard case .node(let index) = value, graph.nodes.indices.contains(index),
            case .list(let items) = graph.nodes[index]
        else { return nil }
        return items
    }
}

extension PickleValue {
    fileprivate func reference(in graph: PickleGraph) -> PickleGraph.Reference {
        PickleGraph.Reference(graph: graph, value: self)
    }
}
