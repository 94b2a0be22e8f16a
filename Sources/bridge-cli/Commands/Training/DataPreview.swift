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
            and their number.

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
        let (sample, outcome) = try opened.fitter.fit(opened.source.sample(at: row))
        if output.json { return printJSON(sample, outcome, opened.processor, opened.notes) }
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
        for sentence in opened.notes.sentences { Output.printError("warning: \(sentence)") }
    }

    private func printJSON(
        _ sample: TrainingSample,
        _ outcome: SampleTruncation.Outcome,
        _ processor: any ModelProcessor,
        _ notes: DataNotes
    ) {
        var cut = 0
        if case .cut(let count) = outcome { cut = count }
        Output.json([
            "row": row.json, "input_ids": sample.tokens.map { Int($0) }.json,
            "labels": sample.labels.map { Int($0) }.json,
            "tokens": .array(sample.tokens.map { .string(processor.tokenizer.token(of: $0) ?? "") }),
            "trained_tokens": sample.supervisedCount.json, "cut_tokens": cut.json,
            "images": .array(sample.images.map { [$0.height, $0.width].json }),
            "unread_keys": .array(notes.unreadKeys.map { .string($0) }),
            "marks_of_prompts": .array(notes.marksOfPrompts.map { .string($0) }),
            "rows_without_end": notes.rowsWithoutEnd.json,
        ])
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
