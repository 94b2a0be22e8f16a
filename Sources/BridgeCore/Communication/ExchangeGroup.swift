import BridgeSupport
import CTensorKernels
public import TensorRuntime

/// A process group whose collectives are rounds of an exchange.
///
/// Sums are added in float32 in the order of the ranks, so a repeated run has the same bits. The first failure stays: every
/// later call throws it again, also when the first was in a backward pass, which cannot throw.
public final class ExchangeGroup: ProcessGroup {
    private let exchange: any RankExchange
    private let failure = FirstFailure()

    /// A group of connected ranks.
    public init(_ exchange: any RankExchange) { self.exchange = exchange }

    /// This rank within the group.
    public var rank: Int { exchange.rank }
    /// The number of ranks.
    public var size: Int { exchange.size }

    /// Up to this many bytes every rank adds up everything: one round instead of two.
    private static let directByteCount = 64 << 10

    private func guarded<Result>(_ body: () throws -> Result) throws -> Result { try failure.guarding(body) }

    // MARK: Reductions

    /// All-reduce: sums in place.
    public func allReduceSum(_ tensor: Tensor) throws { try guarded { try reduce(tensor, ctk_sum_slots) } }

    /// All-reduce: the largest values in place.
    public func allReduceMax(_ tensor: Tensor) throws { try guarded { try reduce(tensor, ctk_max_slots) } }

    private typealias Reduction = (
        UnsafePointer<UnsafeRawPointer?>?, Int64, Int64, Int32, UnsafeMutableRawPointer?
    ) -> Void

    /// Reduces `byteCount` bytes of each slot.
    private func apply(
        _ reduction: Reduction,
        _ slots: [UnsafeRawPointer],
        byteCount: Int,
        _ type: ElementType,
        into out: UnsafeMutableRawPointer
    ) {
        let count = Int64(byteCount / type.byteCount)
        reduction(slots.map { Optional($0) }, Int64(size), count, type == .bfloat16 ? 1 : 0, out)
    }

    private func reduce(_ tensor: Tensor, _ reduction: Reduction) throws {
        try Self.inPlace(tensor) { bytes, target in
            try reduce(bytes, tensor.elementType, into: target, reduction)
        }
    }

    /// Reduces the bytes of a tensor into its own memory, which may be the same.
    private func reduce(
        _ bytes: UnsafeRawBufferPointer,
        _ type: ElementType,
        into target: UnsafeMutableRawPointer,
        _ reduction: Reduction
    ) throws {
        guard let source = bytes.baseAddress else { return }
        let width = type.byteCount
        for chunk in chunks(of: bytes.count, unit: width) {
            let (own, start) = (source + chunk.lowerBound, target + chunk.lowerBound)
            guard size > 2, chunk.count > Self.directByteCount else {
                try exchange.round(
                    chunk.count,
                    publish: { $0.copyMemory(from: own, byteCount: chunk.count) },
                    read: { apply(reduction, $0, byteCount: chunk.count, type, into: start) }
                )
                continue
            }
            // Each rank adds up one part, then all collect the parts.
            let parts = parts(of: chunk.count / width).map { $0.lowerBound * width..<$0.upperBound * width }
            let part = parts[rank]
            try exchange.round(
                parts: parts,
                publish: { $0.copyMemory(from: own, byteCount: chunk.count) },
                read: { apply(reduction, $0, byteCount: part.count, type, into: start + part.lowerBound) }
            )
            try exchange.round(
                parts.map(\.count).max() ?? 0,
                publish: { $0.copyMemory(from: start + part.lowerBound, byteCount: part.count) },
                read: { slots in
                    for (other, part) in parts.enumerated() where other != rank {
                        (start + part.lowerBound).copyMemory(from: slots[other], byteCount: part.count)
                    }
                }
            )
        }
    }

