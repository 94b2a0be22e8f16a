/// A value while a template runs.
///
/// It behaves as the Python value behaves that transformers would hold.
indirect enum TemplateValue: Sendable {
    /// The value of an undefined name; prints as an empty text.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    /// A whole number that does not fit in 64 bits, as its digits.
    case largeInteger(String)
    case double(Double)
    case string(String)
    /// A string that the filter `safe` went over: joined to others, those are escaped for HTML.
    case markup(String)
    case list(TemplateList)
    case tuple(TemplateList)
    case dictionary(TemplateDictionary)
    case namespace(TemplateNamespace)
    case loop(TemplateLoop)
    case macro(TemplateMacro)
    case function(String)
    /// A `cycler` or `joiner`.
    case iterator(TemplateIterator)

    /// The approximate bytes of an element of a list, without its content.
    static let elementBytes = 64

    /// Deeper nesting is refused, so that no recursion over a value exhausts the stack.
    static let deepestNesting = 120
}

/// The elements of a list or tuple, how deep they nest, and how much they hold.
struct TemplateList: Sendable {
    let elements: [TemplateValue]
    let depth: Int
    let size: Int
    /// The names of the elements, where a tuple has them.
    let names: [String]

    init(_ elements: [TemplateValue], names: [String] = []) {
        self.elements = elements
        self.names = names
        depth = 1 + (elements.lazy.map(\.depth).max() ?? 0)
        size = elements.reduce(1) { TemplateValue.sum($0, $1.size) }
    }
}

/// A dictionary in the order of its making.
struct TemplateDictionary: Sendable {
    /// The key of an entry: values that are equal in Python have one key.
    private enum Key: Hashable {
        case none
        case text([UInt8])
        case integer(Int)
        case largeInteger(String)
        case double(Double)
        case tuple([Key])

        init?(_ value: TemplateValue) {
            switch value {
            case .none: self = .none
            case .string(let text), .markup(let text): self = .text(Array(text.utf8))
            case .bool(let flag): self = .integer(flag ? 1 : 0)
            case .integer(let number): self = .integer(number)
            case .largeInteger(let digits): self = .largeInteger(digits)
            case .double(let number):
                self =
                    Int(exactly: number).map { .integer($0) } ?? value.exactDigits.map { .largeInteger($0) }
                    ?? .double(number)
            case .tuple(let list):
                var keys: [Key] = []
                for element in list.elements {
                    guard let key = Key(element) else { return nil }
                    keys.append(key)
                }
                self = .tuple(keys)
            default: return nil
            }
        }
    }

    private(set) var entries: [(key: TemplateValue, value: TemplateValue)] = []
    private(set) var depth = 1
    private(set) var size = 1
    private var positions: [Key: Int] = [:]

    init() {}

    init(_ entries: [(key: TemplateValue, value: TemplateValue)]) {
        for entry in entries { set(entry.key, entry.value) }
    }

    mutating func set(_ key: TemplateValue, _ value: TemplateValue) {
        depth = max(depth, 1 + value.depth)
        size = TemplateValue.sum(size, TemplateValue.sum(key.size, value.size))
        if let key = Key(key) {
            if let position = positions[key] {
                entries[position].value = value
                return
            }
            positions[key] = entries.count
        }
        entries.append((key, value))
    }

    subscript(key: TemplateValue) -> TemplateValue? {
        Key(key).flatMap { positions[$0] }.map { entries[$0].value }
    }

    subscript(name: String) -> TemplateValue? {
        positions[.text(Array(name.utf8))].map { entries[$0].value }
    }
}

/// The result of `namespace()`: the only object that a loop can change for later statements.
///
/// A class because the template has several references to it. Only the run that created it uses it.
final class TemplateNamespace: @unchecked Sendable {
    var values: [[UInt8]: TemplateValue] = [:]
}

