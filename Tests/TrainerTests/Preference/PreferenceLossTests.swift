import BridgeCore
import Foundation
import Testing
import Trainer

/// The losses of pairs against their formulas as the papers have them, and their slopes against differences.
@Suite struct PreferenceLossTests {
    typealias Answer = PreferenceLoss.Answer

    private func loss(_ type: Recipe.PreferenceSection.LossType, beta: Double = 0.3, smoothing: Double = 0)
        -> PreferenceLoss
    {
        var section = Recipe.PreferenceSection()
        (section.lossType, section.beta, section.labelSmoothing) = (type, beta, smoothing)
        return PreferenceLoss(section)
    }

    private let chosen = Answer(logProbability: -7, reference: -8.5, tokens: 4)
    private let rejected = Answer(logProbability: -5, reference: -4, tokens: 3)

    private func logistic(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

    @Test func dpoIsItsFormula() {
        let z: Double = 0.3 * (1.5 - (-1))
        let plain = loss(.dpo).value(chosen: chosen, rejected: rejected)
        #expect(abs(plain.loss + log(logistic(z))) < 1e-12)
        #expect(abs(plain.chosenReward - 0.45) < 1e-12 && abs(plain.rejectedReward + 0.3) < 1e-12)
        let smooth = loss(.dpo, smoothing: 0.1).value(chosen: chosen, rejected: rejected)
        let expected = -0.9 * log(logistic(z)) - 0.1 * log(logistic(-z))
        #expect(abs(smooth.loss - expected) < 1e-12)
    }

    @Test func ipoIsItsFormula() {
        let distance: Double = 1.5 / 4 - (-1.0) / 3 - 1 / (2 * 0.3)
        #expect(abs(loss(.ipo).value(chosen: chosen, rejected: rejected).loss - distance * distance) < 1e-12)
    }

    @Test func orpoIsItsFormula() {
        func odds(_ answer: Answer) -> Double {
            let p = exp(answer.logProbability / Double(answer.tokens))
            return p / (1 - p)
        }
        let expected = -0.3 * log(logistic(log(odds(chosen) / odds(rejected))))
        let found = loss(.orpo).value(chosen: chosen, rejected: rejected)
        #expect(abs(found.loss - expected) < 1e-12)
        #expect(abs(found.chosenReward + 0.3 * 7 / 4) < 1e-12)
    }

    @Test(arguments: [Recipe.PreferenceSection.LossType.dpo, .ipo, .orpo], [0, 0.2])
    func slopesAreThoseOfTheLoss(_ type: Recipe.PreferenceSection.LossType, _ smoothing: Double) {
        let (loss, step) = (loss(type, smoothing: smoothing), 1e-5)
        func value(_ more: Double, _ other: Double) -> Double {
            var (one, two) = (chosen, rejected)
            one.logProbability += more
            two.logProbability += other
            return loss.value(chosen: one, rejected: two).loss
        }
        let found = loss.value(chosen: chosen, rejected: rejected)
        #expect(abs(found.chosenSlope - (value(step, 0) - value(-step, 0)) / (2 * step)) < 1e-8)
        #expect(abs(found.rejectedSlope - (value(0, step) - value(0, -step)) / (2 * step)) < 1e-8)
    }

    @Test(arguments: [Recipe.PreferenceSection.LossType.dpo, .ipo, .orpo])
    func largeDifferencesStayFinite(_ type: Recipe.PreferenceSection.LossType) {
        for (own, other) in [(-1e-9, -1e5), (-1e5, -1e-9)] {
            let value = loss(type).value(
                chosen: Answer(logProbability: own, tokens: 1),
                rejected: Answer(logProbability: other, tokens: 1)
            )
            #expect(value.loss.isFinite && value.chosenSlope.isFinite && value.rejectedSlope.isFinite)
        }
    }

    @Test func aPairWithoutAnAnswerHasNoLoss() {
        let value = loss(.dpo).value(chosen: chosen, rejected: Answer(logProbability: 0, tokens: 0))
        #expect(value.loss == 0 && value.chosenSlope == 0 && value.rejectedSlope == 0)
    }
}
