import Glibc
import Synchronization

@testable import TensorRuntime

/// The processor behind memory that cannot be touched: an operation opens the memory of its operands and closes it again.
///
/// It stands for an engine whose memory the host does not see. A read or write outside of the engine, or of a tensor that
/// is not among an operation's operands, ends the process.
final class GuardedEngine: TensorEngine {
    private let base: any TensorEngine
    /// How many operations under way use each memory.
    private let users = Mutex<[ObjectIdentifier: Int]>([:])

    init(_ base: any TensorEngine) { self.base = base }

    var name: String { "guarded \(base.name)" }

    // MARK: Memory

    func makeStorage(byteCount: Int, for engine: any TensorEngine) -> TensorStorage {
        map(byteCount, for: engine, isReadOnly: false)
    }

    /// A copy, as an engine makes that cannot read a mapped file.
    func makeStorage(
        mapping bytes: UnsafeRawBufferPointer,
        owner: any AnyObject & Sendable,
        for engine: any TensorEngine
    ) -> TensorStorage {
        let storage = map(bytes.count, for: engine, isReadOnly: true)
        guard let memory = storage.hostAddress else { return storage }
        mprotect(memory, Self.size(bytes.count), PROT_READ | PROT_WRITE)
        UnsafeMutableRawBufferPointer(start: memory, count: bytes.count).copyMemory(from: bytes)
        mprotect(memory, Self.size(bytes.count), PROT_NONE)
        return storage
    }

    /// Memory of the other engine, which does not guard it.
    func makeStorage(for matrix: QuantizedMatrix, as type: ElementType, engine: any TensorEngine) -> TensorStorage {
        base.makeStorage(for: matrix, as: type, engine: engine)
    }

    func quantize(_ source: Tensor, into matrix: QuantizedMatrix) {
        using([source, matrix.values, matrix.scales]) { base.quantize(source, into: matrix) }
    }

    func upload(_ tensor: Tensor, _ write: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        try using([tensor]) { try base.upload(tensor, write) }
    }

    func download(_ tensor: Tensor, _ read: (UnsafeRawBufferPointer) throws -> Void) rethrows {
        try using([tensor]) { try base.download(tensor, read) }
    }

    private static func size(_ byteCount: Int) -> Int {
        let page = Int(getpagesize())
        return max(1, (byteCount + page - 1) / page) * page
    }

    private func map(_ byteCount: Int, for engine: any TensorEngine, isReadOnly: Bool) -> HostStorage {
        let size = Self.size(byteCount)
        guard let memory = mmap(nil, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), memory != MAP_FAILED else {
            preconditionFailure("no memory for \(size) bytes")
        }
        return HostStorage(memory, byteCount: byteCount, engine: engine, isReadOnly: isReadOnly) { munmap($0, size) }
    }

    /// Opens the memory of tensors while `body` runs.
    private func using(_ tensors: [Tensor?], _ body: () throws -> Void) rethrows {
        let storages = tensors.compactMap { $0?.storage }
        func change(_ step: Int) {
            users.withLock { users in
                for storage in storages {
                    let count = users[ObjectIdentifier(storage), default: 0] + step
                    users[ObjectIdentifier(storage)] = count > 0 ? count : nil
                    let open = storage.isReadOnly ? PROT_READ : PROT_READ | PROT_WRITE
                    mprotect(storage.hostAddress, Self.size(storage.byteCount), count > 0 ? open : PROT_NONE)
                }
            }
        }
        change(1)
        defer { change(-1) }
        try body()
    }

    // MARK: Operations

    func copy(_ source: Tensor, into target: Tensor) { using([source, target]) { base.copy(source, into: target) } }

    func fill(_ target: Tensor, with value: Float) { using([target]) { base.fill(target, with: value) } }

    func combine(_ operation: BinaryOperation, _ left: Tensor, _ right: Tensor, into out: Tensor) {
        using([left, right, out]) { base.combine(operation, left, right, into: out) }
    }

    func affine(_ x: Tensor, scale: Float, shift: Float, into out: Tensor) {
        using([x, out]) { base.affine(x, scale: scale, shift: shift, into: out) }
    }

    func apply(_ function: ElementFunction, _ x: Tensor, into out: Tensor) {
        using([x, out]) { base.apply(function, x, into: out) }
    }

    func applyBackward(_ function: ElementFunction, _ x: Tensor, _ gradient: Tensor, into out: Tensor) {
        using([x, gradient, out]) { base.applyBackward(function, x, gradient, into: out) }
    }

    func gated(_ function: ElementFunction, gate: Tensor, up: Tensor, into out: Tensor) {
        using([gate, up, out]) { base.gated(function, gate: gate, up: up, into: out) }
    }

    func gatedBackward(
        _ function: ElementFunction,
        gate: Tensor,
        up: Tensor,
        gradient: Tensor,
        intoGate: Tensor,
        intoUp: Tensor
    ) {
        using([gate, up, gradient, intoGate, intoUp]) {
            base.gatedBackward(
                function,
                gate: gate,
                up: up,
                gradient: gradient,
                intoGate: intoGate,
                intoUp: intoUp
            )
        }
    }

    func sum(_ x: Tensor, scale: Float, into out: Tensor) { using([x, out]) { base.sum(x, scale: scale, into: out) } }

    func multiply(_ left: Tensor, _ right: Tensor, into out: Tensor, adding: Bool) {
        using([left, right, out]) { base.multiply(left, right, into: out, adding: adding) }
    }

