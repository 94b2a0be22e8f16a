import ArgumentParser
import BridgeCore
import Datasets
import JSONTree
import TensorRuntime
import Tokenizers
import Trainer

/// Measures the exact-match accuracy of a model, or its loss.
struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure a model on a file of conversations: exact-match accuracy of its answers, or loss.",
        discussion: """
            Each row is a conversation as for training, whose last message is the expected answer. Rows with a "category" \
            are counted by category too. Decoding is greedy. With --loss the loss and the perplexity of the supervised tokens of all \
            rows are computed, with their standard errors. Ctrl-C prints the result so far and ends with status 130.

            EXAMPLES:
              bridge evaluate --hf-model toy --data test.jsonl
              bridge evaluate --hf-model toy --adapter run/iter_0000200 \\
                --data test.jsonl --json
              bridge evaluate --megatron-path run --data test.jsonl --min-accuracy 0.95
              bridge evaluate --hf-model toy --data test.jsonl --loss
              bridge evaluate --hf-model toy --loss --data prepared/train-0123456789ab
            """
    )

    @OptionGroup var model: ModelOptions
    @OptionGroup var quantization: QuantizationOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            "A JSON or JSONL file with conversations that end with an answer; for --loss also with input_ids and labels, or prepared data.",
            valueName: "path"
        ),
        completion: .file(extensions: ["json", "jsonl"])
    )
    var data: String

    @OptionGroup var images: ImageFolderOptions

    @Option(
        name: .customLong("max-new-tokens"),
        help: ArgumentHelp("Maximum number of tokens of an answer. (default: \(defaultMaxNewTokens))", valueName: "n")
    )
    var maxNewTokens: Int?

    @Option(
        name: .customLong("min-accuracy"),
        help: ArgumentHelp("Exit with status 1 if accuracy is below this value.", valueName: "accuracy")
    )
    var least: Double?

    @Option(
        name: .customLong("max-errors-shown"),
        help: ArgumentHelp("Number of wrong answers to print. (default: \(defaultShown))", valueName: "n")
    )
    var show: Int?

    @Flag(name: .customLong("loss"), help: "Compute the loss of the supervised tokens instead of generating answers.")
    var computesLoss = false

    @Option(
        name: .customLong("loss-mode"),
        help: ArgumentHelp(
            "Supervised tokens, for --loss: assistant, last_turn or full. (default: assistant)",
            valueName: "mode"
        )
    )
    var supervised: DataOptions.SupervisedTokens?

    @Option(
        name: .customLong("roles-to-train"),
        help: ArgumentHelp(
            "Roles whose turns are supervised, for --loss, with commas: assistant, user, system, tool. (default: assistant)",
            valueName: "roles"
        )
    )
    var roles: DataOptions.TrainedRoles?

    @Option(
        name: .customLong("seq-length"),
        help: ArgumentHelp(
            "Maximum tokens of a sample, for --loss; longer ones are truncated. (default: the model's)",
            valueName: "n"
        )
    )
    var seqLength: Int?

    private static let defaultMaxNewTokens = 64
    private static let defaultShown = 5

    @OptionGroup var template: DateOptions

    @OptionGroup var output: OutputOptions

    func validate() throws {
        let given: [(option: String, isGiven: Bool, isOfLoss: Bool)] = [
            ("--max-new-tokens", maxNewTokens != nil, false), ("--min-accuracy", least != nil, false),
            ("--max-errors-shown", show != nil, false), ("--loss-mode", supervised != nil, true),
            ("--roles-to-train", roles != nil, true), ("--seq-length", seqLength != nil, true),
        ]
        if let wrong = given.first(where: { $0.isGiven && $0.isOfLoss != computesLoss }) {
            throw ValidationError("\(wrong.option) has no effect \(computesLoss ? "with" : "without") --loss")
        }
        if roles != nil, supervised == .full {
            throw ValidationError("--roles-to-train has no effect with --loss-mode full, which trains all messages")
        }
        if let maxNewTokens, !(1...1_000_000).contains(maxNewTokens) {
            throw ValidationError("--max-new-tokens is \(maxNewTokens), expected 1 to 1000000")
        }
        if let seqLength, seqLength < 2 { throw ValidationError("--seq-length is \(seqLength), expected at least 2") }
        if let least, !(0...1).contains(least) { throw ValidationError("--min-accuracy is \(least), expected 0 to 1") }
        if let show, show < 0 { throw ValidationError("--max-errors-shown is \(show), expected 0 or more") }
    }

    func run() throws {
        let bridge = try model.bridge()
        let isPrepared = PreparedData.isOne(data)
        if !isPrepared { try checkIsFile() }
        guard !computesLoss else { return try isPrepared ? computeLossOfPrepared(bridge) : computeLoss(bridge) }
        guard !isPrepared else {
            throw BridgeError(
                .badArgument,
                "--data is \(data), prepared data, whose answers are tokens; add --loss, or give the file that it was prepared from"
            )
        }
        let maxNewTokens = maxNewTokens ?? Self.defaultMaxNewTokens
        let questions = try AnswerFile(path: data, imageFolder: images.path)
        let processor = try bridge.processor()
        let model = try model.model(bridge, quantization: quantization.choice())
        try images.check(processor)
        var options = try template.options(for: processor)
        options.template.addsGenerationPrompt = true
        var generation = Generator.Options(maxNewTokens: maxNewTokens, endTokens: try bridge.endTokens())
        generation.settings = try bridge.generationSettings()
        (generation.settings.maxNewTokens, generation.settings.maxLength) = (nil, nil)
        let generator = Generator(model)
        let clock = ContinuousClock()
        let start = clock.now
        var result = ExactMatch()
        let line = CountLine(total: questions.count)
        // From here on there is a partial result to keep.
        Interrupt.exitsImmediately(false)
        for row in 0..<questions.count where !Interrupt.cancellation.isCancelled {
            line.show(result.all.questions, "\(result.all.right) right")
            let question = try questions.question(at: row)
            let batch: TokenBatch
            do {
                batch = TokenBatch(try processor.inputs(question.conversation, options: options), on: model.engine)
            } catch let error as BridgeError where error.code != .cancelled {
                throw error.inRow(question.location)
            }
            let transcript = try Transcript(
                processor.tokenizer,
                stops: generation.settings.stopStrings,
                behind: batch.tokens,
                isSilent: true
            )
            generator.reset()
            SamplingArguments.warnOfLength(
                maxNewTokens,
                prompt: batch.tokens.count,
                limit: model.decoder.configuration.seqLength
            )
            _ = try generator.run(batch.tokens, images: batch.images, options: generation) { step in
                try transcript.take(step) && !Interrupt.cancellation.isCancelled
            }
            // An unfinished answer is not counted.
            if Interrupt.cancellation.isCancelled { break }
            try transcript.finish()
            result.count(transcript.text, to: question)
        }
        line.finish()
        report(result, of: questions.count, seconds: start.duration(to: clock.now).seconds)
        if Interrupt.cancellation.isCancelled { throw ExitCode(130) }
        if let least, result.all.accuracy < least { throw ExitCode(1) }
    }

    /// Refuses a data set, of which train would know the splits.
    private func checkIsFile() throws {
        let names = (try? Files.list(data)) ?? []
        guard Files.kind(of: data) == .directory || ConversationMaker.preset(data) != nil else { return }
        let files = names.filter { $0.hasSuffix(".jsonl") || $0.hasSuffix(".json") }.sorted()
        let found = files.isEmpty ? "" : "; \(data) has \(files.joined(separator: ", "))"
        throw BridgeError(
            .badArgument,
            "--data is \(data), a data set of several splits, of which none is chosen here; give the JSON or JSONL file with the "
                + "rows\(found)"
        )
    }

    private func computeLoss(_ bridge: AutoBridge) throws {
        let processor = try bridge.processor()
        try images.check(processor)
        var section = Recipe.DatasetSection()
        section.datasetType = try RecipeChoice.kind(of: data)
        guard section.datasetType != .hf else {
            throw BridgeError(.badArgument, "--data is \(data), expected a JSON or JSONL file")
        }
        guard section.datasetType == .preloaded || supervised == nil && roles == nil else {
            let option = supervised == nil ? "--roles-to-train" : "--loss-mode"
            throw BridgeError(.badArgument, "\(option) has no effect on \(data), whose rows have labels; remove it")
        }
        (section.trainDataPath, section.imageFolder) = (data, images.path)
        section.seqLength = seqLength ?? max(2, processor.decoder.seqLength)
        let encoder = SampleEncoder(
            processor: processor,
            lossMode: (supervised ?? .assistant).mode,
            roles: roles?.roles ?? DataOptions.TrainedRoles.standard,
            options: try template.options(for: processor)
        )
        try LossEvaluation(
            model: try model.model(bridge, quantization: quantization.choice()),
            opener: DatasetOpener(section: section, encoder: encoder, seed: 0),
            isJSON: output.json
        ).run()
    }

    /// The loss of prepared data, of which settings are not given again.
    private func computeLossOfPrepared(_ bridge: AutoBridge) throws {
        let given = [
            ("--image-folder", images.imageFolder != nil), ("--loss-mode", supervised != nil),
            ("--roles-to-train", roles != nil), ("--date", template.date != nil),
        ]
        if let option = given.first(where: \.1)?.0 {
            throw BridgeError(
                .badArgument,
                "\(option) has no effect on \(data), whose samples were prepared before; remove the option"
            )
        }
        let encoder = SampleEncoder(processor: try bridge.processor())
        let source = try DataOptions.preparedSource(data, for: bridge, encoder)
        guard !source.hasPairs else {
            throw BridgeError(
                .badArgument,
                "\(data) has pairs of answers, of which a model has no single loss; expected data that was prepared from conversations or "
                    + "tokens"
            )
        }
        var section = Recipe.DatasetSection()
        (section.datasetType, section.trainDataPath) = (.preloaded, data)
        section.seqLength = seqLength ?? max(2, encoder.processor.decoder.seqLength)
        try LossEvaluation(
            model: try model.model(bridge),
            opener: DatasetOpener(section: section, encoder: encoder, seed: 0),
            isJSON: output.json,
            source: source
        ).run()
    }

    private func report(_ result: ExactMatch, of total: Int, seconds: Double) {
        guard !output.json else {
            func share(_ share: ExactMatch.Share) -> JSON {
                [
                    "total": share.questions.json, "correct": share.right.json,
                    "accuracy": JSON(share.accuracy),
                ]
            }
            var report = share(result.all)
            let categories = result.categories.sorted { $0.key < $1.key }.map { ($0.key, share($0.value)) }
            report.set(.object(JSONObject(categories)), at: "categories")
            report.set(JSON(seconds), at: "seconds")
            report.set(.bool(result.all.questions < total), at: "interrupted")
            report.set(
                .array(
                    result.misses.map {
                        [
                            "location": .string($0.location), "expected": .string($0.expected),
                            "prediction": .string($0.prediction),
                        ]
                    }
                ),
                at: "errors"
            )
            return Output.json(
                report.alsoUnder(["total": "questions", "correct": "right", "prediction": "said", "errors": "wrong"])
            )
        }
        if result.all.questions < total {
            Output.line("interrupted after \(result.all.questions) of \(ByteFormat.counted(total, "question"))")
        }
        func row(_ name: String, _ share: ExactMatch.Share) -> [String] {
            [name, "\(share.right) of \(share.questions)", ByteFormat.rounded(100 * share.accuracy, digits: 1) + " %"]
        }
        Output.table(
            result.categories.sorted { $0.key < $1.key }.map { row($0.key, $0.value) } + [row("all", result.all)]
        )
        let show = show ?? Self.defaultShown
        for miss in result.misses.prefix(show) {
            Output.line("\(miss.location): expected \(quoted(miss.expected)), found \(quoted(miss.prediction))")
        }
        let left = result.misses.count - min(show, result.misses.count)
        if left > 0, show > 0 { Output.line("and \(left) more; --json has them all") }
        let rate =
            seconds > 0 ? ", \(ByteFormat.rounded(Double(result.all.questions) / seconds, digits: 1)) questions/s" : ""
        Output.line("\(ByteFormat.rounded(seconds, digits: 1)) s\(rate)")
    }

    /// As a JSON string, because generated text must not control the terminal.
    private func quoted(_ text: String) -> String {
        String(decoding: JSON.string(text).text(pretty: false), as: UTF8.self)
    }
}
