import Glibc

public struct LearningRateSchedule: Sendable {
    let o: Recipe.OptimizerSection
    let s: Recipe.SchedulerSection
    let iters: Int
    public init(optimizer: Recipe.OptimizerSection, scheduler: Recipe.SchedulerSection, trainIters: Int) throws {
        (o, s, iters) = (optimizer, scheduler, trainIters)
    }
    public func learningRate(at step: Int) -> Double {
        if step <= s.lrWarmupIters, s.lrWarmupIters > 0 { return s.lrWarmupInit + (o.lr - s.lrWarmupInit) * Double(step) / Double(s.lrWarmupIters) }
        let decay = s.lrDecayIters ?? iters
        if s.lrDecayStyle == .constant { return o.lr }
        if step > decay { return o.minLR }
        let p = Double(step - s.lrWarmupIters) / Double(max(decay - s.lrWarmupIters, 1))
        return o.minLR + (o.lr - o.minLR) * 0.5 * (cos(.pi * p) + 1)
    }
    public func weightDecay(at step: Int) -> Double { o.weightDecay }
}
