import BridgeSupport
import Foundation

/// The schedule of learning rate and weight decay.
///
/// The formulas are those of `OptimizerParamScheduler` in megatron-core 0.16.1, counted in steps; it counts samples, which
/// for a global batch of one size is the same but for `inverse-square-root` without a warm-up, where it begins at the first
/// sample and this at the first step.
public struct LearningRateSchedule: Sendable, Equatable {
    /// The maximum learning rate.
    public var maximum: Double
    /// The minimum learning rate.
    public var minimum: Double
    /// The learning rate before the first step of a warm-up.
    public var initial: Double
    /// The number of warm-up steps; not an integer if it is a fraction of the decay steps.
    public var warmupSteps: Double
    /// The step at which the minimum learning rate is reached; not an integer if it is a fraction of the steps.
    public var decaySteps: Double
    /// The decay style after the warm-up.
    public var style: Recipe.SchedulerSection.Style
    /// The style of WSD's final decay.
    public var wsdStyle: Recipe.WSDDecay
    /// The number of steps of WSD's final decay; not an integer if it is a fraction of the decay steps.
    public var wsdDecaySteps: Double
    /// The weight decay at the first step.
    public var startWeightDecay: Double
    /// The weight decay at the last step.
    public var endWeightDecay: Double
    /// The schedule of the weight decay.
    public var weightDecayStyle: Recipe.WeightDecayStyle
    /// The step at which the final weight decay is reached.
    public var weightDecaySteps: Double

    /// The schedule of a valid recipe; see ``RecipeCheck``.
    ///
    /// - Parameters:
    ///   - optimizer: The rates.
    ///   - scheduler: The schedule.
    ///   - trainIters: The number of steps.
    public init(optimizer: Recipe.OptimizerSection, scheduler: Recipe.SchedulerSection, trainIters: Int) {
        maximum = optimizer.lr
        minimum = optimizer.minLR
        initial = scheduler.lrWarmupInit
        decaySteps = scheduler.decaySteps(of: trainIters)
        warmupSteps =
            scheduler.lrWarmupFraction.map { [decaySteps] in $0 * decaySteps } ?? Double(scheduler.lrWarmupIters)
        style = scheduler.lrDecayStyle
        wsdStyle = scheduler.lrWSDDecayStyle
        wsdDecaySteps =
            scheduler.lrWSDDecayFraction.map { [decaySteps] in $0 * decaySteps }
            ?? Double(scheduler.lrWSDDecayIters ?? 0)
        startWeightDecay = scheduler.startWeightDecay ?? optimizer.weightDecay
        endWeightDecay = scheduler.endWeightDecay ?? optimizer.weightDecay
        weightDecayStyle = scheduler.weightDecayIncrStyle
        weightDecaySteps = Double(trainIters)
    }

    /// The schedule of a recipe.
    public init(_ recipe: Recipe) {
        self.init(optimizer: recipe.optimizer, scheduler: recipe.scheduler, trainIters: recipe.train.trainIters)
    }

    /// The learning rate after a number of steps.
    ///
    /// megatron-core writes the value at `n` into its log line of step `n`, counted from 1, and steps with the value at
    /// `n - 1`, so the first step of a warm-up from 0 has no effect.
    ///
    /// - Parameter step: The number of steps, 0 before the first.
    /// - Returns: The learning rate.
    public func learningRate(at step: Int) -> Double {
        let step = Double(step)
        if warmupSteps > 0, step <= warmupSteps { return initial + (maximum - initial) * step / warmupSteps }
        if style == .constant { return maximum }
        if step > decaySteps { return minimum }
        let part = (step - warmupSteps) / (decaySteps - warmupSteps)
        switch style {
        case .inverseSquareRoot:
            return max(minimum, maximum * max(warmupSteps, 1).squareRoot() / max(step, 1).squareRoot())
        case .constant: return maximum
        case .linear: return between(1 - part)
        case .cosine: return between(0.5 * (cos(.pi * part) + 1))
        case .wsd: return between(stable(step))
        }
    }

    /// Refuses a run in which no step has a learning rate above 0, so that nothing would be trained.
    ///
    /// - Parameter steps: The number of steps of the run.
    /// - Throws: `BridgeError` with what would give it one.
    public func check(steps: Int) throws {
        guard steps > 0, !(1...steps).contains(where: { learningRate(at: $0) > 0 }) else { return }
        throw BridgeError(
            .badArgument,
            "the learning rate is 0 in every step, so nothing would be trained: the run has \(ByteFormat.counted(steps, "step")), and "
                + "optimizer.lr has decayed from \(maximum) to optimizer.min_lr=0 at its end; set scheduler.lr_decay_style=constant "
                + "or optimizer.min_lr, or train for more steps"
        )
    }

    /// The weight decay after a number of steps.
    ///
    /// - Parameter step: The number of steps, 0 before the first.
    /// - Returns: The weight decay, to be multiplied by the learning rate.
    public func weightDecay(at step: Int) -> Double {
        let step = Double(step)
        if step > weightDecaySteps || weightDecayStyle == .constant { return endWeightDecay }
        let part = step / weightDecaySteps
        let share = weightDecayStyle == .linear ? part : 0.5 * (cos(.pi * (1 - part)) + 1)
        return startWeightDecay + share * (endWeightDecay - startWeightDecay)
    }

    private func between(_ share: Double) -> Double { minimum + share * (maximum - minimum) }

    private func stable(_ step: Double) -> Double {
        let start = decaySteps - wsdDecaySteps
        if step <= start { return 1 }
        let part = (step - start) / wsdDecaySteps
        return switch wsdStyle {
        case .linear: 1 - part
        case .cosine: 0.5 * (cos(.pi * part) + 1)
        case .exponential: 2 * pow(0.5, part) - 1
        case .minusSquareRoot: 1 - part.squareRoot()
        }
    }
}