    /// Sums over all ranks and leaves each its part of dimension 0.
    public func reduceScatterSum(_ tensor: Tensor) throws -> Tensor {
        try guarded {
            let shape = [tensor.shape[0] / size] + tensor.shape.dropFirst()
            let out = Tensor(uninitialized: shape, tensor.elementType, on: tensor.engine)
            let width = tensor.elementType.byteCount
            try Self.copying(tensor, to: out) { bytes, result in
                guard let source = bytes.baseAddress, let target = result.baseAddress else { return }
                let limit = max(width, exchange.slotByteCount / size / width * width)
                for first in stride(from: 0, to: result.count, by: limit) {
                    let count = min(limit, result.count - first)
                    try exchange.round(
                        parts: (0..<size).map { $0 * count..<($0 + 1) * count },
                        publish: { slot in
                            for part in 0..<size {
                                (slot + part * count).copyMemory(
                                    from: source + part * result.count + first,
                                    byteCount: count
                                )
                            }
                        },
                        read: { apply(ctk_sum_slots, $0, byteCount: count, tensor.elementType, into: target + first) }
                    )
                }
            }
            return out
        }
    }

    /// Sums in place, each rank those of its rows.
    public func reduceScatterSum(_ tensor: Tensor, rows: [Range<Int>]) throws {
        try guarded {
            let width = tensor.elementType.byteCount
            let ranges = Self.byteRanges(rows, of: tensor)
            try Self.inPlace(tensor) { bytes, target in
                guard let source = bytes.baseAddress else { return }
                for chunk in chunks(of: bytes.count, unit: width) {
                    let part = ranges[rank].clamped(to: chunk)
                    try exchange.round(
                        parts: ranges.map { range in
                            let part = range.clamped(to: chunk)
                            return part.lowerBound - chunk.lowerBound..<part.upperBound - chunk.lowerBound
                        },
                        publish: { $0.copyMemory(from: source + chunk.lowerBound, byteCount: chunk.count) },
                        read: { slots in
                            guard !part.isEmpty else { return }
                            apply(
                                ctk_sum_slots,
                                slots,
                                byteCount: part.count,
                                tensor.elementType,
                                into: target + part.lowerBound
                            )
                        }
                    )
                }
            }
        }
    }

    /// The ranges of the bytes of rows.
    private static func byteRanges(_ rows: [Range<Int>], of tensor: Tensor) -> [Range<Int>] {
        let width = tensor.shape.dropFirst().reduce(tensor.elementType.byteCount, *)
        return rows.map { $0.lowerBound * width..<$0.upperBound * width }
    }

    // MARK: Copies

    /// All-gather in place: the rows of each rank.
    public func allGather(_ tensor: Tensor, rows: [Range<Int>]) throws {
        try guarded {
            let ranges = Self.byteRanges(rows, of: tensor)
            try Self.inPlace(tensor) { bytes, target in
                guard let source = bytes.baseAddress else { return }
                // Every rank publishes as much of its rows in a round.
                let limit = exchange.slotByteCount
                for first in stride(from: 0, to: ranges.map(\.count).max() ?? 0, by: limit) {
                    func part(_ rank: Int) -> Range<Int> {
                        let range = ranges[rank]
                        let start = min(range.lowerBound + first, range.upperBound)
                        return start..<min(start + limit, range.upperBound)
                    }
                    let own = part(rank)
                    try exchange.round(
                        (0..<size).map { part($0).count }.max() ?? 0,
                        publish: { $0.copyMemory(from: source + own.lowerBound, byteCount: own.count) },
                        read: { slots in
                            for other in 0..<size {
                                let range = part(other)
                                (target + range.lowerBound).copyMemory(from: slots[other], byteCount: range.count)
                            }
                        }
                    )
                }
            }
        }
    }

    /// All-gather: concatenates along dimension 0.
    public func allGather(_ tensor: Tensor) throws -> Tensor {
        try guarded {
            let shape = [tensor.shape[0] * size] + tensor.shape.dropFirst()
            let out = Tensor(uninitialized: shape, tensor.elementType, on: tensor.engine)
            try Self.copying(tensor, to: out) { bytes, result in
                guard let source = bytes.baseAddress, let target = result.baseAddress else { return }
                for chunk in chunks(of: bytes.count, unit: 1) {
                    try exchange.round(
                        chunk.count,
                        publish: { $0.copyMemory(from: source + chunk.lowerBound, byteCount: chunk.count) },
                        read: { slots in
                            for (other, slot) in slots.enumerated() {
                                (target + other * bytes.count + chunk.lowerBound).copyMemory(
                                    from: slot,
                                    byteCount: chunk.count
                                )
                            }
                        }
                    )
                }
            }
            return out
        }
    }

