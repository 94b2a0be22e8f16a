import CTensorKernels
import Glibc

extension CPUEngine {
    /// The fewest values of an optimizer's state per thread.
    private static let stateGrain = 16384

    /// Each thread takes some rows.
    public func updateOnlineSoftmax(_ softmax: OnlineSoftmax, with columns: LogitColumns) {
        overRows(of: columns) { rows, logits, targets in
            ctk_softmax_sums(
                isa,
                softmax.largest.floatPointer + rows.lowerBound,
                softmax.sums.floatPointer + rows.lowerBound,
                softmax.chosen.floatPointer + rows.lowerBound,
                logits,
                columns.logits.strides[0],
                targets,
                columns.first,
                rows.count,
                columns.logits.shape[1]
            )
        }
    }

    /// Each thread takes some rows.
    public func softmaxGradient(_ columns: LogitColumns, logSums: Tensor, weights: Tensor, into out: Tensor) {
        overRows(of: columns) { rows, logits, targets in
            ctk_softmax_gradient(
                isa,
                out.pointer + rows.lowerBound * out.strides[0] * out.elementType.byteCount,
                out.kernelType,
                out.strides[0],
                logits,
                columns.logits.strides[0],
                logSums.floatPointer + rows.lowerBound,
                weights.floatPointer + rows.lowerBound,
                targets,
                columns.first,
                rows.count,
                columns.logits.shape[1]
            )
        }
    }

    private func overRows(
        of columns: LogitColumns,
        _ body: (Range<Int>, UnsafePointer<Float>, UnsafePointer<Int32>) -> Void
    ) {
        let logits = columns.logits
        let (rows, width) = (logits.shape[0], logits.shape[1])
        guard columns.targets.count == rows else {
            Tensor.fail("softmax", "one target for each row was expected", logits, columns.targets)
        }
        let (numbers, targets) = (logits.floatPointer, columns.targets.indexPointer)
        pool.split(rows, grain: max(1, 4096 / max(width, 1))) {
            body($0, numbers + $0.lowerBound * logits.strides[0], targets + $0.lowerBound)
        }
    }

    /// The same elements for any number of threads.
    public func dropout(_ x: Tensor, probability: Float, stream: RandomStream, into out: Tensor) {
        let x = dense(x)
        let (low, high) = stream.keys
        let limit = UInt32(min(Double(UInt32.max), Double(probability) * 0x1p32))
        pool.split(x.count, grain: Self.stateGrain) { range in
            let bytes = range.lowerBound * x.elementType.byteCount
            ctk_dropout(
                isa,
                out.pointer + bytes,
                x.pointer + bytes,
                x.kernelType,
                range.lowerBound,
                range.count,
                low,
                high,
                limit,
                1 / (1 - probability)
            )
        }
    }

    /// Ranges whose sums are added in order, so that the result depends on the values only.
    public func sumOfSquares(_ x: Tensor, into out: Tensor) {
        guard x.elementType == .float32, out.elementType == .float64, out.count == 1 else {
            Tensor.fail("sumOfSquares", "float32 values and a float64 number were expected", x, out)
        }
        let x = dense(x)
        let length = 1 << 16
        let parts = (x.count + length - 1) / length
        let sums = Tensor(uninitialized: [parts], .float64, on: self)
        pool.run(parts) { part in
            let first = part * length
            ctk_square_sum(isa, sums.doublePointer + part, x.floatPointer + first, min(length, x.count - first))
        }
        out.doublePointer.pointee = UnsafeBufferPointer(start: sums.doublePointer, count: parts).reduce(0, +)
    }

    /// Each thread processes a part of the values.
    public func adamW(
        _ values: Tensor,
        first: Tensor,
        second: Tensor,
        gradient: Tensor,
        model: Tensor?,
        _ step: AdamWStep
    ) {
        var numbers = ctk_adamw_step(
            gradient_scale: step.gradientScale,
            beta1: Float(step.beta1),
            beta2: Float(step.beta2),
            epsilon: Float(step.epsilon),
            decay: Float(1 - step.rate * step.weightDecay),
            rate: Float(step.rate / (1 - pow(step.beta1, Double(step.count)))),
            second_scale: Float(1 / (1 - pow(step.beta2, Double(step.count))).squareRoot())
        )
        withUnsafePointer(to: &numbers) { numbers in
            overParts(of: [values, first, second, gradient], model) { state, model, type, count in
                ctk_adamw(isa, state[0], state[1], state[2], state[3], model, type, count, numbers)
            }
        }
    }

    /// Each thread processes a part of the values.
    public func sgd(
        _ values: Tensor,
        velocity: Tensor,
        gradient: Tensor,
        model: Tensor?,
        _ step: SGDStep
    ) {
        var numbers = ctk_sgd_step(
            gradient_scale: step.gradientScale,
            momentum: step.momentum,
            decay: step.weightDecay,
            rate: step.rate
        )
        withUnsafePointer(to: &numbers) { numbers in
            overParts(of: [values, velocity, gradient], model) { state, model, type, count in
                ctk_sgd(isa, state[0], state[1], state[2], model, type, count, numbers)
            }
        }
    }

    /// Splits float32 tensors of one size, and the parameter in the model's type, among the threads.
    private func overParts(
        of state: [Tensor],
        _ model: Tensor?,
        _ body: ([UnsafeMutablePointer<Float>], UnsafeMutableRawPointer?, ctk_type, Int) -> Void
    ) {
        checkState(state, model)
        pool.split(state[0].count, grain: Self.stateGrain, multiple: 64) { range in
            body(
                state.map { $0.floatPointer + range.lowerBound },
                model.map { $0.pointer + range.lowerBound * $0.elementType.byteCount },
                model?.kernelType ?? CTK_FLOAT32,
                range.count
            )
        }
    }

    private func checkState(_ tensors: [Tensor], _ model: Tensor?) {
        let count = tensors[0].count
        guard tensors.allSatisfy({ $0.count == count && $0.isContiguous && $0.elementType == .float32 }),
            model.map({ $0.count == count && $0.isContiguous && !$0.storage.isReadOnly }) ?? true
        else { Tensor.fail("optimizer", "tensors of one size without gaps were expected", tensors[0], tensors[1]) }
    }
}

extension Tensor {
    /// The memory of a float64 tensor.
    fileprivate var doublePointer: UnsafeMutablePointer<Double> { pointer.assumingMemoryBound(to: Double.self) }
}