    func multiply(_ lefts: [Tensor], _ right: Tensor, into outs: [Tensor], adding: [Bool]) {
        using(lefts + [right] + outs) { base.multiply(lefts, right, into: outs, adding: adding) }
    }

    func multiplySum(_ lefts: [Tensor], _ rights: [Tensor], into out: Tensor) {
        using(lefts + rights + [out]) { base.multiplySum(lefts, rights, into: out) }
    }

    func sumsProducts(of type: ElementType) -> Bool { base.sumsProducts(of: type) }

    func project(_ x: Tensor, _ weights: [Tensor], into outs: [Tensor]) {
        using([x] + weights + outs) { base.project(x, weights, into: outs) }
    }

    func rmsNorm(_ x: Tensor, weight: Tensor, _ form: RMSNormOptions, into out: Tensor, inverseRoot: Tensor) {
        using([x, weight, out, inverseRoot]) {
            base.rmsNorm(x, weight: weight, form, into: out, inverseRoot: inverseRoot)
        }
    }

    func rmsNormBackward(
        _ x: Tensor,
        weight: Tensor,
        _ form: RMSNormOptions,
        inverseRoot: Tensor,
        gradient: Tensor,
        into out: Tensor,
        intoGain: Tensor?
    ) {
        using([x, weight, inverseRoot, gradient, out, intoGain]) {
            base.rmsNormBackward(
                x,
                weight: weight,
                form,
                inverseRoot: inverseRoot,
                gradient: gradient,
                into: out,
                intoGain: intoGain
            )
        }
    }

    func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into out: Tensor, moments: Tensor) {
        using([x, weight, bias, out, moments]) {
            base.layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: out, moments: moments)
        }
    }

    func layerNormBackward(
        _ x: Tensor,
        weight: Tensor,
        moments: Tensor,
        gradient: Tensor,
        into out: Tensor,
        intoGain: Tensor?,
        intoBias: Tensor?
    ) {
        using([x, weight, moments, gradient, out, intoGain, intoBias]) {
            base.layerNormBackward(
                x,
                weight: weight,
                moments: moments,
                gradient: gradient,
                into: out,
                intoGain: intoGain,
                intoBias: intoBias
            )
        }
    }

    func rotate(_ x: Tensor, cosines: Tensor, sines: Tensor, inverse: Bool, into out: Tensor) {
        using([x, cosines, sines, out]) {
            base.rotate(x, cosines: cosines, sines: sines, inverse: inverse, into: out)
        }
    }

    private static func tensors(_ operands: AttentionOperands) -> [Tensor?] {
        let (queries, keys) = (operands.mask.queries, operands.mask.keys)
        return [operands.query, operands.key, operands.value]
            + [queries, keys].flatMap { [$0.positions, $0.segments, $0.blocks] }
    }

    func attention(_ operands: AttentionOperands, into out: Tensor, logSumExp: Tensor?) {
        using(Self.tensors(operands) + [out, logSumExp]) { base.attention(operands, into: out, logSumExp: logSumExp) }
    }

    func attentionBackward(
        _ operands: AttentionOperands,
        out: Tensor,
        logSumExp: Tensor,
        gradient: Tensor,
        into gradients: AttentionGradients
    ) {
        let results = [out, logSumExp, gradient, gradients.query, gradients.key, gradients.value]
        using(Self.tensors(operands) + results) {
            base.attentionBackward(operands, out: out, logSumExp: logSumExp, gradient: gradient, into: gradients)
        }
    }

    func updateOnlineSoftmax(_ softmax: OnlineSoftmax, with columns: LogitColumns) {
        using([softmax.largest, softmax.sums, softmax.chosen, columns.logits, columns.targets]) {
            base.updateOnlineSoftmax(softmax, with: columns)
        }
    }

    func softmaxGradient(_ columns: LogitColumns, logSums: Tensor, weights: Tensor, into out: Tensor) {
        using([columns.logits, columns.targets, logSums, weights, out]) {
            base.softmaxGradient(columns, logSums: logSums, weights: weights, into: out)
        }
    }

    func dropout(_ x: Tensor, probability: Float, stream: RandomStream, into out: Tensor) {
        using([x, out]) { base.dropout(x, probability: probability, stream: stream, into: out) }
    }

    func sumOfSquares(_ x: Tensor, into out: Tensor) { using([x, out]) { base.sumOfSquares(x, into: out) } }

    func adamW(_ values: Tensor, first: Tensor, second: Tensor, gradient: Tensor, model: Tensor?, _ step: AdamWStep) {
        using([values, first, second, gradient, model]) {
            base.adamW(values, first: first, second: second, gradient: gradient, model: model, step)
        }
    }

    func sgd(_ values: Tensor, velocity: Tensor, gradient: Tensor, model: Tensor?, _ step: SGDStep) {
        using([values, velocity, gradient, model]) {
            base.sgd(values, velocity: velocity, gradient: gradient, model: model, step)
        }
    }

    func gatherRows(_ table: Tensor, _ rows: Tensor, into out: Tensor) {
        using([table, rows, out]) { base.gatherRows(table, rows, into: out) }
    }

    func scatterAddRows(_ x: Tensor, _ rows: Tensor, into table: Tensor) {
        using([x, rows, table]) { base.scatterAddRows(x, rows, into: table) }
    }
}