    /// Broadcast: gives all ranks the tensor of one, in place.
    public func broadcast(_ tensor: Tensor, from root: Int) throws {
        try guarded {
            try Self.inPlace(tensor) { bytes, target in
                guard let source = bytes.baseAddress else { return }
                for chunk in chunks(of: bytes.count, unit: 1) {
                    try exchange.round(
                        from: root,
                        chunk.count,
                        publish: { $0.copyMemory(from: source + chunk.lowerBound, byteCount: chunk.count) },
                        // The source writes as well: its memory may not be what it read from.
                        read: { (target + chunk.lowerBound).copyMemory(from: $0, byteCount: chunk.count) }
                    )
                }
            }
        }
    }

    /// The bytes of every rank, in the order of the ranks; their numbers may differ.
    public func allGather(_ bytes: [UInt8]) throws -> [[UInt8]] {
        try guarded {
            var counts: [Int] = []
            try exchange.round(
                8,
                publish: { $0.storeBytes(of: bytes.count, as: Int.self) },
                read: { counts = $0.map { $0.load(as: Int.self) } }
            )
            var found = [[UInt8]](repeating: [], count: size)
            for chunk in chunks(of: counts.max() ?? 0, unit: 1) {
                func part(_ count: Int) -> Range<Int> { chunk.clamped(to: 0..<max(count, 0)) }
                try exchange.round(
                    chunk.count,
                    publish: { slot in
                        bytes[part(bytes.count)].withUnsafeBytes {
                            if let start = $0.baseAddress { slot.copyMemory(from: start, byteCount: $0.count) }
                        }
                    },
                    read: { slots in
                        for (other, slot) in slots.enumerated() {
                            found[other] += UnsafeRawBufferPointer(start: slot, count: part(counts[other]).count)
                        }
                    }
                )
            }
            return found
        }
    }

    /// Returns when all ranks have called it.
    public func barrier() throws { try guarded { try exchange.round(0, publish: { _ in }, read: { _ in }) } }

    // MARK: Messages

    /// Gives a tensor to a rank of the group.
    public func send(_ tensor: Tensor, to rank: Int, tag: Int) throws {
        try guarded {
            let dense = tensor.detached.contiguous()
            try dense.engine.download(dense) { try exchange.send($0, to: rank, tag: tag) }
        }
    }

    /// Takes a tensor from a rank of the group, in place.
    public func receive(_ tensor: Tensor, from rank: Int, tag: Int) throws {
        try guarded { try tensor.engine.upload(tensor) { try exchange.receive(into: $0, from: rank, tag: tag) } }
    }

    // MARK: Parts

    /// Calls `body` with the bytes of a tensor without gaps, and with memory for its new ones.
    private static func inPlace(
        _ tensor: Tensor,
        _ body: (UnsafeRawBufferPointer, UnsafeMutableRawPointer) throws -> Void
    ) throws {
        guard tensor.isContiguous else {
            throw BridgeError(
                .badArgument,
                "a collective in place needs a tensor without gaps, not of strides \(tensor.strides)"
            )
        }
        try tensor.engine.download(tensor) { bytes in
            try tensor.engine.upload(tensor) { target in if let start = target.baseAddress { try body(bytes, start) } }
        }
    }

    /// Calls `body` with the bytes of a tensor, and with memory for those of another.
    private static func copying(
        _ tensor: Tensor,
        to out: Tensor,
        _ body: (UnsafeRawBufferPointer, UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        let dense = tensor.detached.contiguous()
        try dense.engine.download(dense) { bytes in try out.engine.upload(out) { try body(bytes, $0) } }
    }

    /// The ranges of bytes that fit a slot, each a multiple of `unit`.
    private func chunks(of count: Int, unit: Int) -> [Range<Int>] {
        let limit = max(unit, exchange.slotByteCount / unit * unit)
        return stride(from: 0, to: count, by: limit).map { $0..<min($0 + limit, count) }
    }
}
