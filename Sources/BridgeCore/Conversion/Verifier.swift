import Adapters
public import BridgeSupport
import CTensorKernels
package import CheckpointFormats
import Glibc
public import JSONTree
package import ModelPlugins
public import ModelSchema
import Synchronization
public import TensorFiles
import TensorRuntime

/// A checkpoint of either kind, with its tensors under one set of names.
public struct Checkpoint: Sendable {
    /// Which kind.
    public enum Kind: String, Sendable {
        /// A Hugging Face directory.
        case huggingFace = "huggingface"
        /// A Megatron checkpoint.
        case megatron
    }

    /// The directory.
    public let path: String
    /// Which kind it is.
    public let kind: Kind
    /// The model's architecture.
    public let architecture: String
    /// Whether it holds adapters, with parameters trained in full, and no complete model.
    public let holdsAdapter: Bool
    /// The tensors under Hugging Face's names, in the order of the model; those of adapters under Megatron's.
    public let tensors: [(name: String, view: TensorView)]
    /// The configuration's fields under Megatron-Core's names.
    public let fields: JSONObject
    /// Further facts for display: the layout, the layer count and so on.
    public let facts: [(name: String, value: String)]
    /// The patterns of names that may be missing that have matched one.
    public let usedPatterns: Set<NameGlob>
    /// What is wrong with the files that describe the tensors, one sentence each: they are not as they were written, or missing.
    ///
    /// Every other reader refuses such a checkpoint.
    public let damage: [String]
    /// The bytes of the tensors, if some hold whole numbers of fewer bits.
    private var packedByteCount: Int?

    /// An opened Megatron checkpoint.
    ///
    /// - Parameters:
    ///   - native: The checkpoint.
    ///   - model: The model that it describes.
    /// - Throws: `BridgeError` for a parameter table that does not fit.
    package init(_ native: NativeCheckpoint, model: FamilyModel) throws {
        let parameters = try native.parameters(of: model)
        let views = Dictionary(parameters.map { ($0.name, $0.view) }) { first, _ in first }
        path = native.path
        kind = .megatron
        usedPatterns = []
        damage = native.damage
        architecture = model.architecture
        holdsAdapter = native.manifest.holdsAdapter
        tensors =
            try holdsAdapter
            ? native.parameters.map { ($0.name, $0.view) } : Self.tensors(model, views)
        fields = try holdsAdapter ? Self.adapterFields(native.path) : model.megatronFields()
        facts = [
            ("format", native.formatFact),
            ("layout", native.manifest.layout.description),
            ("written by", native.manifest.plugin), ("tensors", "\(native.parameters.count)"),
        ]
    }

    /// An opened Hugging Face directory.
    ///
    /// - Parameters:
    ///   - directory: The directory.
    ///   - model: The model that it describes.
    ///   - allowMissing: Names of tensors that may be missing.
    /// - Throws: `BridgeError` for tensors that are not accounted for.
    package init(_ directory: HuggingFaceDirectory, model: FamilyModel, allowMissing: [NameGlob]) throws {
        let (parameters, ledger) = try TensorResolver(directory, model, allowed: allowMissing)
            .resolve(model.table(directory.style), source: directory.path)
        usedPatterns = ledger.usedPatterns
        damage = []
        path = directory.path
        kind = .huggingFace
        architecture = model.architecture
        holdsAdapter = false
        tensors = try Self.tensors(
            model,
            Dictionary(parameters.map { ($0.entry.megatron, $0.view) }) { first, _ in first }
        )
        fields = model.megatronFields()
        facts =
            [
                ("format", "\(directory.style.rawValue), \(directory.shards.count) weight files"),
                ("tensors", "\(directory.tensors.count)"),
            ] + Self.packedFacts(tensors.map(\.view))
        if parameters.contains(where: { $0.view.packedBits != nil }) { packedByteCount = directory.byteCount }
    }

    /// The settings of the adapters, without the path of their model.
    private static func adapterFields(_ path: String) throws -> JSONObject {
        let file = Files.join(path, AdapterFiles.configuration)
        // Another program's adapters have no such file: their tensors alone are compared.
        guard Files.exists(file) else { return JSONObject() }
        let json = try JSON(contentsOf: file)
        return JSONObject(
            (json.object ?? JSONObject()).filter { $0.key != "base_model_name_or_path" }.map { ($0.key, $0.value) }
        )
    }

    private static func tensors(
        _ model: FamilyModel,
        _ parameters: [String: TensorView]
    ) throws -> [(name: String, view: TensorView)] {
        // Both sides are laid out as transformers has them, whatever style they are stored in.
        try model.table(.transformers).entries.flatMap { entry -> [(name: String, view: TensorView)] in
            guard let view = parameters[entry.megatron] else { return [] }
            let own = entry.withoutPadding(view)
            return Array(zip(entry.huggingFace, entry.mapping.transform.toHuggingFace(own))).map {
                (name: $0.0, view: $0.1)
            }
        }
    }

