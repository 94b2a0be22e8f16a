import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing

/// Schedules against values that megatron-core 0.16.1 computed (Fixtures/make_schedule_fixtures.py).
@Suite struct LearningRateScheduleTests {
    private static let cases = Result { try Fixtures.cases("recipes/schedules.json", "cases") }

    /// The recipe of a recorded case, whose keys are those of the sections.
    private func recipe(_ recorded: JSON) throws -> Recipe {
        var recipe = Recipe(name: "recorded")
        let settings = try #require(recorded.object)
        for (key, value) in settings where !["learning_rates", "weight_decays"].contains(key) {
            let field = try #require(
                ["optimizer", "scheduler", "train"].compactMap { RecipeTable.field("\($0).\(key)") }.first
            )
            #expect(field.set(value, in: &recipe) == nil)
        }
        return recipe
    }

    @Test func everyStyleIsRecorded() throws {
        let cases = try Self.cases.get()
        let styles = Set(cases.compactMap { $0["lr_decay_style"]?.string })
        #expect(styles == Set(Recipe.SchedulerSection.Style.allCases.map(\.rawValue)))
        let decays = Set(cases.compactMap { $0["lr_wsd_decay_style"]?.string })
        #expect(decays == Set(Recipe.WSDDecay.allCases.map(\.rawValue)))
        let increments = Set(cases.compactMap { $0["weight_decay_incr_style"]?.string })
        #expect(increments == Set(Recipe.WeightDecayStyle.allCases.map(\.rawValue)))
    }

    /// Fractions of a run's steps are the same schedule as their numbers.
    @Test(arguments: ["WSD", "cosine", "linear"]) func fractionsAreNumbersOfSteps(_ style: String) throws {
        func schedule(_ settings: [String]) throws -> LearningRateSchedule {
            var recipe = Recipe(name: "fractions")
            try recipe.apply(
                ["scheduler.lr_decay_style=\(style)", "train.train_iters=80", "optimizer.min_lr=1e-6"] + settings
            )
            return LearningRateSchedule(recipe)
        }
        let fractions = try schedule([
            "scheduler.lr_decay_fraction=0.75", "scheduler.lr_wsd_decay_fraction=0.4",
            "scheduler.lr_warmup_fraction=0.1",
        ])
        let steps = try schedule([
            "scheduler.lr_decay_iters=60", "scheduler.lr_wsd_decay_iters=24", "scheduler.lr_warmup_iters=6",
        ])
        #expect(fractions.decaySteps == 60 && fractions.wsdDecaySteps == 24)
        for step in 0...80 { #expect(fractions.learningRate(at: step) == steps.learningRate(at: step), "step \(step)") }
    }

    @Test(arguments: [
        (["train.train_iters=1"], false), (["train.train_iters=2"], true),
        (["train.train_iters=1", "optimizer.min_lr=1e-6"], true),
        (["train.train_iters=1", "scheduler.lr_decay_style=constant"], true),
        (["train.train_iters=3", "scheduler.lr_decay_iters=1"], false),
    ]) func aRunWhoseEveryRateIsZeroIsRefused(_ settings: [String], _ trains: Bool) throws {
        var recipe = Recipe(name: "rates")
        try recipe.apply(
            ["optimizer.min_lr=0", "scheduler.lr_decay_style=cosine", "scheduler.lr_warmup_iters=0"] + settings
        )
        let steps = recipe.train.trainIters
        let schedule = LearningRateSchedule(recipe)
        #expect((1...steps).contains { schedule.learningRate(at: $0) > 0 } == trains)
        guard !trains else { return try schedule.check(steps: steps) }
        #expect(throws: BridgeError.self) { try schedule.check(steps: steps) }
    }

    @Test(arguments: try cases.get().indices) func everyStepHasTheRecordedValues(_ index: Int) throws {
        let recorded = try Self.cases.get()[index]
        let schedule = LearningRateSchedule(try recipe(recorded))
        let rates = try #require(recorded["learning_rates"]?.array).compactMap { $0.double }
        let decays = try #require(recorded["weight_decays"]?.array).compactMap { $0.double }
        #expect(rates.count == 60 && decays.count == 60)
        for step in rates.indices {
            #expect(abs(schedule.learningRate(at: step) - rates[step]) <= 1e-12 * rates[step], "step \(step)")
            #expect(abs(schedule.weightDecay(at: step) - decays[step]) <= 1e-12 * decays[step], "step \(step)")
        }
    }
}
