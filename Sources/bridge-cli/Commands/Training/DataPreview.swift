import ArgumentParser
import BridgeCore
import Foundation
import Imaging
import JSONTree
import Tokenizers
import Trainer

/// Shows one sample with its supervised tokens.
struct DataPreview: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "preview",
        abstract: "Show a sample and which of its tokens are supervised.",
        discussion: """
            Supervised tokens are green on a terminal and in [[ ]] elsewhere. Repeated image tokens are printed as one token \
            and their number. A row with a chosen and a rejected answer has two samples.

            EXAMPLES:
              bridge data preview --hf-model toy --data train.jsonl --row 3
            """
    )

    @OptionGroup var options: DataOptions

    @Option(name: .long, help: ArgumentHelp("Row, counted from 0.", valueName: "k"))
    var row = 0

    @OptionGroup var output: OutputOptions

    func run() throws {
        let opened = try options.open()
        let samples = try opened.source.samples(at: row).map { try opened.fitter.fit($0) }
        if output.json { return printJSON(samples, opened) }
        for (index, (sample, outcome)) in samples.enumerated() {
            if samples.count > 1 { Output.printError("the \(Self.answers[index]) answer:") }
            try show(sample, outcome, opened)
        }
        for sentence in opened.notes.sentences { Output.printError("warning: \(sentence)") }
    }

    /// The names of the two samples of a pair.
    private static let answers = ["chosen", "rejected"]

    private func show(_ sample: TrainingSample, _ outcome: SampleTruncation.Outcome, _ opened: DataOptions.Opened)
        throws
    {
        var text = ""
        for run in Self.runs(of: sample, image: opened.processor.imageTokens?.featureID) {
            text += try piece(run, sample, opened.processor)
        }
        Output.lines(text)
        let images = sample.images.map { "\($0.width)x\($0.height)" }.joined(separator: ", ")
        Output.printError(
            "row \(row): \(ByteFormat.counted(sample.tokens.count, "token")), \(sample.supervisedCount) supervised, "
                + "\(ByteFormat.counted(sample.images.count, "image"))\(images.isEmpty ? "" : " (\(images))")"
        )
        if case .cut(let count) = outcome {
            Output.printError(
                "\(ByteFormat.counted(count, "token")) at the end are truncated, the maximum length is \(opened.fitter.seqLength)"
            )
        }
        if sample.supervisedCount == 0 { Output.printError("warning: this sample has no supervised token") }
    }

    /// The first sample, and that of the rejected answer of a pair under its name.
    private func printJSON(_ samples: [(TrainingSample, SampleTruncation.Outcome)], _ opened: DataOptions.Opened) {
        let notes = opened.notes
        var result: JSON = ["row": row.json]
        for (key, value) in Self.facts(samples[0], opened.processor).object ?? JSONObject() {
            result.set(value, at: key)
        }
        if samples.count > 1 { result.set(Self.facts(samples[1], opened.processor), at: Self.answers[1]) }
        result.set(.array(notes.unreadKeys.map { .string($0) }), at: "unread_keys")
        result.set(.array(notes.marksOfPrompts.map { .string($0) }), at: "marks_of_prompts")
        result.set(notes.rowsWithoutEnd.json, at: "rows_without_end")
        Output.json(result)
    }

    private static func facts(
        _ read: (sample: TrainingSample, outcome: SampleTruncation.Outcome),
        _ processor: any ModelProcessor
    ) -> JSON {
        let sample = read.sample
        var cut = 0
        if case .cut(let count) = read.outcome { cut = count }
        return [
            "input_ids": sample.tokens.map { Int($0) }.json, "labels": sample.labels.map { Int($0) }.json,
            "tokens": .array(sample.tokens.map { .string(processor.tokenizer.token(of: $0) ?? "") }),
            "trained_tokens": sample.supervisedCount.json, "cut_tokens": cut.json,
            "images": .array(sample.images.map { [$0.height, $0.width].json }),
        ]
    }

    /// Consecutive tokens with the same style.
    private struct Run {
        var range: Range<Int>
        var isTrained: Bool
        var isImage: Bool
    }

    private static func runs(of sample: TrainingSample, image: Int?) -> [Run] {
        var runs: [Run] = []
        for index in sample.tokens.indices {
            let isImage = image == Int(sample.tokens[index])
            let isTrained = sample.labels[index] != TrainingSample.ignoredLabel
            if let last = runs.last, last.isImage == isImage, last.isTrained == isTrained {
                runs[runs.count - 1].range = last.range.lowerBound..<index + 1
            } else {
                runs.append(Run(range: index..<index + 1, isTrained: isTrained, isImage: isImage))
            }
        }
        return runs
    }

    private func piece(_ run: Run, _ sample: TrainingSample, _ processor: any ModelProcessor) throws -> String {
        let ids = sample.tokens[run.range]
        let name = run.isImage ? ids.first.flatMap { processor.tokenizer.token(of: $0) } : nil
        let text = try BridgeError.ofTokenizer(in: "row \(row) of \(options.data)") { () throws(TokenizerError) in
            if let name { return "\(name)x\(ids.count)" }
            return try processor.tokenizer.decode(ids)
        }
        guard run.isTrained else { return text }
        return Self.isTerminal ? Style.green(text) : "[[\(text)]]"
    }

    /// Colours mark supervised tokens only if standard output is a terminal too.
    private static var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 && Style.supportsColor }
}

extension Int {
    /// A number.
    var json: JSON { JSON(self) }
}
