import BridgeCore
import Communication
import JSONTree
import Logging
import TensorRuntime
import TestSupport
import Testing
import Trainer

/// The Chrome trace of a run with several ranks.
@Suite struct TraceTests {
    private struct Event {
        let name: String
        let category: String
        let rank: Int
        let lane: Int
        let start: Int
        let end: Int
        let arguments: JSON

        init(_ json: JSON) throws {
            name = try #require(json["name"]?.string)
            category = try #require(json["cat"]?.string)
            rank = try #require(json["pid"]?.integer)
            lane = try #require(json["tid"]?.integer)
            start = try #require(json["ts"]?.integer)
            end = try start + #require(json["dur"]?.integer)
            arguments = try #require(json["args"])
        }

        func contains(_ other: Event) -> Bool { start <= other.start && other.end <= end }
    }

    /// Trains a toy with two ranks for three steps and reads the trace.
    private func events(_ change: (inout Recipe) -> Void) throws -> [Event] {
        let scratch = try TemporaryDirectory()
        _ = try ToyModel(family: "mistral", options: .init(elementType: .float32)).write(to: scratch.path("toy"))
        var recipe = Recipe(name: "traced")
        recipe.mixedPrecision = .fp32
        (recipe.model.tensorModelParallelSize, recipe.model.pipelineModelParallelSize) = (1, 1)
        (recipe.model.seqLength, recipe.dataset.seqLength) = (32, 32)
        (recipe.train.microBatchSize, recipe.train.globalBatchSize) = (1, 4)
        (recipe.train.trainIters, recipe.train.evalInterval) = (3, 0)
        recipe.scheduler.lrWarmupIters = 0
        (recipe.dataset.datasetType, recipe.dataset.numImages, recipe.dataset.numWorkers) = (.mock, 0, 0)
        recipe.checkpoint.pretrainedCheckpoint = scratch.path("toy")
        (recipe.checkpoint.save, recipe.checkpoint.saveInterval) = (scratch.path("run"), 2)
        change(&recipe)
        let path = scratch.path("trace.json")
        let (chosen, catalog) = (recipe, try PluginCatalog.standard())
        _ = try ThreadWorld.run(2) { world in
            var environment = TrainingRun.Environment(
                catalog: catalog,
                engine: TestEngine.cpu(threadCount: 1),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                today: "2026-01-01"
            )
            environment.world = world
            environment.tracePath = path
            return try TrainingRun(chosen, in: environment).trainer(callbacks: []).run().iteration
        }
        let json = try JSON(contentsOf: path)
        let all = try #require(json["traceEvents"]?.array)
        let names = all.filter { $0["ph"] == "M" && $0["name"] == "process_name" }.map { $0[path: "args.name"]?.string }
        #expect(names == ["rank 0", "rank 1"])
        return try all.filter { $0["ph"] == "X" }.map(Event.init)
    }

    private func expectNesting(_ events: [Event]) {
        for rank in 0..<2 {
            for lane in ChromeTrace.Lane.allCases {
                // Times are whole microseconds, so an event may end where the next begins.
                let own = events.filter { $0.rank == rank && $0.lane == lane.rawValue }
                    .sorted { ($0.start, $1.end) < ($1.start, $0.end) }
                var open: [Event] = []
                for event in own {
                    while let last = open.last, last.end <= event.start { open.removeLast() }
                    #expect(open.last.map { event.end <= $0.end } ?? true, "\(event.name) in \(open.last?.name ?? "")")
                    open.append(event)
                }
            }
        }
    }

    @Test func aStepHasItsPassesCollectivesOptimizerAndSaves() throws {
        let events = try events { $0.checkpoint.asyncSave = true }
        expectNesting(events)
        for rank in 0..<2 {
            let own = events.filter { $0.rank == rank }
            let steps = own.filter { $0.name == "step" }
            #expect(steps.map { $0.arguments["iteration"]?.integer } == [1, 2, 3])
            for step in steps {
                let inside = own.filter { $0.lane == step.lane && $0.name != "step" && step.contains($0) }
                func count(_ name: String) -> Int { inside.count { $0.name == name } }
                // Two micro-batches on each of two copies of the model.
                #expect(count("forward") == 2 && count("backward") == 2 && count("data") == 2)
                #expect(count("optimizer") == 1 && count("reduce gradients") == 1)
                let sums = inside.filter { $0.name == "reduce-scatter" }
                #expect(!sums.isEmpty && sums.allSatisfy { $0.category == "data-parallel" })
                #expect(sums.allSatisfy { ($0.arguments["bytes"]?.integer ?? 0) > 0 && $0.arguments["ranks"] == 2 })
            }
            let saves = own.filter { $0.name == "save" && $0.lane == ChromeTrace.Lane.checkpoint.rawValue }
            #expect(saves.map { $0.arguments["iteration"]?.integer } == [2, 3])
        }
    }

    /// The bytes of a step's gradients are those of the parameters, whichever buckets they are in.
    @Test(arguments: [true, false])
    func sumsBeginBeforeTheBackwardPassEndsWithOverlapOnly(_ overlaps: Bool) throws {
        let events = try events {
            $0.ddp.overlapGradReduce = overlaps
            $0.ddp.overlapParamGather = overlaps
            if overlaps { $0.ddp.bucketSize = 1 }
        }
        expectNesting(events)
        let lane = (overlaps ? ChromeTrace.Lane.overlapped : .computation).rawValue
        for rank in 0..<2 {
            let own = events.filter { $0.rank == rank }
            let starts = own.filter { $0.name == "start gradient sum" }
            let backwards = own.filter { $0.name == "backward" && $0.arguments["microbatch"] == 1 }
            #expect(backwards.count == 3)
            for backward in backwards {
                let inside = starts.filter(backward.contains)
                #expect(overlaps ? inside.count > 5 : inside.isEmpty)
            }
            let collectives = own.filter { $0.lane == lane }
            #expect(collectives.contains { $0.name == "reduce-scatter" })
            #expect(collectives.contains { $0.name == "all-gather" && ($0.arguments["bytes"]?.integer ?? 0) > 1000 })
        }
    }

    @Test func eventsAboveTheLimitAreCounted() throws {
        let scratch = try TemporaryDirectory()
        let trace = ChromeTrace(limit: 3)
        for number in 0..<5 { trace.measure("work", category: "test", [("number", number)]) {} }
        try trace.write(to: scratch.path("trace.json"), ranks: SingleRank())
        let all = try #require(try JSON(contentsOf: scratch.path("trace.json"))["traceEvents"]?.array)
        let numbers = all.compactMap { $0[path: "args.number"]?.integer }
        #expect(numbers == [0, 1, 2])
        #expect(all.first?[path: "args.name"]?.string == "rank 0, 2 later events are missing")
    }
}