/// The state of a `for`, as the template sees it under `loop`.
struct TemplateLoop: Sendable {
    var index: Int
    var items: [TemplateValue]
    /// The last arguments of `loop.changed` in this loop.
    var memory: TemplateLoopMemory
}

/// The state that all iterations of a loop share.
///
/// Only the run that made it touches it.
final class TemplateLoopMemory: @unchecked Sendable {
    var changed: TemplateValue?
}

/// The results of `cycler()` and `joiner()`.
///
/// Only the run that made it touches it.
final class TemplateIterator: @unchecked Sendable {
    /// The items of a cycler; nil for a joiner.
    let items: TemplateList?
    /// The result of a joiner after its first call.
    let separator: TemplateValue
    let size: Int
    var position = 0
    var isUsed = false

    init(items: [TemplateValue]) {
        let list = TemplateList(items)
        (self.items, separator, size) = (list, .none, list.size)
    }

    init(separator: TemplateValue) {
        (items, self.separator) = (nil, separator)
        size = separator.size
    }
}

/// A macro and how many scopes it can see.
struct TemplateMacro: Sendable {
    var definition: TemplateMacroSyntax
    var scopeCount: Int
}

extension TemplateValue {
    init(_ value: ChatValue) {
        switch value {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .largeInteger(let digits): self = .largeInteger(digits)
        case .number(let value): self = .double(value)
        case .text(let value): self = .string(value)
        case .list(let values): self = .list(TemplateList(values.map { TemplateValue($0) }))
        case .object(let members):
            self = .dictionary(TemplateDictionary(members.map { (.string($0.name), TemplateValue($0.value)) }))
        }
    }

    static func list(_ elements: [TemplateValue]) -> TemplateValue { .list(TemplateList(elements)) }
    static func tuple(_ elements: [TemplateValue]) -> TemplateValue { .tuple(TemplateList(elements)) }

    var depth: Int {
        switch self {
        case .list(let list), .tuple(let list): list.depth
        case .dictionary(let dictionary): dictionary.depth
        default: 0
        }
    }

    /// The size for iteration and printing: bytes of text and elements, recursively.
    var size: Int {
        switch self {
        case .string(let text), .markup(let text), .largeInteger(let text): 1 + text.utf8.count
        case .iterator(let iterator): iterator.size
        case .list(let list), .tuple(let list): list.size
        case .dictionary(let dictionary): dictionary.size
        case .namespace(let namespace): namespace.values.values.reduce(1) { Self.sum($0, $1.size) }
        default: 1
        }
    }

    /// The sum, or the largest number where it is larger.
    static func sum(_ left: Int, _ right: Int) -> Int {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? .max : sum
    }

    /// The text of a string, whether it is safe or not.
    var text: String? {
        switch self {
        case .string(let text), .markup(let text): text
        default: nil
        }
    }

