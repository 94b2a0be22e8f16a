import BridgeSupport
public import JSONTree
public import TensorRuntime

/// The header of a safetensors file: which tensors it holds and where.
///
/// Format: an unsigned 64-bit little-endian length, that many bytes of JSON, then the tensors' bytes without a gap.
/// Source: safetensors' README, 0.8.
public struct SafetensorsHeader: Sendable {
    /// A tensor of the file.
    public struct Entry: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// The type of its elements.
        public var elementType: ElementType
        /// Its sizes.
        public var shape: [Int]
        /// The range of its bytes, from the end of the header.
        public var range: Range<Int>
    }

    /// The largest header that is read, in bytes; safetensors' own limit.
    public static let largestHeader = 100_000_000
    /// The most tensors of one file; the largest models that are published have fewer in all their files together.
    public static let mostTensors = 1 << 18

    /// The tensors in the order of their bytes.
    public var entries: [Entry]
    /// The text values under `__metadata__`, in order.
    public var metadata: JSONObject
    /// The JSON as it stood in the file, spaces at its end included; nil for a header that was not read from one.
    public private(set) var text: [UInt8]?

    /// A header for tensors that are written one after the other.
    public init(tensors: [(name: String, elementType: ElementType, shape: [Int])], metadata: JSONObject = JSONObject())
    {
        var offset = 0
        entries = tensors.map { tensor in
            let count = tensor.shape.reduce(tensor.elementType.byteCount, *)
            defer { offset += count }
            return Entry(
                name: tensor.name,
                elementType: tensor.elementType,
                shape: tensor.shape,
                range: offset..<offset + count
            )
        }
        self.metadata = metadata
    }

    /// The total bytes of the tensors.
    public var dataByteCount: Int { entries.last?.range.upperBound ?? 0 }

    /// Reads the JSON of a header.
    ///
    /// - Parameters:
    ///   - text: The JSON.
    ///   - name: The file, for messages.
    /// - Throws: `BridgeError` for an invalid header, and for tensors with gaps or overlaps.
    public init(parsing text: [UInt8], name: String) throws {
        guard text.count <= Self.largestHeader else {
            throw BridgeError(
                .corruptInput,
                "\(name) has a header of \(text.count) bytes; at most \(Self.largestHeader) are allowed"
            )
        }
        var (entries, metadata) = ([Entry](), JSONObject())
        var seen: Set<[UInt8]> = []
        var members = try Self.read(name) { () throws(JSONError) in try JSONMembers(text) }
        // Member by member: a tree of all of them would take many times as much memory as the entries.
        while let (key, value) = try Self.read(name, { () throws(JSONError) in try members.next() }) {
            guard seen.insert(Array(key.utf8)).inserted else {
                throw BridgeError(.corruptInput, "the key \"\(key)\" is twice in the header of \(name)")
            }
            if key == "__metadata__" {
                // The same as no metadata, in safetensors' own reader.
                if value.isNull { continue }
                guard let members = value.object, members.allSatisfy({ $0.value.string != nil }) else {
                    throw BridgeError(.corruptInput, "__metadata__ in the header of \(name) must hold strings only")
                }
                metadata = members
            } else {
                guard entries.count < Self.mostTensors else {
                    throw BridgeError(
                        .corruptInput,
                        "the header of \(name) lists more than \(Self.mostTensors) tensors, which no model has; it is "
                            + "damaged, or not a file with a model"
                    )
                }
                entries.append(try Self.entry(key, value, name: name))
            }
        }
        entries.sort { ($0.range.lowerBound, $0.range.upperBound) < ($1.range.lowerBound, $1.range.upperBound) }
        var end = 0
        for entry in entries {
            guard entry.range.lowerBound == end else {
                let what = entry.range.lowerBound < end ? "overlaps the tensor before it" : "leaves a gap before it"
                throw BridgeError(
                    .corruptInput,
                    "the tensor \(entry.name) in \(name) starts at byte \(entry.range.lowerBound), expected \(end): it \(what)"
                )
            }
            end = entry.range.upperBound
        }
        self.entries = entries
        self.metadata = metadata
        self.text = text
    }

    /// The bytes before the tensors: the length and the JSON.
    ///
    /// - Parameter alignment: The JSON is filled up with spaces so that the tensors start at a multiple of this.
    /// - Returns: The bytes.
    public func prefix(alignment: Int = 8) -> [UInt8] {
        var json = text ?? self.json.text(pretty: false)
        if text == nil {
            json += [UInt8](repeating: 0x20, count: (alignment - (json.count + 8) % alignment) % alignment)
        }
        return withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init) + json
    }

    private var json: JSON {
        var object = JSONObject()
        if !metadata.isEmpty { object["__metadata__"] = .object(metadata) }
        for entry in entries {
            object[entry.name] = [
                "dtype": .string(entry.elementType.safetensorsName),
                "shape": .array(entry.shape.map { .number(JSONNumber($0)) }),
                "data_offsets": .array([
                    .number(JSONNumber(entry.range.lowerBound)), .number(JSONNumber(entry.range.upperBound)),
                ]),
            ]
        }
        return .object(object)
    }

    private static func read<Result>(
        _ name: String,
        _ body: () throws(JSONError) -> Result
    ) throws -> Result {
        do throws(JSONError) { return try body() } catch {
            throw BridgeError(.corruptInput, "the header of \(name) is not valid JSON: \(error)")
        }
    }

    private static func entry(_ tensor: String, _ value: JSON, name: String) throws -> Entry {
        func corrupt(_ what: String) -> BridgeError {
            BridgeError(.corruptInput, "the tensor \(tensor) in the header of \(name) \(what)")
        }
        guard let dtype = value["dtype"]?.string, let elementType = ElementType(safetensorsName: dtype) else {
            throw corrupt(
                "has the dtype \(value["dtype"].map { String(decoding: $0.text(pretty: false), as: UTF8.self) } ?? "(none)"), which is not known"
            )
        }
        guard let sizes = value["shape"]?.array, let shape = try? sizes.map({ try Self.size($0) }) else {
            throw corrupt("has no shape of whole numbers that are not negative")
        }
        guard let offsets = value["data_offsets"]?.array, offsets.count == 2,
            let range = try? (Self.size(offsets[0]), Self.size(offsets[1])), range.0 <= range.1
        else { throw corrupt("has no data_offsets of two ascending integers") }
        guard let count = elementType.byteCount(ofShape: shape) else {
            throw corrupt("has the shape \(shape), which no memory can hold")
        }
        guard range.1 - range.0 == count else {
            throw corrupt("has \(range.1 - range.0) bytes, but the shape \(shape) of \(dtype) takes \(count)")
        }
        return Entry(name: tensor, elementType: elementType, shape: shape, range: range.0..<range.1)
    }

    private struct NotASize: Error {}

    private static func size(_ value: JSON) throws -> Int {
        guard case .number(let number) = value, let size = Int(number.text), size >= 0 else { throw NotASize() }
        return size
    }
}

extension ElementType {
    /// The bytes of a tensor; nil when that, or the product of some of its sizes, does not fit into an `Int`.
    ///
    /// A size of 0 makes a tensor empty, but it does not make the width of its rows a number that fits.
    package func byteCount(ofShape shape: [Int]) -> Int? {
        var count = byteCount
        for size in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: max(size, 1))
            if overflow { return nil }
            count = product
        }
        return shape.contains(0) ? 0 : count
    }

    /// The name in a safetensors header.
    public var safetensorsName: String {
        switch self {
        case .float32: "F32"
        case .bfloat16: "BF16"
        case .float16: "F16"
        case .float64: "F64"
        case .float8E4M3: "F8_E4M3"
        case .float8E5M2: "F8_E5M2"
        case .int64: "I64"
        case .int32: "I32"
        case .int16: "I16"
        case .int8: "I8"
        case .uint64: "U64"
        case .uint32: "U32"
        case .uint16: "U16"
        case .uint8: "U8"
        case .bool: "BOOL"
        }
    }

    /// The type with a name from a safetensors header.
    public init?(safetensorsName: String) {
        guard let type = Self.allCases.first(where: { $0.safetensorsName == safetensorsName }) else { return nil }
        self = type
    }
}
