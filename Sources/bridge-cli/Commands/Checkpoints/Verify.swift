import ArgumentParser
import BridgeCore
import JSONTree
import TensorRuntime

/// Compares two checkpoints.
struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare two checkpoints of any kind, number by number or by what they say.",
        discussion: """
            Either side may be a Hugging Face directory or a Megatron checkpoint of any layout. Exit status 3 says that they differ. \
            With --logits both models run on a prompt, and their logits are compared: also of checkpoints whose numbers are \
            stored in other ways, such as quantised ones.

            EXAMPLES:
              bridge verify toy toy-megatron
              bridge verify toy toy-again --json
              bridge verify toy toy-megatron --logits 'Describe this image.' --image table.png
            """
    )

    @Argument(help: "The one checkpoint.", completion: .directory)
    var left: String

    @Argument(help: "The other checkpoint.", completion: .directory)
    var right: String

    @Option(
        name: .customLong("allow-missing"),
        help: ArgumentHelp("Tensors that may be missing or left over; may be repeated.", valueName: "glob")
    )
    var allowMissing: [String] = []

    @Flag(
        name: .customLong("ignore-dtype"),
        help: "Let tensors match when their numbers are equal and their types are not."
    )
    var ignoreDtype = false

    @Option(
        name: .long,
        help: ArgumentHelp("Run both models on this prompt and compare their logits.", valueName: "prompt")
    )
    var logits: String?

    @Option(
        name: [.customLong("image"), .customLong("image_path")],
        help: ArgumentHelp(
            "A image for --logits: a file, an http(s) or a data URL; may be repeated.",
            valueName: "path"
        ),
        completion: .file(extensions: ["png", "jpg", "jpeg", "webp"])
    )
    var images: [String] = []

    @Option(
        name: [.customLong("dtype"), .customLong("torch-dtype")],
        help: ArgumentHelp("What --logits computes in: float32 or bfloat16. (default: float32)", valueName: "type")
    )
    var elementType: ModelOptions.ComputedType?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "How far logits may be apart, as a share of the largest one. (default: \(defaultTolerance))",
            valueName: "share"
        )
    )
    var tolerance: Float?

    @OptionGroup var plugins: PluginOptions
    @OptionGroup var output: RunOptions

    private static let defaultTolerance: Float = 1e-4

    func validate() throws {
        let ofLogits = [
            ("--image", !images.isEmpty), ("--tolerance", tolerance != nil), ("--dtype", elementType != nil),
        ]
        if logits == nil, let option = ofLogits.first(where: \.1)?.0 {
            throw ValidationError("\(option) has no effect without --logits: weights are compared as they are stored")
        }
        let ofWeights = [("--allow-missing", !allowMissing.isEmpty), ("--ignore-dtype", ignoreDtype)]
        if logits != nil, let option = ofWeights.first(where: \.1)?.0 {
            throw ValidationError("\(option) has no effect with --logits, which compares no weights")
        }
        let tolerance = tolerance ?? Self.defaultTolerance
        guard tolerance >= 0, tolerance.isFinite else {
            throw ValidationError("--tolerance is \(tolerance), expected 0 or more")
        }
    }

    func run() throws {
        let catalog = try plugins.catalog()
        if let logits { return try compareLogits(of: logits, catalog) }
        let globs = allowMissing.map { NameGlob($0) }
        let one = try Checkpoint(path: HubDirectory.resolve(left), catalog: catalog, allowMissing: globs)
        let other = try Checkpoint(path: HubDirectory.resolve(right), catalog: catalog, allowMissing: globs)
        for glob in globs where !one.usedPatterns.union(other.usedPatterns).contains(glob) {
            Output.warn("--allow-missing \(glob) has no effect: it matches no tensor that is missing or left over")
        }
        let result = try output.watched { try Verifier(one, other).run($0, ignoringTypes: ignoreDtype) }
        if output.json { Output.json(json(result)) } else { show(result) }
        guard result.isEqual else {
            throw BridgeError(
                .verificationFailed,
                "\(left) and \(right) differ in \(result.rows.count) of \(result.compared + result.rows.count { $0.what.hasPrefix("only") }) tensors"
                    + (result.fields.isEmpty ? "" : " and in \(result.fields.count) fields of their configurations")
            )
        }
    }

    private func compareLogits(of prompt: String, _ catalog: PluginCatalog) throws {
        // There is nothing to keep until all is computed.
        Interrupt.exitsImmediately(true)
        let engine = CPUEngine(threadCount: RunOptions.computeThreads(output.threads))
        let conversation = Conversation(prompt: prompt, images: try images.map { try ImageSource($0) })
        let (left, right) = (try HubDirectory.resolve(left), try HubDirectory.resolve(right))
        let inputs = try AutoBridge.fromAny(left, catalog: catalog).processor().inputs(conversation)
        func logits(_ path: String) throws -> Tensor {
            let bridge = try AutoBridge.fromAny(path, catalog: catalog)
            let weights = bridge.directory == nil ? path : nil
            let model = try bridge.toModel(
                weights: weights,
                elementType: (elementType ?? .float32).elementType,
                on: engine
            )
            let (largest, words) = (inputs.tokenIDs.max() ?? 0, model.decoder.configuration.vocabSize)
            guard largest < words else {
                throw BridgeError(
                    .verificationFailed,
                    "\(left) writes the prompt with its token \(largest), but \(path) has \(words) words"
                )
            }
            return try model.forward(TokenBatch(inputs, on: engine)).logits
        }
        let (one, other) = (try logits(left), try logits(right))
        let result = try LogitComparison(one, other)
        // Two that are not numbers are never equal, so this belongs to a comparison that fails.
        let problems = [(left, one), (right, other)].compactMap { path, logits in
            LogitCheck.problem(logits.floats()).map { "\(path): \($0): \(LogitCheck.advice)" }
        }
        Interrupt.exitsImmediately(false)
        let tolerance = tolerance ?? Self.defaultTolerance
        let isClose = result.largestDifference <= tolerance * result.scale
        if output.json {
            Output.json(json(result, isClose: isClose))
        } else {
            Output.table([
                ["positions", "\(result.positions)"],
                ["same likeliest token", "\(result.sameArgmax)"],
                ["largest difference", "\(result.largestDifference) of logits up to \(result.scale)"],
                ["mean difference", "\(result.meanDifference)"],
                ["cosine", "\(result.cosine)"],
                ["divergence", "\(result.divergence) nats"],
            ])
            Output.line(
                isClose
                    ? Style.green("✅ \(left) and \(right) say the same")
                    : Style.redResult("❌ \(left) and \(right) do not say the same")
            )
        }
        guard isClose else {
            throw BridgeError(
                .verificationFailed,
                "the logits of \(left) and \(right) are up to \(result.largestDifference) apart, "
                    + "more than \(tolerance) of the largest one, \(result.scale)",
                names: problems
            )
        }
    }

    private func json(_ result: LogitComparison, isClose: Bool) -> JSON {
        [
            "equal": .bool(isClose),
            "positions": .number(JSONNumber(result.positions)),
            "same_likeliest": .number(JSONNumber(result.sameArgmax)),
            "max_difference": .number(JSONNumber(Double(result.largestDifference))),
            "mean_difference": .number(JSONNumber(Double(result.meanDifference))),
            "max_logit": .number(JSONNumber(Double(result.scale))),
            "cosine": .number(JSONNumber(result.cosine)),
            "divergence": .number(JSONNumber(result.divergence)),
        ]
    }

    private func show(_ result: Verifier.Result) {
        if !result.rows.isEmpty {
            Output.table(
                [["TENSOR", "SHAPE", "DIFFERENCE", "FIRST AT", "MAX ULP", "MAX DIFFERENCE"]]
                    + result.rows.map { row in
                        [
                            row.name, "\(row.shape)", row.what, row.firstDifference.map { "\($0)" } ?? "-",
                            row.maxUlp.map { "\($0)" } ?? "-", row.maxGap.map { "\(Float($0))" } ?? "-",
                        ]
                    }
            )
        }
        for field in result.fields { Output.line("configuration: \(field)") }
        if result.isEqual {
            Output.line(Style.green("✅ All \(result.compared) tensors match: \(left) and \(right) hold the same"))
        } else {
            Output.line(Style.redResult("❌ \(left) and \(right) do not hold the same"))
        }
    }

    private func json(_ result: Verifier.Result) -> JSON {
        [
            "equal": .bool(result.isEqual),
            "compared": .number(JSONNumber(result.compared)),
            "configuration": .array(result.fields.map { .string($0) }),
            "differences": .array(
                result.rows.map { row in
                    [
                        "name": .string(row.name),
                        "shape": row.shape.json,
                        "difference": .string(row.what),
                        "first": row.firstDifference?.json ?? .null,
                        "max_ulp": row.maxUlp.map { .number(JSONNumber(Int(clamping: $0))) } ?? .null,
                        "max_difference": row.maxGap.map { .number(JSONNumber($0)) } ?? .null,
                    ]
                }
            ),
        ]
    }
}