    /// A number or truth value as a whole number.
    var integer: Int? {
        switch self {
        case .integer(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    var number: Double? {
        switch self {
        case .double(let value): value
        case .largeInteger(let digits): Double(digits)
        default: integer.map(Double.init)
        }
    }

    var isDouble: Bool {
        if case .double = self { return true }
        return false
    }

    /// The whole number of some digits, of any size.
    static func whole(_ digits: some StringProtocol) -> TemplateValue {
        Int(digits).map { .integer($0) } ?? .largeInteger(String(digits))
    }

    /// The digits of a whole number of any size.
    var wholeDigits: String? {
        if case .largeInteger(let digits) = self { return digits }
        return integer.map { String($0) }
    }

    /// The digits of a number without its fraction; nil for other values and for numbers that are not finite.
    var truncatedDigits: String? {
        guard case .double(let value) = self else { return wholeDigits }
        guard value.isFinite, let text = try? PythonFormat.printed(value.rounded(.towardZero), "f", 0) else {
            return nil
        }
        return text == "-0" ? "0" : text
    }

    /// The digits of a number that is whole.
    var exactDigits: String? {
        guard case .double(let value) = self else { return wholeDigits }
        return value == value.rounded() ? truncatedDigits : nil
    }

    /// The digits of this number and another, where they are whole and a comparison of doubles could round one of them.
    private func exactDigits(besides other: TemplateValue) -> (String, String)? {
        guard !isDouble || !other.isDouble, let digits = exactDigits, let others = other.exactDigits else { return nil }
        return (digits, others)
    }

    var isUndefined: Bool {
        if case .undefined = self { return true }
        return false
    }

    /// The elements of what can be walked over, or nil.
    var elements: [TemplateValue]? {
        switch self {
        case .list(let list), .tuple(let list): list.elements
        case .string(let text), .markup(let text): text.unicodeScalars.map { .string(String($0)) }
        case .dictionary(let dictionary): dictionary.entries.map(\.key)
        case .undefined: []
        default: nil
        }
    }

    var isIterable: Bool {
        switch self {
        case .list, .tuple, .string, .markup, .dictionary, .undefined: true
        default: false
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .double(let value): value != 0
        case .largeInteger: true
        case .string(let text), .markup(let text): !text.isEmpty
        case .list(let list), .tuple(let list): !list.elements.isEmpty
        case .dictionary(let dictionary): !dictionary.entries.isEmpty
        case .namespace, .loop, .macro, .function, .iterator: true
        }
    }

    /// Python's name of the type, for error messages.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .none: "NoneType"
        case .bool: "bool"
        case .integer, .largeInteger: "int"
        case .double: "float"
        case .string, .markup: "str"
        case .list: "list"
        case .tuple: "tuple"
        case .dictionary: "dict"
        case .namespace: "Namespace"
        case .loop: "LoopContext"
        case .macro: "Macro"
        case .function: "function"
        case .iterator(let iterator): iterator.items == nil ? "Joiner" : "Cycler"
        }
    }
}

extension TemplateValue {
    func equals(_ other: TemplateValue) -> Bool {
        if let left = text, let right = other.text { return left.utf8.elementsEqual(right.utf8) }
        if let left = integer, let right = other.integer { return left == right }
        if let left = number, let right = other.number {
            return exactDigits(besides: other).map { $0 == $1 } ?? (left == right)
        }
        switch (self, other) {
        case (.none, .none), (.undefined, .undefined): return true
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            return left.elements.count == right.elements.count
                && zip(left.elements, right.elements).allSatisfy { $0.equals($1) }
        case (.dictionary(let left), .dictionary(let right)):
            return left.entries.count == right.entries.count
                && left.entries.allSatisfy { entry in right[entry.key].map { $0.equals(entry.value) } ?? false }
        case (.namespace(let left), .namespace(let right)):
            return left === right
        default:
            return false
        }
    }

    /// Whether this comes before the other; nil where Python refuses to compare.
    func precedes(_ other: TemplateValue) -> Bool? {
        if let left = text, let right = other.text {
            // UTF-8 has the order of the scalars.
            return left.utf8.lexicographicallyPrecedes(right.utf8)
        }
        if let left = integer, let right = other.integer { return left < right }
        if let left = number, let right = other.number {
            return exactDigits(besides: other).map { Self.precedes($0, $1) } ?? (left < right)
        }
        switch (self, other) {
        case (.list(let left), .list(let right)), (.tuple(let left), .tuple(let right)):
            for (a, b) in zip(left.elements, right.elements) where !a.equals(b) { return a.precedes(b) }
            return left.elements.count < right.elements.count
        default:
            return nil
        }
    }

    /// Whether a whole number is below another, by their digits.
    private static func precedes(_ left: String, _ right: String) -> Bool {
        let isNegative = left.hasPrefix("-")
        guard isNegative == right.hasPrefix("-") else { return isNegative }
        let (small, large) = isNegative ? (right, left) : (left, right)
        return (small.utf8.count, small) < (large.utf8.count, large)
    }
}
