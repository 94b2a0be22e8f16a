import CTensorKernels

extension CPUEngine {
    /// The fewest elements per thread: of operations that only move memory, and of those that compute.
    private static let (lightGrain, heavyGrain) = (32768, 4096)

    /// Copies or converts along the memory of the target.
    public func copy(_ source: Tensor, into target: Tensor) {
        guard source.shape == target.shape else { Tensor.fail("copy", "the shapes differ", source, target) }
        guard target.count > 0 else { return }
        if let view = QuantizedView(source) {
            guard source.elementType != target.elementType || target.strides[1] != 1 else {
                return dequantize(view, into: target)
            }
            let dense = Tensor(uninitialized: source.shape, source.elementType, on: self)
            dequantize(view, into: dense)
            return copy(dense, into: target)
        }
        guard source.elementType == target.elementType else {
            guard source.elementType.isFloatingPoint, target.elementType.isFloatingPoint else {
                Tensor.fail("copy", "these types cannot be converted", source, target)
            }
            return run(CTK_CONVERT, into: [target], source)
        }
        let loops = Loops([target, source])
        loops.withKernelLoops { kernelLoops in
            pool.split(loops.count, grain: Self.lightGrain) { range in
                ctk_copy(
                    target.pointer,
                    source.pointer,
                    target.elementType.byteCount,
                    kernelLoops,
                    range.lowerBound,
                    range.count
                )
            }
        }
    }

    /// Copies one element everywhere.
    public func fill(_ target: Tensor, with value: Float) {
        guard target.count > 0 else { return }
        // One element, expanded, is copied everywhere.
        let element = Tensor(uninitialized: [], .float32, on: self)
        element.pointer.storeBytes(of: value, as: Float.self)
        copy(element.expanded(to: target.shape), into: target)
    }

    /// Computes in float32 and rounds once.
    public func combine(_ operation: BinaryOperation, _ left: Tensor, _ right: Tensor, into out: Tensor) {
        run(operation.kernelOperation, into: [out], left, right)
    }

    /// Computes in float32 and rounds once.
    public func affine(_ x: Tensor, scale: Float, shift: Float, into out: Tensor) {
        run(CTK_AFFINE, scale: scale, shift: shift, into: [out], x)
    }

    /// Computes in float32 and rounds once.
    public func apply(_ function: ElementFunction, _ x: Tensor, into out: Tensor) {
        run(CTK_APPLY, function, into: [out], x)
    }

    /// Computes in float32 and rounds once.
    public func applyBackward(_ function: ElementFunction, _ x: Tensor, _ gradient: Tensor, into out: Tensor) {
        run(CTK_APPLY_BACKWARD, function, into: [out], x, gradient)
    }

    /// Computes in float32 and rounds once.
    public func gated(_ function: ElementFunction, gate: Tensor, up: Tensor, into out: Tensor) {
        run(CTK_GATED, function, into: [out], gate, up)
    }

    /// Both gradients in one pass.
    public func gatedBackward(
        _ function: ElementFunction,
        gate: Tensor,
        up: Tensor,
        gradient: Tensor,
        intoGate: Tensor,
        intoUp: Tensor
    ) {
        run(CTK_GATED_BACKWARD, function, into: [intoGate, intoUp], gate, up, gradient)
    }

    private func run(
        _ operation: ctk_element_operation,
        _ function: ElementFunction? = nil,
        scale: Float = 1,
        shift: Float = 0,
        into outs: [Tensor],
        _ inputs: Tensor...
    ) {
        let operands = outs + inputs
        for operand in operands where operand.shape != outs[0].shape {
            Tensor.fail("\(operation)", "the shapes differ", outs[0], operand)
        }
        guard outs[0].count > 0 else { return }
        func operand<Value>(_ index: Int, _ value: (Tensor) -> Value) -> Value {
            value(operands[min(index, operands.count - 1)])
        }
        func five<Value>(_ value: (Tensor) -> Value) -> (Value, Value, Value, Value, Value) {
            (operand(0, value), operand(1, value), operand(2, value), operand(3, value), operand(4, value))
        }
        var work = ctk_element_work(
            operation: operation,
            function: function?.kernelFunction ?? CTK_RELU,
            scale: scale,
            shift: shift,
            data: five { $0.pointer },
            types: five { $0.kernelType }
        )
        let loops = Loops(operands)
        let grain = function == nil ? Self.lightGrain : Self.heavyGrain
        withUnsafePointer(to: &work) { work in
            loops.withKernelLoops { kernelLoops in
                pool.split(loops.count, grain: grain) { range in
                    ctk_elements(isa, work, kernelLoops, range.lowerBound, range.count)
                }
            }
        }
    }
}

extension BinaryOperation {
    fileprivate var kernelOperation: ctk_element_operation {
        switch self {
        case .add: CTK_ADD
        case .subtract: CTK_SUBTRACT
        case .multiply: CTK_MULTIPLY
        case .divide: CTK_DIVIDE
        }
    }
}

extension ElementFunction {
    fileprivate var kernelFunction: ctk_function {
        switch self {
        case .silu: CTK_SILU
        case .gelu: CTK_GELU
        case .geluTanh: CTK_GELU_TANH
        case .relu: CTK_RELU
        case .tanh: CTK_TANH
        case .exponential: CTK_EXPONENTIAL
        case .logarithm: CTK_LOGARITHM
        case .squareRoot: CTK_SQUARE_ROOT
        }
    }
}
