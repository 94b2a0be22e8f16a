/// The values of a pickle: nodes, which refer to each other by number, and the one that the pickle is for.
package struct PickleGraph: Sendable {
    package internal(set) var nodes: [PickleNode] = []
    package internal(set) var root = PickleValue.none

    /// A graph without nodes.
    package init() {}

    /// A value with its graph.
    package struct Reference: Sendable {
        package let graph: PickleGraph
        package let value: PickleValue
    }

    /// The value that the pickle is for.
    package var reference: Reference { Reference(graph: self, value: root) }

    // MARK: Building

    /// Adds a node.
    ///
    /// - Returns: The value that refers to it.
    package mutating func add(_ node: PickleNode) -> PickleValue {
        nodes.append(node)
        return .node(nodes.count - 1)
    }

    /// Adds a tuple.
    package mutating func tuple(_ items: [PickleValue]) -> PickleValue { add(.tuple(items)) }

    /// Adds a dictionary with texts as keys.
    package mutating func dictionary(_ pairs: [(String, PickleValue)]) -> PickleValue {
        add(.dictionary(pairs.map { PicklePair(.text($0), $1) }))
    }

    /// Adds the call of a function.
    package mutating func call(_ global: PickleGlobal, _ arguments: [PickleValue]) -> PickleValue {
        let arguments = tuple(arguments)
        return add(.object(PickleObject(.reduce, global, arguments: arguments)))
    }

    /// Adds an instance of a class without arguments, with a state.
    package mutating func instance(of global: PickleGlobal, state: PickleValue?) -> PickleValue {
        let arguments = tuple([])
        return add(.object(PickleObject(.new, global, arguments: arguments, state: state)))
    }

    /// Makes a value the one that the pickle is for.
    package mutating func finish(_ root: PickleValue) { self.root = root }
}

extension PickleGraph.Reference {
    private func made(_ value: PickleValue) -> Self { Self(graph: graph, value: value) }

    /// The node that the value refers to; nil for a value without parts.
    package var node: PickleNode? {
        guard case .node(let number) = value, graph.nodes.indices.contains(number) else { return nil }
        return graph.nodes[number]
    }

    package var isNone: Bool { value == .none }

    package var text: String? { if case .text(let text) = value { text } else { nil } }

    /// A whole number; truth values are none.
    package var integer: Int? { if case .integer(let number) = value { number } else { nil } }

    package var bool: Bool? { if case .bool(let bool) = value { bool } else { nil } }

    /// A number of either kind.
    package var real: Double? {
        switch value {
        case .real(let number): number
        case .integer(let number): Double(number)
        default: nil
        }
    }

    /// The items of a tuple or list, and of the list that an object was given.
    package var items: [Self]? {
        switch node {
        case .tuple(let items), .list(let items), .set(let items): items.map(made)
        default: nil
        }
    }

    /// The entries of a dictionary, or of an object that is one, such as `OrderedDict`.
    package var pairs: [(key: Self, value: Self)]? {
        switch node {
        case .dictionary(let pairs): pairs.map { (made($0.key), made($0.value)) }
        case .object(let object) where object.callable == .orderedDictionary:
            object.items.map { (made($0.key), made($0.value)) }
        default: nil
        }
    }

    /// The value of a text key in a dictionary; of several, the last one, as in Python.
    package subscript(key: String) -> Self? {
        switch node {
        case .dictionary(let pairs): pairs.last { $0.key == .text(key) }.map { made($0.value) }
        case .object(let object): object.items.last { $0.key == .text(key) }.map { made($0.value) }
        default: nil
        }
    }

    package var global: PickleGlobal? { if case .global(let global) = node { global } else { nil } }

    package var object: PickleObject? { if case .object(let object) = node { object } else { nil } }

    /// The class or function of an object.
    package var callable: PickleGlobal? { object?.callable }

    /// The arguments of an object.
    package var arguments: [Self] { object.flatMap { made($0.arguments).items } ?? [] }

    /// The state of an object: what its attributes are.
    package var state: Self? { object?.state.map(made) }

    /// An attribute of an object whose state is a dictionary.
    package func attribute(_ name: String) -> Self? { state?[name] }

    /// The content of a value outside the pickle.
    package var persistent: Self? { if case .persistent(let value) = node { made(value) } else { nil } }
}

extension PickleGlobal {
    /// `collections.OrderedDict`.
    package static let orderedDictionary = PickleGlobal("collections", "OrderedDict")
}
