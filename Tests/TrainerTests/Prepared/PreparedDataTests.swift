import BridgeCore
import Foundation
import JSONTree
import TensorFiles
import TestSupport
import Testing

@testable import Trainer

/// Prepared data gives the samples of the data set, and fits one model, its settings and its content only.
@Suite struct PreparedDataTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    private var root: String { directory.path("prepared") }

    private func samples(_ recipe: Recipe) throws -> [[TrainingSample]] {
        let source = try PreparedSupport.opener(recipe).training()
        return try (0..<source.count).map { try source.samples(at: $0) }
    }

    private enum Form: String, CaseIterable {
        case conversations, roles, tokens, table, pairs, pairsWithPrompts
    }

    private func recipe(_ model: String, _ form: Form) throws -> Recipe {
        let isPair = form == .pairs || form == .pairsWithPrompts
        let data = try PreparedSupport.rows(directory, images: model != "mistral", pairs: isPair)
        var recipe = PreparedSupport.recipe(model, data)
        switch form {
        case .conversations: break
        case .roles: recipe.dataset.rolesToTrain = ["user", "assistant"]
        case .pairs: recipe.preference.lossType = .dpo
        case .pairsWithPrompts: (recipe.preference.lossType, recipe.dataset.lossMode) = (.orpo, .full)
        case .table:
            let rows = try PreparedSupport.rows(directory, images: false, name: "plain.jsonl")
            recipe.dataset.pathOrDataset = try PreparedSupport.table(directory, from: rows)
            (recipe.dataset.datasetType, recipe.dataset.makerName) = (.hf, "make_conversation_dataset")
            (recipe.dataset.trainDataPath, recipe.dataset.imageFolder) = ("", "")
        case .tokens:
            // The samples of the conversations, as rows of tokens.
            let rows = try samples(recipe).enumerated().map { number, samples in
                let media = samples[0].images.isEmpty ? "" : #", "images": ["rgb.png"]"#
                return "{\"input_ids\": \(samples[0].tokens), \"labels\": \(samples[0].labels)\(media)}"
            }
            recipe.dataset.trainDataPath = try directory.write(
                Array(rows.joined(separator: "\n").utf8),
                to: "tokens.jsonl"
            )
            recipe.dataset.datasetType = .tokenized
        }
        return recipe
    }

    private static let cases = ["mistral", "ministral3", "gemma3"].flatMap { model in
        Form.allCases.map { (model, $0) }
    }

    @Test(arguments: cases)
    private func preparedSamplesAreThoseOfTheDataSet(_ model: String, _ form: Form) throws {
        var recipe = try recipe(model, form)
        let expected = try samples(recipe)
        #expect(expected.count == 12 && expected.allSatisfy { $0.count == (form.rawValue.hasPrefix("pairs") ? 2 : 1) })
        // A few rows in each file.
        let results = try PreparedSupport.prepare(recipe, in: root, shardByteCount: 4000)
        #expect(results.count == 1 && results[0].isNew && results[0].data.shards.count > 1)
        recipe.dataset.preparedPath = root
        #expect(try samples(recipe) == expected)
        let source = try PreparedSupport.opener(recipe).training()
        for (row, samples) in expected.enumerated() {
            #expect(try source.lengths(at: row) == samples.map(\.tokens.count))
        }
        let counts = results[0].data.counts
        let all = expected.flatMap(\.self)
        #expect(counts.rows == 12 && counts.samples == all.count)
        #expect(counts.tokens == all.reduce(0) { $0 + $1.tokens.count })
        #expect(counts.supervised == all.reduce(0) { $0 + $1.supervisedCount })
        #expect(counts.images == all.reduce(0) { $0 + $1.images.count })
        #expect(counts.longest == all.map(\.tokens.count).max())
    }

    /// Losses and weights of a run are the same to the bit, with several data sets that are filtered, divided and joined.
    @Test(arguments: ["mistral", "gemma3"]) func aRunHasTheSameBits(_ model: String) throws {
        let (one, two) = try (
            PreparedSupport.rows(directory, images: model == "gemma3"),
            PreparedSupport.rows(directory, count: 7, images: false, name: "more.jsonl")
        )
        var recipe = PreparedSupport.recipe(model, "")
        recipe.dataset.source = [one, two]
        (recipe.dataset.valSetSize, recipe.dataset.exactDeduplication) = (2, true)
        (recipe.dataset.blend, recipe.dataset.sourceWeights) = (.allExhausted, [2, 1])
        (recipe.train.evalInterval, recipe.train.evalIters) = (2, 1)
        recipe.dataset.excessLengthStrategy = .drop
        let expected = try PreparedSupport.run(recipe)
        _ = try expected.trainer.run()
        #expect(try PreparedSupport.prepare(recipe, in: root).map(\.isNew) == [true, true])
        recipe.dataset.preparedPath = root
        let found = try PreparedSupport.run(recipe)
        _ = try found.trainer.run()
        #expect(found.log.losses == expected.log.losses && found.log.losses.count == 4)
        #expect(found.log.validations.map(\.loss) == expected.log.validations.map(\.loss))
        #expect(!found.log.validations.isEmpty)
        #expect(PreparedSupport.weights(found.run) == PreparedSupport.weights(expected.run))
    }

    @Test func validationSplitsArePreparedToo() throws {
        var recipe = try recipe("mistral", .table)
        let results = try PreparedSupport.prepare(recipe, in: root, validates: true)
        #expect(results.map(\.name) == ["train", "validation"].map { "\(recipe.dataset.pathOrDataset) (\($0))" })
        recipe.dataset.preparedPath = root
        let opener = try PreparedSupport.opener(recipe)
        #expect(try opener.validation().first?.samples is PreparedSource)
        try FileManager.default.removeItem(atPath: directory.path("table/validation.jsonl"))
        #expect(try opener.validation().isEmpty)
    }

    // MARK: Keys

    private struct Change: Sendable {
        let name: String
        let words: String
        let apply: @Sendable (inout Recipe, TemporaryDirectory) throws -> Void
    }

    private static let changes = [
        Change(name: "supervised tokens", words: "dataset.loss_mode: assistant when it was prepared, full now") {
            recipe,
            _ in
            recipe.dataset.lossMode = .full
        },
        Change(name: "roles", words: "dataset.roles_to_train: none when it was prepared, assistant, user now") {
            recipe,
            _ in
            recipe.dataset.rolesToTrain = ["user", "gpt"]
        },
        Change(name: "model", words: "tokenizer.json: ") { recipe, _ in
            recipe.checkpoint.pretrainedCheckpoint = Fixtures.checkpoint("mistral-tied")
        },
        Change(name: "chat template", words: "chat_template.jinja: ") { recipe, directory in
            let model = directory.path("model")
            try FileManager.default.copyItem(atPath: Fixtures.checkpoint("mistral"), toPath: model)
            let path = "\(model)/chat_template.jinja"
            let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? "{{ messages[0]['content'] }}"
            try directory.write(Array("{# changed #}\(text)".utf8), to: "model/chat_template.jinja")
            recipe.checkpoint.pretrainedCheckpoint = model
        },
        Change(name: "content", words: "the content of ") { recipe, directory in
            let path = recipe.dataset.trainDataPath
            let text = try String(contentsOfFile: path, encoding: .utf8)
            try directory.write(Array(text.replacing("Answer", with: "answer").utf8), to: "rows.jsonl")
        },
        Change(name: "pairs", words: "rows: samples when it was prepared, pairs now") { recipe, _ in
            recipe.preference.lossType = .dpo
        },
    ]

    @Test(arguments: changes)
    private func dataThatDoesNotFitIsRefusedAndPreparedAgain(_ change: Change) throws {
        var recipe = try recipe("mistral", .conversations)
        let first = try PreparedSupport.prepare(recipe, in: root)[0].data
        #expect(try PreparedSupport.prepare(recipe, in: root).map(\.isNew) == [false])
        try change.apply(&recipe, directory)
        recipe.dataset.preparedPath = root
        let error = #expect(throws: BridgeError.self, "\(change.name)") {
            try PreparedSupport.opener(recipe).training()
        }
        #expect(error?.message.contains("run 'bridge data prepare' with the settings of the run") == true)
        #expect(
            error?.names.contains { $0.hasPrefix(first.path) && $0.contains(change.words) } == true,
            "\(error?.names ?? [])"
        )
        guard change.name != "pairs" else { return }
        let second = try PreparedSupport.prepare(recipe, in: root)[0]
        #expect(second.isNew && second.data.key != first.key)
        #expect(try PreparedSupport.opener(recipe).training().count == 12)
    }

    /// Settings that change which samples a run uses, and how, do not change them.
    @Test func settingsThatChangeNoTokensKeepTheKey() throws {
        var recipe = try recipe("ministral3", .conversations)
        let first = try PreparedSupport.prepare(recipe, in: root)[0]
        (recipe.dataset.seqLength, recipe.dataset.maxSamples, recipe.rng.seed) = (64, 5, 9)
        (recipe.dataset.shuffle, recipe.dataset.packedSequenceSize, recipe.optimizer.lr) = (false, 64, 1)
        let second = try PreparedSupport.prepare(recipe, in: root)[0]
        #expect(!second.isNew && second.data.key == first.data.key)
        // A file with another name and time, and the same content.
        let other = directory.path("other.jsonl")
        try FileManager.default.copyItem(atPath: recipe.dataset.trainDataPath, toPath: other)
        recipe.dataset.trainDataPath = other
        #expect(try !PreparedSupport.prepare(recipe, in: root)[0].isNew)
    }

    /// The template of Ministral 3 writes the date, that of Gemma 3 does not.
    @Test(arguments: [("ministral3", true), ("gemma3", false)])
    func theDateIsPartOfTheKeyWhereTheTemplateWritesIt(_ model: String, _ matters: Bool) throws {
        var recipe = try recipe(model, .conversations)
        try PreparedSupport.prepare(recipe, in: root)
        recipe.dataset.date = "2026-01-03"
        recipe.dataset.preparedPath = root
        guard matters else {
            #expect(try PreparedSupport.opener(recipe).training().count == 12)
            return
        }
        let error = #expect(throws: BridgeError.self) { try PreparedSupport.opener(recipe).training() }
        #expect(error?.names.first?.hasSuffix("dataset.date: 2026-01-02 when it was prepared, 2026-01-03 now") == true)
    }

    @Test func aChangedImageIsRefusedAndPreparedAgain() throws {
        var recipe = try recipe("gemma3", .conversations)
        let images = directory.path("images")
        try FileManager.default.createDirectory(atPath: images, withIntermediateDirectories: true)
        func copy(_ name: String) throws {
            try directory.write(
                [UInt8](Data(contentsOf: URL(filePath: "\(PreparedSupport.images)/\(name)"))),
                to: "images/rgb.png"
            )
        }
        try copy("rgb.png")
        recipe.dataset.imageFolder = images
        try PreparedSupport.prepare(recipe, in: root)
        var run = recipe
        run.dataset.preparedPath = root
        let first = try samples(run)
        // The same content at another time.
        try copy("rgb.png")
        #expect(try samples(run) == first)
        try copy("grey.png")
        expectError(mentioning: "images/rgb.png has changed since", root) { try samples(run) }
        #expect(try PreparedSupport.prepare(recipe, in: root)[0].isNew)
        #expect(try samples(run) == samples(recipe) && samples(run) != first)
        // Prepared data needs no images.
        try FileManager.default.removeItem(atPath: images)
        #expect(try samples(run).count == 12)
    }

    /// Prepared data can be moved to a machine without the data set.
    @Test func aDataSetThatIsNotThereIsNotNeeded() throws {
        var recipe = try recipe("mistral", .conversations)
        let expected = try samples(recipe)
        let path = try PreparedSupport.prepare(recipe, in: root)[0].data.path
        try FileManager.default.removeItem(atPath: recipe.dataset.trainDataPath)
        for place in [root, path] {
            recipe.dataset.preparedPath = place
            let opener = try PreparedSupport.opener(recipe)
            let source = try opener.training()
            #expect(try (0..<source.count).map { try source.samples(at: $0) } == expected)
            #expect(opener.encoder.notes.sentences.contains { $0.contains("does not exist; \(path) is used") })
        }
        expectError(mentioning: "rows.jsonl") { try PreparedSupport.prepare(recipe, in: directory.path("elsewhere")) }
        #expect(!FileManager.default.fileExists(atPath: directory.path("elsewhere")))
    }

    @Test func notesAboutTheRowsAreKept() throws {
        let row =
            #"{"messages": [{"role": "user", "content": "q", "train": true}, {"role": "assistant", "content": "a"}], "junk": 1}"#
        var recipe = PreparedSupport.recipe("mistral", try directory.write(Array(row.utf8), to: "rows.jsonl"))
        let raw = try PreparedSupport.opener(recipe)
        _ = try raw.training().sample(at: 0)
        #expect(raw.encoder.notes.unreadKeys == ["junk"] && raw.encoder.notes.sentences.count == 2)
        try PreparedSupport.prepare(recipe, in: root)
        recipe.dataset.preparedPath = root
        let prepared = try PreparedSupport.opener(recipe)
        _ = try prepared.training()
        #expect(prepared.encoder.notes.sentences == raw.encoder.notes.sentences)
    }

    // MARK: Processes

    @Test func whatTwoPrepareAtOnceIsPreparedOnce() async throws {
        let recipe = try recipe("mistral", .conversations)
        let root = root
        let news = try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask { try PreparedSupport.prepare(recipe, in: root, shardByteCount: 500)[0].isNew }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(news.sorted { !$0 && $1 } == [false, false, false, true])
        let names = try FileManager.default.contentsOfDirectory(atPath: root)
        #expect(names.count == 1, "\(names)")
    }

    @Test func nothingIsLeftOfDataThatCannotBePrepared() throws {
        let rows = ["not json", #"{"messages": []}"#, #"{"messages": [{"role": "user", "content": "q"}]}"#]
        let path = try directory.write(Array(rows.joined(separator: "\n").utf8), to: "rows.jsonl")
        let recipe = PreparedSupport.recipe("mistral", path)
        let error = #expect(throws: BridgeError.self) { try PreparedSupport.prepare(recipe, in: root) }
        #expect(error?.message.hasPrefix("3 of 3 rows of \(path) cannot be used, so nothing was prepared") == true)
        #expect(error?.names.map { $0.contains("rows.jsonl, line ") } == [true, true, true])
        #expect(try FileManager.default.contentsOfDirectory(atPath: root).isEmpty)
    }

    @Test func aCancellationLeavesNothing() throws {
        let recipe = try recipe("mistral", .conversations)
        var preparation = PreparedStore.Preparation()
        let cancellation = preparation.cancellation
        preparation.progress = { done, _ in if done == 2 { cancellation.cancel() } }
        preparation.workers = 1
        let longer = try PreparedSupport.rows(directory, count: 200, images: false, name: "long.jsonl")
        var long = recipe
        long.dataset.trainDataPath = longer
        let error = #expect(throws: BridgeError.self) {
            try PreparedSupport.opener(long, preparing: true).prepare(
                in: PreparedStore(path: root),
                preparation,
                validates: false
            )
        }
        #expect(error?.code == .cancelled)
        #expect(try FileManager.default.contentsOfDirectory(atPath: root).isEmpty)
    }
}
