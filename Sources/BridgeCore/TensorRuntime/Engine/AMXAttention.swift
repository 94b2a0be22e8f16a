import CTensorKernels

/// Attention for bfloat16 in Intel's AMX tiles, forward and backward.
///
/// A sample's group of heads, whose query heads share keys and values, is one piece of work where there are enough of
/// them for all threads. Otherwise they share the work on one group after the other. Results are the same to the bit.
struct AMXAttention {
    private let engine: CPUEngine
    private let samples, keys, groups, width: Int
    /// The rows of a group: those of its query heads.
    private let rows: Int

    /// Attention with some operands; nil where the other kernels do it.
    init?(_ operands: AttentionOperands, on engine: CPUEngine) {
        let (query, key) = (operands.query, operands.key)
        guard engine.isa == CTK_AMX, query.elementType == .bfloat16, query.shape[1] >= CTK_AMX_ATTENTION_ROWS else {
            return nil
        }
        self.engine = engine
        (samples, width) = (query.shape[0], query.shape[3])
        (keys, groups) = (key.shape[1], key.shape[2])
        rows = query.shape[1] * query.shape[2] / groups
    }

    /// Whether threads would not wait long for one that has a group more than the others.
    private var takesWholeGroups: Bool {
        let (count, threads) = (samples * groups, engine.pool.threadCount)
        return count % threads == 0 || count >= 4 * threads
    }

    private func scratch(_ byteCount: Int) -> Tensor { Tensor(uninitialized: [byteCount], .uint8, on: engine) }

    private static func parts(_ count: Int, of size: Int) -> Int { (count + size - 1) / size }

    /// Does the parts of two phases of work on each group: for a whole group, or the threads together.
    private func forEachGroup(
        _ work: (Int) -> ctk_attention,
        packedBytes: Int,
        packing: (Int, pack: (borrowing ctk_attention, Int, Tensor, Int) -> Void),
        whole: (borrowing ctk_attention, Int, Tensor) -> Void,
        pieces: (Int, run: (borrowing ctk_attention, Int, Tensor, Int) -> Void)
    ) {
        let pool = engine.pool
        if takesWholeGroups {
            pool.run(samples * groups) { position in
                let (work, group, packed) = (work(position / groups), position % groups, scratch(packedBytes))
                for part in 0..<packing.0 { packing.pack(work, group, packed, part) }
                whole(work, group, packed)
            }
            return
        }
        let packed = scratch(packedBytes)
        for position in 0..<samples * groups {
            let (work, group) = (work(position / groups), position % groups)
            pool.run(packing.0) { packing.pack(work, group, packed, $0) }
            pool.run(pieces.0) { pieces.run(work, group, packed, $0) }
        }
    }

    /// The result, and the logarithms of the softmax's sums.
    ///
    /// - Parameter work: The work on a sample.
    func run(_ work: (Int) -> ctk_attention) {
        let (step, height) = (CTK_AMX_ATTENTION_KEYS, CTK_AMX_ATTENTION_ROWS)
        let blocks = Self.parts(rows, of: height)
        let scratchBytes = ctk_amx_attention_scratch(width)
        func attend(_ work: borrowing ctk_attention, _ group: Int, _ packed: Tensor, _ block: Int, _ memory: Tensor) {
            withUnsafePointer(to: work) {
                ctk_amx_attention($0, group, packed.pointer, block * height, memory.pointer)
            }
        }
        forEachGroup(
            work,
            packedBytes: ctk_amx_attention_packed(keys, width),
            packing: (
                Self.parts(keys, of: step),
                { work, group, packed, part in
                    withUnsafePointer(to: work) { ctk_amx_attention_pack(packed.pointer, $0, group, part * step) }
                }
            ),
            whole: { work, group, packed in
                let memory = scratch(scratchBytes)
                for block in 0..<blocks { attend(work, group, packed, block, memory) }
            },
            // The last blocks of causal attention see the most keys, so they begin.
            pieces: (blocks, { attend($0, $1, $2, blocks - 1 - $3, scratch(scratchBytes)) })
        )
    }

    /// The gradients of queries, keys, and values.
    ///
    /// - Parameter work: The work on a sample, whose `delta` is known.
    func runBackward(_ work: (Int) -> ctk_attention) {
        let (keyStep, rowStep) = (CTK_AMX_GRADIENT_KEYS, CTK_AMX_GRADIENT_ROWS)
        let (keyPieces, rowPieces) = (Self.parts(keys, of: keyStep), Self.parts(rows, of: rowStep))
        let strips = Self.parts(keys, of: 32) + Self.parts(rows, of: 32)
        func run(
            _ work: borrowing ctk_attention,
            _ group: Int,
            _ packed: Tensor,
            keys: Range<Int>,
            rows: Range<Int>,
            intoKeys: Bool,
            intoRows: Bool
        ) {
            let memory = scratch(ctk_amx_gradients_scratch(rows.count, width))
            withUnsafePointer(to: work) {
                ctk_amx_gradients(
                    $0,
                    group,
                    packed.pointer,
                    keys.lowerBound,
                    keys.count,
                    rows.lowerBound,
                    rows.count,
                    intoKeys,
                    intoRows,
                    memory.pointer
                )
            }
        }
        forEachGroup(
            work,
            packedBytes: ctk_amx_gradients_packed(rows, keys, width),
            packing: (
                strips,
                { work, group, packed, part in
                    withUnsafePointer(to: work) { ctk_amx_gradients_pack(packed.pointer, $0, group, part) }
                }
            ),
            whole: { run($0, $1, $2, keys: 0..<keys, rows: 0..<rows, intoKeys: true, intoRows: true) },
            pieces: (
                keyPieces + rowPieces,
                { work, group, packed, piece in
                    if piece < keyPieces {
                        let range = piece * keyStep..<min((piece + 1) * keyStep, keys)
                        run(work, group, packed, keys: range, rows: 0..<rows, intoKeys: true, intoRows: false)
                    } else {
                        let first = (piece - keyPieces) * rowStep
                        let range = first..<min(first + rowStep, rows)
                        run(work, group, packed, keys: 0..<keys, rows: range, intoKeys: false, intoRows: true)
                    }
                }
            )
        )
    }
}
