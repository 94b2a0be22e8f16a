import Foundation

/// Learning rate and weight decay, step by step.
///
/// The formulas are those of `OptimizerParamScheduler` in megatron-core 0.16.1, counted in steps; it counts samples, which
/// for a global batch of one size is the same but for `inverse-square-root` without a warm-up, where it begins at the first
/// sample and this at the first step.
public struct LearningRateSchedule: Sendable, Equatable {
    /// The highest learning rate.
    public var maximum: Double
    /// The lowest learning rate.
    public var minimum: Double
    /// The learning rate before the first step of a warm-up.
    public var initial: Double
    /// How many steps the warm-up has; a fraction of the decay need not be a whole number of them.
    public var warmupSteps: Double
    /// At which step the lowest rate is reached.
    public var decaySteps: Double
    /// The course behind the warm-up.
    public var style: Recipe.SchedulerSection.Style
    /// The course of the decay of WSD.
    public var wsdStyle: Recipe.WSDDecay
    /// How many steps the decay of WSD has.
    public var wsdDecaySteps: Double
    /// The weight decay at the beginning.
    public var startWeightDecay: Double
    /// The weight decay at the end.
    public var endWeightDecay: Double
    /// The course of the weight decay.
    public var weightDecayStyle: Recipe.WeightDecayStyle
    /// At which step the weight decay at the end is reached.
    public var weightDecaySteps: Double

    /// The schedule of a recipe that ``RecipeCheck`` finds nothing wrong with.
    ///
    /// - Parameters:
    ///   - optimizer: The rates.
    ///   - scheduler: Their course.
    ///   - trainIters: How many steps there are.
    public init(optimizer: Recipe.OptimizerSection, scheduler: Recipe.SchedulerSection, trainIters: Int) {
        maximum = optimizer.lr
        minimum = optimizer.minLR
        initial = scheduler.lrWarmupInit
        decaySteps = Double(scheduler.lrDecayIters ?? trainIters)
        warmupSteps =
            scheduler.lrWarmupFraction.map { [decaySteps] in $0 * decaySteps } ?? Double(scheduler.lrWarmupIters)
        style = scheduler.lrDecayStyle
        wsdStyle = scheduler.lrWSDDecayStyle
        wsdDecaySteps = Double(scheduler.lrWSDDecayIters ?? 0)
        startWeightDecay = scheduler.startWeightDecay ?? optimizer.weightDecay
        endWeightDecay = scheduler.endWeightDecay ?? optimizer.weightDecay
        weightDecayStyle = scheduler.weightDecayIncrStyle
        weightDecaySteps = Double(trainIters)
    }

    /// The schedule of a recipe.
    public init(_ recipe: Recipe) {
        self.init(optimizer: recipe.optimizer, scheduler: recipe.scheduler, trainIters: recipe.train.trainIters)
    }

    /// The learning rate when so many steps are counted.
    ///
    /// megatron-core writes the value at `n` into its log line of step `n`, counted from 1, and steps with the value at
    /// `n - 1`, so that a warm-up from 0 makes its first step one of no effect.
    ///
    /// - Parameter step: The count, 0 before the first step.
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

    /// The weight decay when so many steps are counted.
    ///
    /// - Parameter step: The count, 0 before the first step.
    /// - Returns: What parameters shrink by, times the learning rate.
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
