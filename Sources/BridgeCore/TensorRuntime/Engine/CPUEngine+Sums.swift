import CTensorKernels

extension CPUEngine {
    /// The number of values that are added sequentially.
    ///
    /// More become sums of sums, which keeps rounding errors small and gives the threads something to share. The cut
    /// depends on shapes alone, and so does the result.
    private static let addendLimit = 1024

    /// Sums of sums, cut by shape alone.
    public func sum(_ x: Tensor, scale: Float, into out: Tensor) {
        guard out.rank == x.rank, zip(out.shape, x.shape).allSatisfy({ $0 == $1 || $0 == 1 }) else {
            Tensor.fail("sum", "the shapes do not fit", x, out)
        }
        guard out.count > 0 else { return }
        guard x.count > 0 else { return fill(out, with: 0) }
        let reduced = x.shape.indices.filter { out.shape[$0] != x.shape[$0] }
        let kept = x.shape.indices.filter { out.shape[$0] == x.shape[$0] }
        func loops(_ dimensions: [Int], keepsOrder: Bool) -> Loops {
            Loops(
                sizes: dimensions.map { x.shape[$0] },
                strides: [dimensions.map { x.strides[$0] }],
                keepsOrder: keepsOrder
            )
        }
        let (keptLoops, reducedLoops) = (loops(kept, keepsOrder: true), loops(reduced, keepsOrder: false))
        let (count, length) = (keptLoops.count, reducedLoops.count)
        let parts = (length + Self.addendLimit - 1) / Self.addendLimit
        let sums = Tensor(uninitialized: [parts, count], .float32, on: self)
        let columns = max(64, min(count, 65536 / max(min(length, Self.addendLimit), 1)))
        let pieces = (count + columns - 1) / columns
        keptLoops.withKernelLoops { keptLoops in
            reducedLoops.withKernelLoops { reducedLoops in
                pool.run(parts * pieces) { piece in
                    let (part, first) = (piece / pieces, piece % pieces * columns)
                    let start = part * Self.addendLimit
                    ctk_sum(
                        isa,
                        sums.pointer.assumingMemoryBound(to: Float.self) + part * count + first,
                        x.pointer,
                        x.kernelType,
                        keptLoops,
                        first,
                        min(columns, count - first),
                        reducedLoops,
                        start,
                        min(Self.addendLimit, length - start)
                    )
                }
            }
        }
        if parts > 1 {
            let total = Tensor(uninitialized: [1, count], .float32, on: self)
            sum(sums, scale: 1, into: total)
            affine(total.reshaped(out.shape), scale: scale, shift: 0, into: out)
        } else {
            affine(sums.reshaped(out.shape), scale: scale, shift: 0, into: out)
        }
    }
}
