import BridgeCore
import Communication
import Synchronization
import TensorRuntime

/// The gradients of a run in buckets, which the ranks with the same parameters sum, and the parameters that they gather.
///
/// With `ddp.overlap_grad_reduce` a bucket is summed on a thread of its own as soon as the last backward pass of a step has
/// the gradients of all its parameters, and with `ddp.overlap_param_gather` the forward pass waits for a bucket where it
/// reads its first parameter. Sums are float32, element by element and in the order of the ranks, so that neither buckets nor
/// overlap change a bit.
///
/// Source: `_ParamAndGradBucketGroup`, megatron/core/distributed/param_and_grad_buffer.py, 0.20.
final class GradientBuckets {
    private let buckets: [GradientBucket]
    /// The buckets before this one can be summed before the backward pass ends; of the others, ranks along other axes have
    /// parts of the gradients.
    private let firstLate: Int
    private let bucketOfAccumulator: [ObjectIdentifier: Int]
    private let section: Recipe.DDPSection
    private let group: any ProcessGroup
    private let world: any ProcessGroup
    /// The thread of collectives that overlap; nil without any.
    private let queue: CollectiveQueue?
    private let overlapsGather: Bool
    private let trace: ChromeTrace?

    /// The parameters of each bucket without a gradient so far in this step.
    private var missing: [Set<ObjectIdentifier>] = []
    /// The first bucket whose sum has not begun.
    private var next = 0

    /// Buckets of all trained parameters.
    ///
    /// - Parameters:
    ///   - slots: The parameters, in the order of the forward pass.
    ///   - section: The settings.
    ///   - isDistributed: Whether each rank needs the sums of its own rows only.
    ///   - groups: The ranks of the run.
    ///   - trace: The trace of the run; nil for none.
    init(
        _ slots: [OptimizerSlot],
        _ section: Recipe.DDPSection,
        isDistributed: Bool,
        groups: ProcessGroupCollection,
        trace: ChromeTrace?
    ) {
        (self.section, self.trace) = (section, trace)
        group = groups.overlapped
        world = groups.world
        let overlaps = section.overlaps && group.size > 1
        queue = overlaps ? CollectiveQueue() : nil
        overlapsGather = overlaps && section.overlapParamGather && isDistributed
        // The backward pass begins with the last parameters.
        let (late, early) = slots.reversed().partitioned { $0.parameter.gradientReduction != nil }
        let size = overlaps ? section.bucketSize(ranks: group.size) : .max
        let make = { (slots: [OptimizerSlot]) in
            GradientBucket(slots, isDistributed: isDistributed, checks: section.checkForNanInGrad)
        }
        let first = Self.divided(early, size).map(make)
        firstLate = first.count
        buckets = first + Self.divided(late, size).map(make)
        var places: [ObjectIdentifier: Int] = [:]
        for (index, bucket) in buckets.enumerated() {
            for slot in bucket.slots { places[ObjectIdentifier(slot.gradient)] = index }
            guard overlapsGather else { continue }
            for slot in bucket.slots { slot.parameter.awaitValues = { [arrival = bucket.arrival] in arrival.wait() } }
        }
        bucketOfAccumulator = places
    }

    /// Parameters in their order, in runs of at least `size` elements.
    private static func divided(_ slots: [OptimizerSlot], _ size: Int) -> [[OptimizerSlot]] {
        var (found, count) = ([[OptimizerSlot]](), Int.max)
        for slot in slots {
            if count >= size {
                found.append([])
                count = 0
            }
            found[found.count - 1].append(slot)
            count += slot.values.count
        }
        return found
    }

    /// Begins a step without gradients.
    func clear() {
        for bucket in buckets { for slot in bucket.slots { slot.gradient.clear() } }
        missing = buckets.map { Set($0.slots.map { ObjectIdentifier($0.gradient) }) }
        next = 0
    }

    /// The last backward pass of the step has the gradient of a parameter.
    func isComplete(_ accumulator: GradientAccumulator) {
        guard queue != nil, section.overlapGradReduce else { return }
        let key = ObjectIdentifier(accumulator)
        guard let index = bucketOfAccumulator[key], index < missing.count else { return }
        missing[index].remove(key)
        // All ranks begin the sums in one order, also where a rank has the gradients in another.
        while next < firstLate, missing[next].isEmpty { start() }
    }

    private func start() {
        let (bucket, group) = (buckets[next], group)
        next += 1
        for slot in bucket.slots { slot.gradient.zeroIfEmpty() }
        let facts = [("bucket", next - 1), ("parameters", bucket.slots.reduce(0) { $0 + $1.values.count })]
        trace.measure("start gradient sum", category: ProcessGroupCollection.overlappedName, facts) {
            _ = queue?.start { try bucket.reduce(over: group) }
        }
    }

