import BridgeSupport

/// Reads a pickle as data.
///
/// A pickle is a program for a stack machine that may import and call anything. This one runs the few opcodes that make
/// values, keeps imports as names and calls as records of what would be called, and refuses the rest; no code of a file
/// is ever run. Format: pickle protocols 2 to 5, pickletools.py of Python 3.11.
package struct PickleReader: ~Copyable {
    /// Bounds of what a file may ask for.
    package struct Limits: Sendable {
        /// The most nodes: a checkpoint has a few dozen for each chunk of a tensor.
        package var nodes = 8 << 20
        /// The most entries of the memo.
        package var memoEntries = 8 << 20
        /// The most marks that are open at a time.
        package var openMarks = 1000

        package init() {}
    }

    private let bytes: [UInt8]
    /// The file, for messages.
    private let name: String
    private let globals: PickleGlobals
    private let limits: Limits
    private var position = 0
    private var graph = PickleGraph()
    private var stack: [PickleValue] = []
    /// The heights of the stack at the open marks.
    private var marks: [Int] = []
    private var memo: [Int: PickleValue] = [:]

    private init(_ bytes: [UInt8], name: String, globals: PickleGlobals, limits: Limits) {
        self.bytes = bytes
        self.name = name
        self.globals = globals
        self.limits = limits
    }

    /// Reads a pickle.
    ///
    /// - Parameters:
    ///   - bytes: The pickle, which ends with its `STOP`.
    ///   - name: The file, for messages.
    ///   - globals: Which classes and functions it may name.
    ///   - limits: Bounds of what it may ask for.
    /// - Returns: Its values.
    /// - Throws: `BridgeError` with code `corruptInput` for other opcodes and globals, and for a damaged file.
    package static func read(
        _ bytes: [UInt8],
        name: String,
        globals: PickleGlobals,
        limits: Limits = Limits()
    ) throws -> PickleGraph {
        var reader = PickleReader(bytes, name: name, globals: globals, limits: limits)
        return try reader.run()
    }

    private func corrupt(_ what: String) -> BridgeError {
        BridgeError(.corruptInput, "\(name) is not a pickle that can be read: byte \(position) \(what)")
    }

    private mutating func run() throws -> PickleGraph {
        while true {
            guard position < bytes.count else { throw corrupt("is its end, before its STOP; it is truncated") }
            guard let opcode = PickleOpcode(rawValue: bytes[position]) else {
                throw corrupt("has the opcode 0x\(String(bytes[position], radix: 16)), which no checkpoint needs")
            }
            position += 1
            if opcode == .stop { break }
            try step(opcode)
            guard graph.nodes.count <= limits.nodes, memo.count <= limits.memoEntries, marks.count <= limits.openMarks
            else {
                throw corrupt("makes more values than the \(limits.nodes) of any checkpoint")
            }
        }
        guard marks.isEmpty, stack.count == 1 else { throw corrupt("ends with \(stack.count) values, expected 1") }
        graph.finish(stack[0])
        return graph
    }

    private mutating func step(_ opcode: PickleOpcode) throws {
        switch opcode {
        case .stop: break
        case .proto:
            let version = Int(try number(1))
            guard (2...5).contains(version) else { throw corrupt("names protocol \(version), expected 2 to 5") }
        case .frame: _ = try number(8)
        case .mark: marks.append(stack.count)
        case .pop: _ = try pop()
        case .popMark: _ = try popMark()
        case .none: stack.append(.none)
        case .newTrue: stack.append(.bool(true))
        case .newFalse: stack.append(.bool(false))
        case .binInt: stack.append(.integer(Int(Int32(truncatingIfNeeded: try number(4)))))
        case .binInt1: stack.append(.integer(Int(try number(1))))
        case .binInt2: stack.append(.integer(Int(try number(2))))
        case .long1: try pushLong(Int(try number(1)))
        case .long4: try pushLong(try length(4))
        case .binFloat:
            let bits = try slice(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            stack.append(.real(Double(bitPattern: bits)))
        case .shortBinUnicode: stack.append(.text(try text(try length(1))))
        case .binUnicode: stack.append(.text(try text(try length(4))))
        case .binUnicode8: stack.append(.text(try text(try length(8))))
        case .shortBinBytes: stack.append(.bytes(Array(try slice(try length(1)))))
        case .binBytes: stack.append(.bytes(Array(try slice(try length(4)))))
        case .binBytes8: stack.append(.bytes(Array(try slice(try length(8)))))
        case .emptyTuple: push(.tuple([]))
        case .tuple1: try push(.tuple(pop(1)))
        case .tuple2: try push(.tuple(pop(2)))
        case .tuple3: try push(.tuple(pop(3)))
        case .tuple: try push(.tuple(popMark()))
        case .emptyList: push(.list([]))
        case .list: try push(.list(popMark()))
        case .append: try append(pop(1))
        case .appends: try append(popMark())
        case .emptyDictionary: push(.dictionary([]))
        case .dictionary: try push(.dictionary(pairs(popMark())))
        case .setItem: try set(pairs(pop(2)))
        case .setItems: try set(pairs(popMark()))
        case .emptySet: push(.set([]))
        case .frozenSet: try push(.set(popMark()))
        case .addItems: try append(popMark())
        case .binPut: try memoize(at: Int(try number(1)))
        case .longBinPut: try memoize(at: try number(4))
        case .memoize: try memoize(at: memo.count)
        case .binGet: try recall(Int(try number(1)))
        case .longBinGet: try recall(try number(4))
        case .global: try pushGlobal(PickleGlobal(try line(), try line()))
        case .stackGlobal:
            let names = try pop(2)
            guard case .text(let module) = names[0], case .text(let name) = names[1] else {
                throw corrupt("has a STACK_GLOBAL without two names")
            }
            try pushGlobal(PickleGlobal(module, name))
        case .newObject: try call(.new)
        case .reduce: try call(.reduce)
        case .build: try build()
        case .binPersistentID: push(.persistent(try pop()))
        }
    }

    // MARK: Bytes

    private mutating func slice(_ count: Int) throws -> ArraySlice<UInt8> {
        guard count <= bytes.count - position else {
            throw corrupt("announces \(count) bytes, but \(bytes.count - position) follow")
        }
        defer { position += count }
        return bytes[position..<position + count]
    }

    /// A little-endian number of up to 8 bytes; one of 8 bytes that does not fit is the largest.
    private mutating func number(_ size: Int) throws -> Int {
        let value = try slice(size).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Int(clamping: value)
    }

    private mutating func length(_ size: Int) throws -> Int { try number(size) }

    private mutating func text(_ count: Int) throws -> String {
        let content = try slice(count)
        guard let text = String(validating: content, as: UTF8.self) else {
            throw corrupt("ends a text that is not UTF-8")
        }
        return text
    }

    /// A text up to the end of its line.
    private mutating func line() throws -> String {
        guard let end = bytes[position...].prefix(Self.longestName).firstIndex(of: 0x0A) else {
            throw corrupt("starts a name without an end")
        }
        defer { position = end + 1 }
        return try text(end - position)
    }

    /// The longest name of a module or class.
    private static let longestName = 1024

    private mutating func pushLong(_ count: Int) throws {
        let content = try slice(count)
        guard count <= 8 else { return stack.append(.longInteger(Array(content))) }
        var value = content.reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        if count > 0, count < 8, content.last.map({ $0 >= 0x80 }) ?? false {
            value |= ~UInt64(0) << (8 * UInt64(count))
        }
        stack.append(.integer(Int(Int64(bitPattern: value))))
    }

    // MARK: Stack

    /// The lowest position that may be taken: what lies below the last mark belongs to others.
    private var floor: Int { marks.last ?? 0 }

    private mutating func pop() throws -> PickleValue {
        guard stack.count > floor, let value = stack.popLast() else { throw corrupt("takes a value that is not there") }
        return value
    }

    private mutating func pop(_ count: Int) throws -> [PickleValue] {
        guard stack.count - floor >= count else { throw corrupt("takes \(count) values that are not there") }
        defer { stack.removeLast(count) }
        return Array(stack.suffix(count))
    }

    private mutating func popMark() throws -> [PickleValue] {
        guard let mark = marks.popLast() else { throw corrupt("takes the values after a mark that is not there") }
        defer { stack.removeSubrange(mark...) }
        return Array(stack[mark...])
    }

    private mutating func push(_ node: PickleNode) { stack.append(graph.add(node)) }

    /// The node at the end of the stack, whose parts are about to change.
    private func top() throws -> Int {
        guard stack.count > floor, case .node(let number)? = stack.last else {
            throw corrupt("adds to a value that has no parts")
        }
        return number
    }

    private mutating func append(_ values: [PickleValue]) throws {
        let number = try top()
        // Taken out first, so that the array is extended where it is and not copied.
        let node = graph.nodes[number]
        graph.nodes[number] = .tuple([])
        switch consume node {
        case .list(var items):
            items += values
            graph.nodes[number] = .list(items)
        case .set(var items):
            items += values
            graph.nodes[number] = .set(items)
        case .object(var object):
            object.elements += values
            graph.nodes[number] = .object(object)
        default: throw corrupt("appends to a value that is not a list")
        }
    }

    private func pairs(_ values: [PickleValue]) throws -> [PicklePair] {
        guard values.count.isMultiple(of: 2) else { throw corrupt("sets a key without a value") }
        return stride(from: 0, to: values.count, by: 2).map { PicklePair(values[$0], values[$0 + 1]) }
    }

    private mutating func set(_ pairs: [PicklePair]) throws {
        let number = try top()
        let node = graph.nodes[number]
        graph.nodes[number] = .tuple([])
        switch consume node {
        case .dictionary(var items):
            items += pairs
            graph.nodes[number] = .dictionary(items)
        case .object(var object):
            object.items += pairs
            graph.nodes[number] = .object(object)
        default: throw corrupt("sets a key of a value that is not a dictionary")
        }
    }

    // MARK: Memo

    private mutating func memoize(at index: Int) throws {
        guard stack.count > floor, let value = stack.last else { throw corrupt("stores a value that is not there") }
        memo[index] = value
    }

    private mutating func recall(_ index: Int) throws {
        guard let value = memo[index] else { throw corrupt("recalls value \(index), which was not stored") }
        stack.append(value)
    }

    // MARK: Names and calls

    private mutating func pushGlobal(_ global: PickleGlobal) throws {
        guard globals.allow(global) else {
            throw BridgeError(
                .corruptInput,
                "\(name) names \(PickleReader.shown(global)), which is not among the classes of such a file; it was not loaded, "
                    + "and no code of it was run"
            )
        }
        push(.global(global))
    }

    /// A name for a message, shortened.
    private static func shown(_ global: PickleGlobal) -> String { String("\(global)".prefix(200)) }

    private mutating func call(_ kind: PickleObject.Kind) throws {
        let values = try pop(2)
        guard case .node(let number) = values[0], case .global(let callable) = graph.nodes[number] else {
            throw corrupt("calls a value that is not the name of a class or function")
        }
        guard case .node(let arguments) = values[1], case .tuple = graph.nodes[arguments] else {
            throw corrupt("calls \(PickleReader.shown(callable)) without a tuple of arguments")
        }
        push(.object(PickleObject(kind, callable, arguments: values[1])))
    }

    private mutating func build() throws {
        let state = try pop()
        let number = try top()
        guard case .object(var object) = graph.nodes[number] else {
            throw corrupt("sets the state of a value that is not an object")
        }
        object.state = state
        graph.nodes[number] = .object(object)
    }
}
