import BridgeSupport

/// Writes a graph as a pickle of protocol 2.
///
/// Protocol 2 is what `torch.save` writes, and every later Python reads it. A node that is used twice is stored once.
package struct PickleWriter: ~Copyable {
    private let graph: PickleGraph
    private var bytes: [UInt8] = [PickleOpcode.proto.rawValue, 2]
    /// The memo's number of each node that has been written and is used again.
    private var memo: [Int: Int] = [:]
    private var globals: [PickleGlobal: Int] = [:]
    private var texts: [String: Int] = [:]
    private var stored = 0
    private let uses: [Int]

    private init(_ graph: PickleGraph) {
        self.graph = graph
        uses = Self.uses(in: graph)
    }

    /// The pickle of a graph.
    ///
    /// - Throws: `BridgeError` for a graph that is nested deeper than any that Bridge makes.
    package static func pickle(_ graph: PickleGraph) throws -> [UInt8] {
        var writer = PickleWriter(graph)
        try writer.write(graph.root, depth: 0)
        writer.put(.stop)
        return writer.bytes
    }

    /// The most levels of values in values.
    private static let deepest = 200

    /// How often each node is a part of another.
    private static func uses(in graph: PickleGraph) -> [Int] {
        var uses = [Int](repeating: 0, count: graph.nodes.count)
        func use(_ value: PickleValue?) {
            if case .node(let number)? = value, uses.indices.contains(number) { uses[number] += 1 }
        }
        use(graph.root)
        for node in graph.nodes {
            switch node {
            case .tuple(let items), .list(let items), .set(let items): items.forEach(use)
            case .dictionary(let pairs):
                for pair in pairs {
                    use(pair.key)
                    use(pair.value)
                }
            case .global: break
            case .object(let object):
                use(object.arguments)
                use(object.state)
                for pair in object.items {
                    use(pair.key)
                    use(pair.value)
                }
                object.elements.forEach(use)
            case .persistent(let value): use(value)
            }
        }
        return uses
    }

    private mutating func put(_ opcode: PickleOpcode) { bytes.append(opcode.rawValue) }

    private mutating func put<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Stores what was written last in the memo.
    private mutating func store() -> Int {
        defer { stored += 1 }
        if stored < 256 {
            put(.binPut)
            put(UInt8(stored))
        } else {
            put(.longBinPut)
            put(UInt32(stored))
        }
        return stored
    }

    private mutating func recall(_ index: Int) {
        if index < 256 {
            put(.binGet)
            put(UInt8(index))
        } else {
            put(.longBinGet)
            put(UInt32(index))
        }
    }

    private mutating func write(_ value: PickleValue, depth: Int) throws {
        switch value {
        case .none: put(.none)
        case .bool(let bool): put(bool ? .newTrue : .newFalse)
        case .integer(let number): write(number)
        case .longInteger(let content):
            guard content.count < 256 else { throw Self.problem("has an integer of \(content.count) bytes") }
            put(.long1)
            put(UInt8(content.count))
            bytes += content
        case .real(let number):
            put(.binFloat)
            withUnsafeBytes(of: number.bitPattern.bigEndian) { bytes.append(contentsOf: $0) }
        case .text(let text):
            if let index = texts[text] { return recall(index) }
            let content = Array(text.utf8)
            put(.binUnicode)
            put(UInt32(clamping: content.count))
            bytes += content
            texts[text] = store()
        case .bytes(let content):
            // Protocol 3 and later; Python's unpickler takes it whatever the protocol's number is.
            put(.binBytes)
            put(UInt32(clamping: content.count))
            bytes += content
        case .node(let number):
            if let index = memo[number] { return recall(index) }
            guard depth < Self.deepest, graph.nodes.indices.contains(number) else {
                throw Self.problem("is nested deeper than \(Self.deepest) levels")
            }
            try write(graph.nodes[number], depth: depth + 1)
            if case .global = graph.nodes[number] { return }
            if uses[number] > 1 { memo[number] = store() }
        }
    }

    private static func problem(_ what: String) -> BridgeError {
        BridgeError(.badArgument, "a value that would be pickled \(what)")
    }

    private mutating func write(_ number: Int) {
        switch number {
        case 0..<256:
            put(.binInt1)
            put(UInt8(number))
        case 256..<65536:
            put(.binInt2)
            put(UInt16(number))
        case Int(Int32.min)...Int(Int32.max):
            put(.binInt)
            put(Int32(number))
        default:
            put(.long1)
            put(UInt8(8))
            put(Int64(number))
        }
    }

    private mutating func write(_ node: PickleNode, depth: Int) throws {
        switch node {
        case .tuple(let items):
            if items.isEmpty { return put(.emptyTuple) }
            if items.count > 3 { put(.mark) }
            for item in items { try write(item, depth: depth) }
            let opcodes: [PickleOpcode] = [.tuple1, .tuple2, .tuple3]
            put(opcodes.dropFirst(items.count - 1).first ?? .tuple)
        case .list(let items):
            put(.emptyList)
            try append(items, depth: depth)
        case .set(let items):
            throw Self.problem("has a set of \(items.count) values, which protocol 2 lacks")
        case .dictionary(let pairs):
            put(.emptyDictionary)
            try set(pairs, depth: depth)
        case .global(let global): write(global)
        case .object(let object):
            write(object.callable)
            try write(object.arguments, depth: depth)
            put(object.kind == .new ? .newObject : .reduce)
            try append(object.elements, depth: depth)
            try set(object.items, depth: depth)
            if let state = object.state {
                try write(state, depth: depth)
                put(.build)
            }
        case .persistent(let value):
            try write(value, depth: depth)
            put(.binPersistentID)
        }
    }

    private mutating func append(_ items: [PickleValue], depth: Int) throws {
        guard !items.isEmpty else { return }
        put(.mark)
        for item in items { try write(item, depth: depth) }
        put(.appends)
    }

    private mutating func set(_ pairs: [PicklePair], depth: Int) throws {
        guard !pairs.isEmpty else { return }
        put(.mark)
        for pair in pairs {
            try write(pair.key, depth: depth)
            try write(pair.value, depth: depth)
        }
        put(.setItems)
    }

    private mutating func write(_ global: PickleGlobal) {
        if let index = globals[global] { return recall(index) }
        put(.global)
        bytes += Array("\(global.module)\n\(global.name)\n".utf8)
        globals[global] = store()
    }
}