    /// Sums what is left after the backward passes, and waits for all sums.
    ///
    /// - Throws: What a group throws, and the error of a gradient that is not finite.
    func finish() throws {
        while next < buckets.count {
            let bucket = buckets[next]
            for slot in bucket.slots {
                slot.gradient.zeroIfEmpty()
                try slot.parameter.gradientReduction?.reduce(slot.gradient.sum)
            }
            guard queue == nil else {
                start()
                continue
            }
            next += 1
            try bucket.reduce(over: group)
        }
        try queue?.wait()
        if section.checkForNanInGrad { try checkForNaN() }
    }

    /// Refuses a gradient that is not finite on any rank; all ranks throw the same error.
    private func checkForNaN() throws {
        let own = buckets.lazy.compactMap(\.notFinite).first ?? ""
        let names = try world.allGather(Array(own.utf8))
        guard let rank = names.firstIndex(where: { !$0.isEmpty }) else { return }
        throw BridgeError(
            .trainingDiverged,
            "the gradient of \(String(decoding: names[rank], as: UTF8.self)) on rank \(rank) is not finite; lower optimizer.lr, "
                + "look at the samples of this step, or set ddp.check_for_nan_in_grad=false to skip such steps"
        )
    }

    /// Gathers the rows of the parameters that each rank has updated.
    ///
    /// - Throws: What the group throws.
    func gatherValues() throws {
        // The forward pass begins with the first parameters, which the last buckets have.
        for bucket in buckets.reversed() {
            let group = group
            guard overlapsGather, let queue else {
                // The thread of the queue uses the group as well, and has nothing to do now.
                try bucket.gather(over: group)
                continue
            }
            bucket.arrival.isPending(queue.start { try bucket.gather(over: group) })
        }
    }

    /// Waits for the rows of all parameters.
    ///
    /// - Throws: What the group throws.
    func awaitValues() throws { if overlapsGather { try queue?.wait() } }
}

/// Parameters whose gradients are summed together.
final class GradientBucket: Sendable {
    let slots: [OptimizerSlot]
    let arrival = ParameterArrival()
    private let isDistributed: Bool
    private let checks: Bool
    private let found = Mutex<String?>(nil)

    init(_ slots: [OptimizerSlot], isDistributed: Bool, checks: Bool) {
        (self.slots, self.isDistributed, self.checks) = (slots, isDistributed, checks)
    }

    /// The first parameter whose gradient on this rank was not finite in the last step; nil when all were.
    var notFinite: String? { found.withLock { $0 } }

    /// Sums the gradients of all ranks: all of them, or with a distributed optimizer this rank's rows.
    func reduce(over group: any ProcessGroup) throws {
        // In the sum it could not be told whose gradient it was.
        if checks { check() }
        guard isDistributed else { return try group.allReduceSum(slots.map(\.gradient.sum)) }
        for slot in slots { try group.reduceScatterSum(slot.gradient.sum, rows: slot.parts) }
    }

    /// Gathers the rows of the parameters that each rank has updated.
    func gather(over group: any ProcessGroup) throws {
        for slot in slots { try group.allGather(slot.values, rows: slot.parts) }
    }

    private func check() {
        guard let engine = slots.first?.gradient.sum.engine else { return }
        let sums = Tensor(uninitialized: [slots.count], .float64, on: engine)
        for (index, slot) in slots.enumerated() {
            engine.sumOfSquares(slot.gradient.sum, into: sums.narrowed(0, to: index..<index + 1))
        }
        let index = sums.doubles().firstIndex { !$0.isFinite }
        found.withLock { $0 = index.map { slots[$0].parameter.name } }
    }
}

/// The gathering of a bucket's parameters, which the forward pass waits for.
final class ParameterArrival: Sendable {
    private let pending = Mutex<CollectiveQueue.Pending?>(nil)

    func isPending(_ collective: CollectiveQueue.Pending) { pending.withLock { $0 = collective } }

    /// Waits for the parameters.
    ///
    /// A failed group throws at its next use, which is before the step changes a parameter.
    func wait() {
        guard let collective = pending.withLock({ $0 }) else { return }
        try? collective.wait()
    }
}

extension Sequence {
    /// The elements that fulfil a condition and the others, each in their order.
    fileprivate func partitioned(_ condition: (Element) -> Bool) -> (matching: [Element], others: [Element]) {
        var (matching, others) = ([Element](), [Element]())
        for element in self {
            if condition(element) { matching.append(element) } else { others.append(element) }
        }
        return (matching, others)
    }
}
