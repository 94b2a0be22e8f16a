import ArgumentParser
import BridgeCore
import Communication
import JSONTree
import TensorRuntime

/// Compares two checkpoints.
struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare two checkpoints of either kind, by their weights or by their logits.",
        usage: """
            bridge verify <left> <right> [<options>]
            bridge verify --roundtrip <model> [--tp <n>] [--pp <n>] [<options>]
            """,
        discussion: """
            Either side may be a Hugging Face directory, a hub id or a Megatron checkpoint of any layout. Exit status 3 \
            means that they differ, 4 that a file of a Megatron checkpoint which describes its tensors is damaged or \
            missing. With --logits both models run on a prompt and their logits are compared, which also \
            works for checkpoints that are stored in different types, such as quantized ones.

            With --roundtrip one model is loaded sharded across ranks, exported from there, and compared with itself. \
            The export is temporary, in TMPDIR, and as large as the model.

            EXAMPLES:
              bridge verify toy toy-megatron
              bridge verify toy toy-again --json
              bridge verify toy toy-megatron --logits 'Describe it.' --image table.png
              bridge verify --roundtrip toy --tp 2 --pp 2
            """
    )

    @Argument(help: "The first checkpoint.", completion: .directory)
    var left: String?

    @Argument(help: "The second checkpoint.", completion: .directory)
    var right: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Load a model sharded across ranks, export it from there and compare it with its source.",
            valueName: "model"
        ),
        completion: .directory
    )
    var roundtrip: String?

    @OptionGroup var ranks: ModelRankOptions

    @Option(
        name: .customLong("allow-missing"),
        help: ArgumentHelp("Tensors that may be missing or unmapped; may be repeated.", valueName: "glob")
    )
    var allowMissing: [String] = []

    @Flag(
        name: .customLong("ignore-dtype"),
        help: "Accept tensors of different types whose values are equal."
    )
    var ignoreDtype = false

    @Option(
        name: .long,
        help: ArgumentHelp("Run both models on this prompt and compare their logits.", valueName: "prompt")
    )
    var logits: String?

    @Option(
        name: .customLong("image"),
        help: ArgumentHelp(
            "An image for --logits: a file, an http(s) or a data URL; may be repeated.",
            valueName: "path"
        ),
        completion: .file(extensions: ["png", "jpg", "jpeg", "webp"])
    )
    var images: [String] = []

    @Option(
        name: .customLong("dtype"),
        help: ArgumentHelp("Compute logits in float32 or bfloat16. (default: float32)", valueName: "type")
    )
    var elementType: ModelOptions.ComputedType?

    @OptionGroup var closeness: LogitTolerance

    @OptionGroup var plugins: ModelPluginOptions
    @OptionGroup var threads: ThreadOptions
    @OptionGroup var progress: ProgressOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        try validateSides()
        let ofLogits = [
            ("--image", !images.isEmpty), ("--tolerance", closeness.tolerance != nil), ("--dtype", elementType != nil),
        ]
        if logits == nil, let option = ofLogits.first(where: \.1)?.0 {
            throw ValidationError("\(option) has no effect without --logits: weights are compared as they are stored")
        }
        let ofWeights = [("--allow-missing", !allowMissing.isEmpty), ("--ignore-dtype", ignoreDtype)]
        if logits != nil, let option = ofWeights.first(where: \.1)?.0 {
            throw ValidationError("\(option) has no effect with --logits, which compares no weights")
        }
    }

    private func validateSides() throws {
        guard roundtrip != nil else {
            if let missing = [("left", left), ("right", right)].first(where: { $0.1 == nil })?.0 {
                throw ValidationError("Missing expected argument '<\(missing)>'")
            }
            guard !ranks.isGiven else {
                throw ValidationError("--tp, --pp and other options of ranks require --roundtrip")
            }
            return
        }
        if let left { throw ValidationError("--roundtrip compares one model with itself; remove \(left)") }
        let others = [
            ("--logits", logits != nil), ("--allow-missing", !allowMissing.isEmpty), ("--ignore-dtype", ignoreDtype),
        ]
        if let option = others.first(where: \.1)?.0 {
            throw ValidationError("\(option) has no effect with --roundtrip; remove one of them")
        }
    }

    func run() throws {
        if let roundtrip { return try runRoundTrip(of: roundtrip) }
        let (left, right) = (left ?? "", right ?? "")
        let catalog = try plugins.catalog()
        if let logits { return try compareLogits(of: logits, left, right, catalog) }
        let globs = allowMissing.map { NameGlob($0) }
        let paths = try (HubDirectory.resolve(left), HubDirectory.resolve(right))
        // Where one side does not describe its model, it is that of the other.
        let one = try Checkpoint(path: paths.0, catalog: catalog, allowMissing: globs) {
            try? AutoBridge.fromAny(paths.1, catalog: catalog)
        }
        let other = try Checkpoint(path: paths.1, catalog: catalog, allowMissing: globs) {
            try? AutoBridge.fromAny(paths.0, catalog: catalog)
        }
        for glob in globs where !one.usedPatterns.union(other.usedPatterns).contains(glob) {
            Output.warn("--allow-missing \(glob) has no effect: it matches no missing or unmapped tensor")
        }
        let damage = one.damage + other.damage
        for sentence in damage { Output.warn(sentence) }
        let result = try Watch.run { try Verifier(one, other).run($0, ignoringTypes: ignoreDtype) }
        try report(result, left, right, damage: damage)
    }

    private func runRoundTrip(of model: String) throws {
        let groups = try ranks.groups("bridge verify", models: [model], threads: threads.asked)
        let trip = try RoundTrip(
            source: HubDirectory.resolve(model),
            catalog: plugins.catalog(),
            groups: groups,
            threads: threads.count
        )
        guard let result = try Watch.run(trip.run) else { return }
        try report(result, model, "its round trip under TP \(groups.tp.size) x PP \(groups.pp.size)")
    }

    /// Prints a comparison.
    ///
    /// A damaged checkpoint is compared, to show what the damage has changed; but it is not equal to another one, because
    /// no other command reads it.
    ///
    /// - Throws: `BridgeError` with code `verificationFailed` for a difference, `corruptInput` for damage.
    private func report(_ result: Verifier.Result, _ left: String, _ right: String, damage: [String] = []) throws {
        if output.json {
            var document = json(result)
            document.set(.bool(result.isEqual && damage.isEmpty), at: "equal")
            document.set(.array(damage.map { .string($0) }), at: "damage")
            Output.json(document)
        } else {
            show(result, left, right, isDamaged: !damage.isEmpty)
        }
        guard damage.isEmpty else {
            let found = result.isEqual ? "the tensors match, but" : "\(left) and \(right) differ, and"
            throw BridgeError(
                .corruptInput,
                "\(found) \(ByteFormat.counted(damage.count, "file")) that \(damage.count == 1 ? "describes" : "describe") "
                    + "them \(damage.count == 1 ? "is" : "are") damaged, so no other command reads the checkpoint",
                names: damage
            )
        }
        guard result.isEqual else {
            throw BridgeError(
                .verificationFailed,
                "\(left) and \(right) differ in \(result.rows.count) of \(ByteFormat.counted(result.total, "tensor"))"
                    + (result.fields.isEmpty
                        ? "" : " and in \(ByteFormat.counted(result.fields.count, "field")) of their configurations")
            )
        }
    }

    private func compareLogits(of prompt: String, _ left: String, _ right: String, _ catalog: PluginCatalog) throws {
        // Until all is computed there is no result to keep.
        Interrupt.exitsImmediately(true)
        let engine = CPUEngine(threadCount: threads.count)
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
            let (largest, size) = (inputs.tokenIDs.max() ?? 0, model.decoder.configuration.vocabSize)
            guard largest < size else {
                throw BridgeError(
                    .verificationFailed,
                    "the prompt has token \(largest) of \(left), but the vocabulary of \(path) has \(size) tokens"
                )
            }
            return try model.forward(TokenBatch(inputs, on: engine)).logits
        }
        let (one, other) = (try logits(left), try logits(right))
        let report = try LogitReport(one, other, names: (left, right), tolerance: closeness.tolerance)
        Interrupt.exitsImmediately(false)
        try report.show(json: output.json)
    }

    private func show(_ result: Verifier.Result, _ left: String, _ right: String, isDamaged: Bool) {
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
        if result.isEqual, isDamaged {
            Output.line(Style.redResult("❌ All \(result.compared) tensors match, but a checkpoint is damaged"))
        } else if result.isEqual {
            Output.line(Style.green("✅ All \(result.compared) tensors match: \(left) and \(right) are equal"))
        } else {
            Output.line(Style.redResult("❌ \(left) and \(right) differ"))
        }
    }

    private func json(_ result: Verifier.Result) -> JSON {
        [
            "equal": .bool(result.isEqual),
            "compared": JSON(result.compared),
            "configuration": .array(result.fields.map { .string($0) }),
            "differences": .array(
                result.rows.map { row in
                    [
                        "name": .string(row.name),
                        "shape": row.shape.json,
                        "difference": .string(row.what),
                        "first": row.firstDifference?.json ?? .null,
                        "max_ulp": row.maxUlp.map { JSON(Int(clamping: $0)) } ?? .null,
                        "max_difference": row.maxGap.map { JSON($0) } ?? .null,
                    ]
                }
            ),
        ]
    }
}
