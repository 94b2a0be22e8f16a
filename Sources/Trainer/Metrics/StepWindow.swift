/// The steps since the last line of a log, with their means.
struct StepWindow {
    /// The steps, in order.
    private(set) var steps: [StepRecord] = []
    /// The number of steps that were skipped.
    private(set) var skipped = 0
    /// The number of steps with a NaN or an infinity.
    private(set) var nan = 0
    private var lossSum = 0.0
    private var lossCount = 0
    private var lastSkipped = 0
    private var lastNaN = 0

    /// Counts a step.
    mutating func add(_ step: StepRecord) {
        steps.append(step)
        let counts = step.skippedIterations == lastSkipped && step.nanIterations == lastNaN
        if counts {
            lossSum += step.loss
            lossCount += 1
        }
        // A resumed process starts with the counts of the run, which may be above zero.
        skipped += max(0, step.skippedIterations - lastSkipped)
        nan += max(0, step.nanIterations - lastNaN)
        (lastSkipped, lastNaN) = (step.skippedIterations, step.nanIterations)
    }

    /// Starts the next window.
    mutating func reset() {
        steps = []
        (skipped, nan, lossSum, lossCount) = (0, 0, 0, 0)
    }

    /// The mean loss of the steps that were neither skipped nor NaN; nil without any.
    var meanLoss: Double? { lossCount > 0 ? lossSum / Double(lossCount) : nil }

    /// The duration of all steps, in seconds.
    var seconds: Double { steps.reduce(0) { $0 + $1.seconds } }

    /// The mean duration of a step, in seconds.
    var meanSeconds: Double { seconds / Double(steps.count) }

    /// Tokens per second; 0 where no time has passed.
    var tokensPerSecond: Double {
        let seconds = seconds
        return seconds > 0 ? steps.reduce(0) { $0 + Double($1.tokens) } / seconds : 0
    }

    /// Floating-point operations per second, in units of 10^12; 0 where no time has passed.
    var teraflops: Double {
        let seconds = seconds
        return seconds > 0 ? steps.reduce(0) { $0 + $1.operations } / seconds / 1e12 : 0
    }

    /// The seconds that the rest of the run takes at this rate, after a step.
    func secondsLeft(after step: StepRecord) -> Double {
        meanSeconds * Double(max(0, step.totalIterations - step.iteration))
    }
}
