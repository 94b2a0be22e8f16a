import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import ModelCards
import TensorRuntime
import Tokenizers

/// Measures a checkpoint and writes its verification card.
struct Card: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Convert, run and train a checkpoint, and write a card of what was verified.",
        discussion: """
            Under each layout: import and export, byte for byte; the same through torch_dist; logits, compared with \
            those of transformers; greedy decoding with and without a cache; full training and LoRA for a few steps; \
            runs that are stopped and resume; exports of the tuned models. Ranks are threads of this process. Checks \
            for which memory or disk do not suffice are skipped with what they need. The exit status is 1 if a check \
            failed.

            The card has the command with which transformers writes the file of --reference-logits. The date is that \
            of --date, or of SOURCE_DATE_EPOCH, or today.

            EXAMPLES:
              bridge card toy
              bridge card toy --reference-logits logits.safetensors --output CARD.md
              bridge card toy --layouts 1,tp2 --json
            """
    )

    @Argument(
        help: ArgumentHelp(
            "The Hugging Face model: a directory, or org/name[@revision] on the hub.",
            valueName: "model"
        ),
        completion: .directory
    )
    var model: String

    @Option(
        name: .customLong("reference-logits"),
        help: ArgumentHelp("A safetensors file with input_ids and float32 logits of transformers.", valueName: "file"),
        completion: .file(extensions: ["safetensors"])
    )
    var reference: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Layouts, separated by commas: 1, tp2, pp2, tp2pp2. (default: these four)",
            valueName: "list"
        ),
        transform: layouts
    )
    var layouts: [CardLayout] = CardLayout.standard

    @Option(name: .long, help: ArgumentHelp("Number of training steps of a run.", valueName: "n"))
    var steps = 6

    @Option(
        name: .long,
        help: ArgumentHelp("The Markdown file to write. (default: standard output)", valueName: "file"),
        completion: .file(extensions: ["md"])
    )
    var output: String?

    @Flag(name: .long, help: "Replace an existing --output.")
    var overwrite = false

    @Option(
        name: .customLong("work-dir"),
        help: ArgumentHelp("Where temporary checkpoints are written. (default: TMPDIR)", valueName: "directory"),
        completion: .directory
    )
    var workDirectory: String?

    @Option(
        name: .customLong("max-memory"),
        help: ArgumentHelp("Skip checks that need more memory, such as 64G. (default: what is free)", valueName: "size")
    )
    var maxMemory: String?

    @Option(name: .long, help: ArgumentHelp("Date of the card. (default: today)", valueName: "yyyy-mm-dd"))
    var date: String?

    @OptionGroup var plugins: ModelPluginOptions
    @OptionGroup var threads: ThreadOptions
    @OptionGroup var progress: ProgressOptions
    @OptionGroup var printing: OutputOptions

    private static func layouts(_ text: String) throws -> [CardLayout] {
        let words = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let layouts = words.compactMap { CardLayout($0) }
        guard layouts.count == words.count else {
            throw ValidationError(
                "found '\(text)', expected layouts of at most \(CardLayout.mostRanks) ranks, such as 1,tp2,pp2,tp2pp2"
            )
        }
        guard Set(layouts).count == layouts.count else { throw ValidationError("a layout is there twice: \(text)") }
        return layouts
    }

    func validate() throws {
        guard (2...1000).contains(steps) else { throw ValidationError("--steps is \(steps), expected 2 to 1000") }
        if let maxMemory, RunOptions.bytes(maxMemory) == nil {
            throw ValidationError("--max-memory is \(maxMemory), expected a size such as 64G")
        }
        if let date, (try? ChatDate(date)) == nil {
            throw ValidationError("--date is \(date), expected a day such as 2026-01-31")
        }
        guard output == nil || !printing.json else {
            throw ValidationError("--output writes Markdown and --json prints JSON; give one of them")
        }
        guard output != nil || !overwrite else { throw ValidationError("--overwrite has no effect without --output") }
    }

    /// The date of the card.
    private func today() throws -> String {
        if let date { return date }
        let variable = "SOURCE_DATE_EPOCH"
        guard let text = ProcessInfo.processInfo.environment[variable], !text.isEmpty else {
            return Date.now.formatted(.iso8601.year().month().day())
        }
        guard let seconds = Double(text), seconds >= 0, seconds < 1e11 else {
            throw BridgeError(.badArgument, "\(variable) is \(text), expected seconds since 1970")
        }
        return Date(timeIntervalSince1970: seconds).formatted(.iso8601.year().month().day())
    }

    func run() throws {
        let catalog = try plugins.catalog()
        let (day, source) = (try today(), try HubDirectory.resolve(model))
        if let output { try checkOutput(output, source) }
        if let reference, Files.kind(of: reference) != .file {
            throw BridgeError(.badArgument, "there is no file \(reference), expected one with logits of transformers")
        }
        let card = try Watch.run { context in
            var options = CardMeasurement.Options()
            (options.layouts, options.steps, options.reference) = (layouts, steps, reference)
            options.memoryLimit = maxMemory.flatMap { RunOptions.bytes($0) }
            options.threads = threads.count
            options.context = context
            return try Self.inScratch(workDirectory) { scratch in
                let test = try CardMeasurement(source, catalog: catalog, scratch: scratch, options: options)
                let facts = try test.facts() + ownFacts(day)
                let rows = try test.run { row in
                    Watch.bar.finish()
                    show(row)
                }
                return ModelCard(
                    name: Files.name(of: Files.trimmed(model)),
                    facts: facts,
                    referenceCommand: test.referenceCommand,
                    rows: rows
                )
            }
        }
        if printing.json {
            Output.json(card.json)
        } else if let output {
            try Files.replace(output, with: Array(card.markdown().utf8))
            Output.line("✅ Wrote the card to \(output)")
        } else {
            Output.lines(card.markdown())
        }
        guard card.failedCount == 0 else {
            Output.printError("\(Failure.prefix)\(card.failedCount) of \(card.rows.count) checks failed, see the card")
            throw ExitCode(1)
        }
    }

    /// Runs work with a directory for temporary files that is removed afterwards.
    private static func inScratch<Result>(_ parent: String?, _ body: (String) throws -> Result) throws -> Result {
        let parent = parent ?? FileManager.default.temporaryDirectory.path
        let scratch = Files.join(parent, "bridge-card-\(UUID().uuidString)")
        try Files.createDirectory(scratch)
        defer { try? Files.remove(scratch) }
        return try body(scratch)
    }

    /// The facts about this program and this machine.
    private func ownFacts(_ day: String) -> [ModelCard.Figure] {
        let lines = VersionReport.lines.map { line in
            let parts = line.split(separator: ":", maxSplits: 1)
            return ModelCard.Figure(
                parts[0].prefix(1).uppercased() + parts[0].dropFirst(),
                parts.dropFirst().joined().trimmingCharacters(in: .whitespaces)
            )
        }
        let header = reference.flatMap { try? SafetensorsFile(path: $0).header }
        let program = header?.metadata["program"]?.string.map { ", \($0)" } ?? ""
        return [
            .init("Logits of transformers", reference.map { Files.name(of: $0) + program } ?? "not given"),
            .init("Bridge", "\(PluginLoader.version) (\(PluginLoader.coreBuild))"),
        ] + lines + [.init("Date", day)]
    }

    /// Prints a row as soon as it is measured, where standard output is not the card itself.
    private func show(_ row: ModelCard.Row) {
        if output != nil {
            Output.line(Self.line(row))
        } else if OutputMode.current.showsProgress {
            Output.printError(Self.line(row))
        }
    }

    private static func line(_ row: ModelCard.Row) -> String {
        let reason = [row.outcome.reason, row.figures.isEmpty ? nil : row.text].compactMap(\.self).joined(
            separator: "; "
        )
        let mark =
            switch row.outcome {
            case .passed: "✅"
            case .failed: "❌"
            case .skipped: "– "
            }
        return "\(mark) \(row.check.rawValue), \(row.layout): \(reason)"
    }

    /// Refuses an output that cannot be written, or that belongs to the model, before minutes of work.
    private func checkOutput(_ output: String, _ source: String) throws {
        guard Destination.relation(of: output, to: source) == nil else {
            throw BridgeError(.badArgument, "--output \(output) would be a file of the model; choose another path")
        }
        guard Files.kind(of: output) != .directory else {
            throw BridgeError(.badArgument, "--output \(output) is a directory, expected a file")
        }
        let parent = Files.parent(of: output)
        guard Files.isWritable(parent) else {
            throw BridgeError(.fileSystem, "cannot write \(output): \(parent) is not a writable directory")
        }
        guard overwrite || !Files.exists(output) else {
            throw BridgeError(
                .destinationTaken,
                "\(output) exists; choose another file, or pass --overwrite to replace it"
            )
        }
    }
}
