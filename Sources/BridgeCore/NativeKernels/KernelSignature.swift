import BridgeSupport
public import TensorRuntime

/// The arguments of a native kernel, declared as a text.
///
/// `x: float32[B, T, D], cap: double -> y: float32[B, T, D]` has a tensor, a number and a result. A name in brackets is a size that
/// is the same wherever it appears; a number is an exact size. The C function has, in this order: a pointer for each tensor and a
/// `double` for each number, as listed; the pointer of the result; an `int64_t` for each named size, in the order in which they first
/// appear. It returns `int32_t`, 0 for success.
public struct KernelSignature: Sendable, Equatable, CustomStringConvertible {
    /// A dimension of a tensor.
    public enum Size: Sendable, Equatable {
        /// A size with a name.
        case named(String)
        /// An exact size.
        case exact(Int)
    }

    /// A tensor.
    public struct TensorArgument: Sendable, Equatable {
        /// Its name, for messages.
        public var name: String
        /// The type of its elements: float32, bfloat16 or int32.
        public var elementType: ElementType
        /// Its dimensions.
        public var sizes: [Size]
    }

    /// An input.
    public enum Argument: Sendable, Equatable {
        /// A tensor, as a pointer to its elements without gaps.
        case tensor(TensorArgument)
        /// A number with its name, as a `double`.
        case number(String)
    }

    /// The inputs.
    public let inputs: [Argument]
    /// The result.
    public let output: TensorArgument
    /// The names of sizes in the order in which they first appear.
    public let sizeNames: [String]
    /// The text.
    public let description: String

    /// The input tensors.
    public var tensors: [TensorArgument] {
        inputs.compactMap { if case .tensor(let tensor) = $0 { tensor } else { nil } }
    }
    /// The names of the numbers.
    public var numbers: [String] { inputs.compactMap { if case .number(let name) = $0 { name } else { nil } } }

    private static let elementTypes: [ElementType] = [.float32, .bfloat16, .int32]
    private static let mostArguments = 12
    private static let mostDimensions = 8

    /// Reads a signature.
    ///
    /// - Parameter text: The text.
    /// - Throws: `BridgeError` with code `badPlugin` and what is wrong in it.
    public init(_ text: String) throws {
        func bad(_ what: String) -> BridgeError {
            BridgeError(
                .badPlugin,
                "the signature \"\(text)\" \(what); an example is \"x: float32[N, D], cap: double -> y: float32[N, D]\""
            )
        }
        let sides = text.split(separator: "->", omittingEmptySubsequences: false)
        guard sides.count == 2 else { throw bad("has \(sides.count - 1) arrows, expected one") }
        let inputs = try Self.arguments(sides[0]).map { try Self.argument($0, bad) }
        let outputs = try Self.arguments(sides[1]).map { try Self.argument($0, bad) }
        guard outputs.count == 1, case .tensor(let output) = outputs[0] else {
            throw bad("has \(outputs.count) results, expected one tensor")
        }
        guard (1...Self.mostArguments).contains(inputs.count) else {
            throw bad("has \(inputs.count) inputs, expected 1 to \(Self.mostArguments)")
        }
        (self.inputs, self.output, description) = (inputs, output, text)
        var sizeNames: [String] = []
        for tensor in inputs.compactMap({ if case .tensor(let tensor) = $0 { tensor } else { nil } }) {
            for case .named(let name) in tensor.sizes where !sizeNames.contains(name) { sizeNames.append(name) }
        }
        self.sizeNames = sizeNames
        for case .named(let name) in output.sizes where !sizeNames.contains(name) {
            throw bad("has the size \(name) in its result only, so that it is not known before the call")
        }
        let names = inputs.map {
            if case .tensor(let tensor) = $0 { tensor.name } else if case .number(let name) = $0 { name } else { "" }
        }
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw bad("has \(twice) twice")
        }
        guard !tensors.isEmpty else { throw bad("has no input tensor") }
    }

    /// The arguments between the commas outside of brackets.
    private static func arguments(_ text: Substring) -> [String] {
        var (depth, parts) = (0, [""])
        for character in text {
            if character == "[" { depth += 1 }
            if character == "]" { depth -= 1 }
            if character == ",", depth <= 0 { parts.append("") } else { parts[parts.count - 1].append(character) }
        }
        return parts.map(trimmed)
    }

    private static func trimmed(_ text: String) -> String {
        String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    private static func isName(_ text: String) -> Bool {
        text.first.map { $0.isASCII && $0.isLetter } ?? false
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") }
    }

    private static func argument(_ text: String, _ bad: (String) -> BridgeError) throws -> Argument {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map {
            trimmed(String($0))
        }
        guard parts.count == 2, isName(parts[0]) else {
            throw bad("has the argument \"\(text)\", expected a name, a colon and a type")
        }
        let (name, type) = (parts[0], parts[1])
        guard let bracket = type.firstIndex(of: "[") else {
            guard type == "double" else {
                throw bad("gives \(name) the type \"\(type)\", expected double, or a tensor such as float32[N]")
            }
            return .number(name)
        }
        let element = trimmed(String(type[..<bracket]))
        guard let elementType = elementTypes.first(where: { $0.rawValue == element }) else {
            let known = elementTypes.map(\.rawValue).joined(separator: ", ")
            throw bad("gives \(name) the element type \"\(element)\", expected one of \(known)")
        }
        guard type.hasSuffix("]") else { throw bad("has no ] after the sizes of \(name)") }
        let inside = String(type[type.index(after: bracket)...].dropLast())
        let sizes = try inside.split(separator: ",", omittingEmptySubsequences: false).map { part -> Size in
            let size = trimmed(String(part))
            if isName(size) { return .named(size) }
            guard let exact = Int(size), exact > 0, exact <= 1 << 28 else {
                throw bad("has the size \"\(size)\" in \(name), expected a name or a number of at least 1")
            }
            return .exact(exact)
        }
        guard sizes.count <= mostDimensions else { throw bad("has \(sizes.count) dimensions in \(name)") }
        return .tensor(TensorArgument(name: name, elementType: elementType, sizes: sizes))
    }
}
