import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import Trainer

/// Tokenizes the data of a run once, before the run.
struct DataPrepare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prepare",
        abstract: "Tokenize the data of a run once, and keep tokens, labels and images on disk.",
        discussion: """
            Recipe, settings and options are those of 'bridge train', which then reads the result with \
            dataset.prepared_path=DIRECTORY and has the same losses and weights. Each data set is kept under a key that follows from the \
            tokenizer, the chat template, the settings and its content: what is there already is not prepared again, and a run refuses \
            what does not fit. With dataset.packed_sequence_size the rows are packed for a report.

            EXAMPLES:
              bridge data prepare --hf-model toy --data train.jsonl --output prepared
              bridge train --hf-model toy --data train.jsonl \\
                dataset.prepared_path=prepared
            """
    )

    @OptionGroup var recipe: RecipeOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Directory for prepared data. (default: dataset.prepared_path, or bridge/prepared in HF_HOME)",
            valueName: "path"
        ),
        completion: .directory
    )
    var output: String?

    @Flag(name: .long, help: "Prepare data again that was prepared before.")
    var overwrite = false

    @OptionGroup var plugins: ModelPluginOptions
    @OptionGroup var threads: ThreadOptions
    @OptionGroup var progress: ProgressOptions
    @OptionGroup var format: OutputOptions

    func run() throws {
        let catalog = try plugins.catalog()
        let chosen = try RecipeChoice.completed(recipe, catalog)
        var resolved = try chosen.options.resolved(catalog, ranks: 1) { _ in }
        if resolved.dataset.date.isEmpty { resolved.dataset.date = RecipeOptions.today }
        let store = store(resolved)
        resolved.dataset.preparedPath = store.path
        resolved.dataset.numWorkers = threads.count
        let weights = resolved.checkpoint.pretrainedCheckpoint
        let bridge = try HubDirectory.processing(weights.isEmpty ? resolved.hfPath : weights, catalog)
        // As in a run, which lowers a recommended length.
        resolved.dataset.seqLength = min(resolved.dataset.seqLength, bridge.toProvider().decoder.seqLength)
        var opener = try DatasetOpener(resolved, for: bridge, isForPreparation: true)
        opener.openTable = DatasetTables.open
        let (validates, prepares) = (resolved.hasValidations, opener)
        let results = try Watch.run { _ in
            defer { CountLine(total: 0).finish() }
            var preparation = PreparedStore.Preparation()
            preparation.workers = threads.count
            preparation.overwrites = overwrite
            preparation.cancellation = Interrupt.cancellation
            preparation.logger = Watch.logger
            preparation.progress = { done, total in
                if done.isMultiple(of: 16) || done == total { CountLine(total: total).show(done, "rows prepared") }
            }
            return try prepares.prepare(in: store, preparation, validates: validates)
        }
        let sources = try opener.sources(validates: validates)
        report(results, sources.notes, opener.encoder.notes, store)
    }

    private func store(_ recipe: Recipe) -> PreparedStore {
        if let output { return PreparedStore(path: output) }
        let path = recipe.dataset.preparedPath
        return path.isEmpty ? .standard(HubDirectory.hub().environment) : PreparedStore(path: path)
    }

    private func report(
        _ results: [DatasetOpener.PreparedResult],
        _ notes: [String],
        _ rows: DataNotes,
        _ store: PreparedStore
    ) {
        guard !format.json else {
            return Output.json([
                "prepared_path": .string(store.path),
                "data": .array(
                    results.map { result in
                        let counts = result.data.counts
                        return [
                            "source": .string(result.name), "path": .string(result.data.path),
                            "key": .string(result.data.key), "is_new": .bool(result.isNew), "rows": counts.rows.json,
                            "samples": counts.samples.json, "tokens": counts.tokens.json,
                            "trained_tokens": counts.supervised.json, "images": counts.images.json,
                            "longest_sample": counts.longest.json,
                        ]
                    }
                ),
                "notes": .array(notes.map { .string($0) }),
                "warnings": .array(rows.sentences.map { .string($0) }),
            ])
        }
        for result in results {
            let counts = result.data.counts
            Output.line(
                "\(result.name): \(ByteFormat.counted(counts.rows, "row")), \(ByteFormat.counted(counts.tokens, "token")), "
                    + "\(counts.supervised) supervised, \(ByteFormat.counted(counts.images, "image")), longest sample "
                    + ByteFormat.counted(counts.longest, "token")
            )
            Output.line("  \(result.isNew ? "prepared in" : "was prepared before, in") \(result.data.path)")
        }
        for note in notes { Output.line(note) }
        for sentence in rows.sentences { Output.warn(sentence) }
        Output.line("Train on it with dataset.prepared_path=\(RankLauncher.quoted(store.path))")
    }
}
