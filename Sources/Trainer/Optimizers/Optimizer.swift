public import BridgeCore
public import TensorRuntime

/// The parameters that a run trains, each with its main numbers, its gradient and what the optimizer keeps for it.
///
/// A bfloat16 parameter has main numbers of its own in float32; a float32 parameter is its own.
public final class Optimizer {
    private struct Slot {
        let parameter: Parameter
        let gradient: GradientAccumulator
        let main: Tensor
        let first: Tensor
        /// AdamW's mean square; nil for gradient descent.
        let second: Tensor?

        /// What the forward pass computes with, where that is not `main` itself.
        var model: Tensor? { parameter.tensor.elementType == .float32 ? nil : parameter.tensor }
        /// Vectors, such as norms and biases, do not decay.
        var decays: Bool { main.rank > 1 }
    }

    private let section: Recipe.OptimizerSection
    private let slots: [Slot]
    private let engine: any TensorEngine
    /// How many steps have been done.
    public private(set) var stepCount = 0

    /// An optimizer for the trainable ones among some parameters.
    ///
    /// - Parameters:
    ///   - section: Which optimizer, with which numbers.
    ///   - parameters: Parameters, the frozen ones left aside.
    ///   - engine: What computes.
    /// - Throws: `BridgeError` when nothing is trained.
    public init(_ section: Recipe.OptimizerSection, _ parameters: [Parameter], on engine: any TensorEngine) throws {
        self.section = section
        self.engine = engine
        slots = parameters.filter(\.isTrainable).map { parameter in
            parameter.makeWritable()
            let shape = parameter.tensor.shape
            func zeros() -> Tensor { .zeros(shape, .float32, on: engine) }
            return Slot(
                parameter: parameter,
                gradient: parameter.accumulateGradients(),
                main: parameter.tensor.detached.cast(to: .float32),
                first: zeros(),
                second: section.optimizer == .adam ? zeros() : nil
            )
        }
        guard !slots.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "nothing is trained: every part of the model is frozen and there are no adapters; "
                    + "take back one of the freeze options or choose a PEFT scheme"
            )
        }
    }

    /// How many numbers are trained.
    public var parameterCount: Int { slots.reduce(0) { $0 + $1.main.count } }

    /// Forgets all gradients.
    public func clearGradients() { for slot in slots { slot.gradient.clear() } }

    /// The L2 norm of all gradients together, in their order, so that it is the same on every run.
    public func gradientNorm() -> Double {
        slots.reduce(0) { sum, slot in
            slot.gradient.zeroIfEmpty()
            return sum + engine.sumOfSquares(slot.gradient.sum)
        }.squareRoot()
    }

    /// The L2 norm of all main parameters together.
    public func parametersNorm() -> Double {
        slots.reduce(0) { $0 + engine.sumOfSquares($1.main) }.squareRoot()
    }

    /// The gradients, for whoever wants to look at them.
    public var gradients: [(name: String, sum: Tensor)] { slots.map { ($0.parameter.name, $0.gradient.sum) } }

    /// Changes all parameters by their gradients.
    ///
    /// - Parameters:
    ///   - rate: The learning rate.
    ///   - weightDecay: What matrices shrink by, times the learning rate.
    ///   - gradientScale: What gradients are multiplied by first.
    public func step(rate: Double, weightDecay: Double, gradientScale: Double) {
        stepCount += 1
        for slot in slots {
            slot.gradient.zeroIfEmpty()
            let decay = slot.decays ? weightDecay : 0
            guard let second = slot.second else {
                engine.sgd(
                    slot.main,
                    velocity: slot.first,
                    gradient: slot.gradient.sum,
                    model: slot.model,
                    SGDStep(
                        gradientScale: Float(gradientScale),
                        rate: Float(rate),
                        momentum: Float(section.sgdMomentum),
                        weightDecay: Float(decay)
                    )
                )
                continue
            }
            engine.adamW(
                slot.main,
                first: slot.first,
                second: second,
                gradient: slot.gradient.sum,
                model: slot.model,
                AdamWStep(
                    gradientScale: Float(gradientScale),
                    rate: rate,
                    beta1: section.adamBeta1,
                    beta2: section.adamBeta2,
                    epsilon: section.adamEps,
                    weightDecay: decay,
                    count: stepCount
                )
            )
        }
    }

    /// What a checkpoint keeps of the optimizer.
    public var moments: [TrainingState.Moment] {
        slots.flatMap { slot -> [TrainingState.Moment] in
            let name = slot.parameter.name
            var moments = [
                TrainingState.Moment(
                    kind: slot.second == nil ? "momentum" : "exp_avg",
                    parameter: name,
                    tensor: slot.first
                )
            ]
            if let second = slot.second { moments.append(.init(kind: "exp_avg_sq", parameter: name, tensor: second)) }
            if slot.model != nil { moments.append(.init(kind: "main", parameter: name, tensor: slot.main)) }
            return moments
        }
    }

    /// Goes on from a checkpoint whose numbers are in the tensors of ``moments``.
    ///
    /// - Parameter stepCount: How many steps had been done.
    public func resume(after stepCount: Int) { self.stepCount = stepCount }

    /// Takes the main numbers anew from the parameters, which were filled from somewhere.
    public func takeParameters() {
        for slot in slots where slot.model != nil { engine.copy(slot.parameter.tensor.detached, into: slot.main) }
    }
}