    /// The name of the type that a tensor is stored in; its elements may be made of whole numbers of fewer bits.
    public static func typeName(of view: TensorView) -> String {
        view.packedBits.map { "int\($0)" } ?? view.elementType.rawValue
    }

    /// How many matrices are stored in whole numbers of fewer bits, as a fact; none for none.
    private static func packedFacts(_ views: [TensorView]) -> [(name: String, value: String)] {
        let counts = Dictionary(grouping: views.compactMap(\.packedBits), by: \.self).mapValues(\.count)
        guard !counts.isEmpty else { return [] }
        let text = counts.sorted { $0.key < $1.key }.map { "\($0.value) matrices of \($0.key) bits" }
        return [("quantized", text.joined(separator: ", "))]
    }

    /// The number of elements of the tensors.
    public var parameterCount: Int { tensors.reduce(0) { $0 + $1.view.shape.reduce(1, *) } }

    /// The bytes of the tensors together, as they are stored.
    public var byteCount: Int { packedByteCount ?? tensors.reduce(0) { $0 + $1.view.byteCount } }
}

/// Compares two checkpoints of any kind, number by number.
public struct Verifier: Sendable {
    /// The difference of one tensor.
    public struct Row: Sendable, Equatable {
        /// Its name.
        public var name: String
        /// Its shape on the left side, or on the right when it is only there.
        public var shape: [Int]
        /// A description of the difference: "only in A", "shape [2, 3]", "float32 and bfloat16", or the number of
        /// elements.
        public var what: String
        /// The position of the first element that differs, as an index into each dimension.
        public var firstDifference: [Int]?
        /// The largest distance in steps from one number of the type to the next.
        public var maxUlp: UInt64?
        /// The largest absolute difference.
        public var maxGap: Double?
    }

    /// The result of a comparison.
    public struct Result: Sendable, Equatable {
        /// The tensors that differ.
        public var rows: [Row]
        /// The fields of the configurations that differ, with both values.
        public var fields: [String]
        /// The number of tensors that were compared.
        public var compared: Int
        /// The number of tensors of both together.
        public var total: Int
        /// Whether nothing differs.
        public var isEqual: Bool { rows.isEmpty && fields.isEmpty }
    }

    private let left: Checkpoint
    private let right: Checkpoint

    /// A comparison of two checkpoints.
    public init(_ left: Checkpoint, _ right: Checkpoint) {
        self.left = left
        self.right = right
    }

    /// Compares.
    ///
    /// - Parameters:
    ///   - context: Threads, progress and cancellation.
    ///   - ignoringTypes: Whether tensors with the same values match when their types differ.
    /// - Returns: What differs.
    /// - Throws: `BridgeError` when a file cannot be read or the run was cancelled, and for adapters compared with a
    ///   model.
    public func run(_ context: RunContext = RunContext(), ignoringTypes: Bool = false) throws -> Result {
        guard left.holdsAdapter == right.holdsAdapter else {
            let (adapter, model) = left.holdsAdapter ? (left, right) : (right, left)
            throw BridgeError(
                .badArgument,
                "\(adapter.path) holds adapters and \(model.path) a whole model; compare two of a kind, "
                    + "or put the adapters into a model first with 'bridge adapter merge'"
            )
        }
        let others = Dictionary(right.tensors.map { ($0.name, $0.view) }) { first, _ in first }
        let names = Set(left.tensors.map(\.name))
        var rows = right.tensors.filter { !names.contains($0.name) }
            .map { Row(name: $0.name, shape: $0.view.shape, what: "only in \(right.path)") }
        var pairs: [(name: String, left: TensorView, right: TensorView)] = []
        for (name, view) in left.tensors {
            guard let other = others[name] else {
                rows.append(Row(name: name, shape: view.shape, what: "only in \(left.path)"))
                continue
            }
            guard view.shape == other.shape else {
                rows.append(Row(name: name, shape: view.shape, what: "shape \(other.shape) on the other side"))
                continue
            }
            pairs.append((name, view, other))
        }
        rows += try compare(pairs, context, ignoringTypes: ignoringTypes)
        let fields = Set(left.fields.keys).union(right.fields.keys).sorted().compactMap { key -> String? in
            let (one, other) = (left.fields[key], right.fields[key])
            // The type of the weights is compared tensor by tensor.
            guard one != other, key != "params_dtype" else { return nil }
            func text(_ json: JSON?) -> String {
                json.map { $0.compactText } ?? "(none)"
            }
            return "\(key): \(text(one)) and \(text(other))"
        }
        return Result(
            rows: rows,
            fields: fields,
            compared: pairs.count,
            total: names.union(others.keys).count
        )
    }

    private static let pieceElements = 1 << 20

