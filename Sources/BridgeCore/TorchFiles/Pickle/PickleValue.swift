/// A value of a pickle; what other values may share lies in a ``PickleGraph``.
package enum PickleValue: Sendable, Equatable {
    case none
    case bool(Bool)
    case integer(Int)
    /// An integer of more than 64 bits, little-endian in two's complement.
    case longInteger([UInt8])
    case real(Double)
    case text(String)
    case bytes([UInt8])
    /// The node of a graph with this number.
    case node(Int)
}

/// A value that has parts.
///
/// Parts are numbers of nodes and not the nodes themselves, so that a file cannot build a value whose release recurses
/// once for each of a million levels, or one that holds itself.
package enum PickleNode: Sendable, Equatable {
    case tuple([PickleValue])
    case list([PickleValue])
    case dictionary([PicklePair])
    case set([PickleValue])
    /// A class or function, by its name alone: nothing is imported and nothing is called.
    case global(PickleGlobal)
    case object(PickleObject)
    /// A value that lies outside the pickle: torch's storages.
    case persistent(PickleValue)
}

/// An entry of a dictionary.
package struct PicklePair: Sendable, Equatable {
    package var key: PickleValue
    package var value: PickleValue

    package init(_ key: PickleValue, _ value: PickleValue) {
        self.key = key
        self.value = value
    }
}

/// The name of a class or function.
package struct PickleGlobal: Sendable, Hashable, CustomStringConvertible {
    package var module: String
    package var name: String

    package init(_ module: String, _ name: String) {
        self.module = module
        self.name = name
    }

    /// Both names, as in Python.
    package var description: String { "\(module).\(name)" }
}

/// A call that a pickle asks for, as data: who would be called with what, and what would then be set.
package struct PickleObject: Sendable, Equatable {
    /// Which opcode asks for it.
    package enum Kind: Sendable, Equatable {
        /// `NEWOBJ`: the class's `__new__`.
        case new
        /// `REDUCE`: a function, or a class as one.
        case reduce
    }

    package var kind: Kind
    package var callable: PickleGlobal
    /// A tuple.
    package var arguments: PickleValue
    /// The argument of `BUILD`.
    package var state: PickleValue?
    /// What `SETITEMS` adds, as to an `OrderedDict`.
    package var items: [PicklePair] = []
    /// What `APPENDS` adds.
    package var elements: [PickleValue] = []

    package init(_ kind: Kind, _ callable: PickleGlobal, arguments: PickleValue, state: PickleValue? = nil) {
        self.kind = kind
        self.callable = callable
        self.arguments = arguments
        self.state = state
    }
}