    private func compare(
        _ pairs: [(name: String, left: TensorView, right: TensorView)],
        _ context: RunContext,
        ignoringTypes: Bool
    ) throws -> [Row] {
        let items = pairs.indices.flatMap { pair in
            stride(from: 0, to: pairs[pair].left.shape.reduce(1, *), by: Self.pieceElements).map { (pair, $0) }
        }
        let total = pairs.reduce(0) { $0 + $1.left.byteCount }
        let tally = DifferenceAccumulator(count: pairs.count)
        try Workers.run(
            items: items.count,
            workers: CheckpointWriter.workerCount(context),
            makeState: { PieceComparer() },
            whileWaiting: {
                context.progress?(
                    Progress(activity: "Comparing", doneBytes: min(total, tally.bytes), totalBytes: total)
                )
            },
            body: { state, index in
                try context.cancellation.check()
                let (pair, start) = items[index]
                let (left, right) = (pairs[pair].left, pairs[pair].right)
                let count = min(Self.pieceElements, left.shape.reduce(1, *) - start)
                tally.add(
                    try state.compare(left, right, start..<start + count),
                    to: pair,
                    at: start,
                    bytes: count * left.elementType.byteCount
                )
            }
        )
        return zip(pairs, tally.differences).compactMap { pair, difference in
            let types =
                pair.left.elementType == pair.right.elementType
                ? nil : "\(pair.left.elementType.rawValue) and \(pair.right.elementType.rawValue)"
            guard difference.differing > 0 || (types != nil && !ignoringTypes) else { return nil }
            let count =
                difference.differing > 0 ? ByteFormat.counted(difference.differing, "element") : "the same values"
            return Row(
                name: pair.name,
                shape: pair.left.shape,
                what: [types, count].compactMap { $0 }.joined(separator: ", "),
                firstDifference: difference.differing > 0 ? Self.index(difference.first, in: pair.left.shape) : nil,
                maxUlp: difference.differing > 0 && types == nil ? difference.ulps : nil,
                maxGap: difference.differing > 0 ? difference.gap : nil
            )
        }
    }

    private static func index(_ position: Int, in shape: [Int]) -> [Int] {
        var rest = position
        return shape.reversed().map { size in
            defer { rest /= max(size, 1) }
            return rest % max(size, 1)
        }.reversed()
    }
}

/// A worker's buffers.
private struct PieceComparer: ~Copyable {
    private let reader = TensorReader(readsOnce: true)
    private var one = AlignedBuffer(byteCount: 8 << 20)
    private var other = AlignedBuffer(byteCount: 8 << 20)

    mutating func compare(_ left: TensorView, _ right: TensorView, _ elements: Range<Int>) throws -> ctk_difference {
        // Different types are compared as one that holds both.
        let isWide = [left, right].contains { $0.elementType == .float64 }
        let type = left.elementType == right.elementType ? left.elementType : isWide ? .float64 : .float32
        let (a, b) = (left.cast(to: type), right.cast(to: type))
        let size = a.elementType.byteCount
        let bytes = UnsafeMutableRawBufferPointer(start: one.bytes, count: elements.count * size)
        let others = UnsafeMutableRawBufferPointer(start: other.bytes, count: elements.count * b.elementType.byteCount)
        try reader.read(a, at: elements.lowerBound * size, into: bytes)
        try reader.read(b, at: elements.lowerBound * b.elementType.byteCount, into: others)
        var difference = ctk_difference()
        guard a.elementType == b.elementType else {
            difference.differing = elements.count
            return difference
        }
        if memcmp(one.bytes, other.bytes, bytes.count) == 0 { return difference }
        if let kernel = a.elementType.kernelType {
            ctk_compare(&difference, bytes.baseAddress, others.baseAddress, kernel, elements.count)
        } else {
            let wrong = elements.indices.filter { index in
                let position = (index - elements.lowerBound) * size
                return !bytes[position..<position + size].elementsEqual(others[position..<position + size])
            }
            difference.differing = wrong.count
            difference.first = (wrong.first ?? elements.lowerBound) - elements.lowerBound
        }
        return difference
    }
}

/// The differences found so far, by tensor.
private final class DifferenceAccumulator: Sendable {
    private struct State {
        var found: [ctk_difference]
        var byteCount = 0
    }

    private let state: Mutex<State>

    init(count: Int) { state = Mutex(State(found: Array(repeating: ctk_difference(), count: count))) }

    var differences: [ctk_difference] { state.withLock { $0.found } }
    var bytes: Int { state.withLock { $0.byteCount } }

    func add(_ difference: ctk_difference, to tensor: Int, at start: Int, bytes: Int) {
        state.withLock { state in
            state.byteCount += bytes
            guard difference.differing > 0 else { return }
            let position = start + difference.first
            var found = state.found[tensor]
            found.first = found.differing == 0 ? position : min(found.first, position)
            found.differing += difference.differing
            found.ulps = max(found.ulps, difference.ulps)
            if difference.gap > found.gap || difference.gap.isNaN { found.gap = difference.gap }
            state.found[tensor] = found
        }
    }
}
