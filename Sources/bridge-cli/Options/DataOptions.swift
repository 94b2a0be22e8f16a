import ArgumentParser
import BridgeCore
import Datasets
import Tokenizers
import Trainer

/// The data set, and its tokenization.
struct DataOptions: ParsableArguments {
    @OptionGroup var model: DataModelOptions

    @Option(
        name: .long,
        help: ArgumentHelp(
            "A JSON or JSONL file with conversations, a JSONL file with input_ids and labels, the directory, hub id or preset (squad) of a data set, or prepared data.",
            valueName: "path"
        ),
        completion: .file()
    )
    var data: String

    @OptionGroup var images: ImageFolderOptions

    @Option(
        name: .customLong("dataset-type"),
        help: ArgumentHelp(
            "Format: preloaded (conversations), tokenized (input_ids and labels) or hf (a Hugging Face data set; a preset is one). (default: by the data, as for train)",
            valueName: "type"
        )
    )
    var kind: Kind?

    @Option(
        name: .customLong("maker-name"),
        help: ArgumentHelp(
            "The function that converts rows to conversations, for --dataset-type hf: \(ConversationMaker.listed). (default: that of a preset, otherwise conversation)",
            valueName: "name"
        )
    )
    var maker: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "The split, for --dataset-type hf. (default: \(defaultSplit), or that of a preset)",
            valueName: "name"
        )
    )
    var split: String?

    @Option(
        name: .customLong("loss-mode"),
        help: ArgumentHelp("Supervised tokens: assistant, last_turn or full. (default: assistant)", valueName: "mode")
    )
    var supervised: SupervisedTokens?

    @Option(
        name: .customLong("roles-to-train"),
        help: ArgumentHelp(
            "Roles whose turns are supervised, with commas: assistant, user, system, tool. (default: assistant)",
            valueName: "roles"
        )
    )
    var roles: TrainedRoles?

    @Option(
        name: .customLong("seq-length"),
        help: ArgumentHelp("Maximum tokens of a sample. (default: the model's maximum sequence length)", valueName: "n")
    )
    var seqLength: Int?

    @OptionGroup var template: DateOptions

    /// The library's modes.
    enum SupervisedTokens: String, ExpressibleByArgument, CaseIterable {
        case assistant
        case lastTurn = "last_turn"
        case full

        var mode: Recipe.LossMode {
            switch self {
            case .assistant: .assistant
            case .lastTurn: .lastTurn
            case .full: .full
            }
        }
    }

    /// Roles whose turns are supervised, as dataset.roles_to_train has them.
    struct TrainedRoles: ExpressibleByArgument {
        let roles: Set<String>

        init?(argument: String) {
            let names = argument.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            let found = names.compactMap { Recipe.DatasetSection.roles[$0] }
            guard found.count == names.count else { return nil }
            roles = Set(found)
        }

        static let standard: Set<String> = ["assistant"]
    }

    /// The formats of a file.
    enum Kind: String, ExpressibleByArgument, CaseIterable {
        case preloaded
        case tokenized
        case hf
    }

    private static let defaultMaker = "make_conversation_dataset"
    private static let defaultSplit = "train"

    /// The type of the data, which is hf for a preset; nil where it follows from the data.
    private var givenType: Kind? {
        (kind ?? .preloaded) == .preloaded && ConversationMaker.preset(data) != nil ? .hf : kind
    }

    /// The type of the data; what is wrong with data of no type, or with its first row, is reported when it is read.
    private var type: Kind {
        if let givenType { return givenType }
        let found = try? RecipeChoice.kind(of: data)
        return switch found {
        case .hf: .hf
        case .tokenized: .tokenized
        default: .preloaded
        }
    }

    /// The options without an effect for a type of data set.
    private func withoutEffect(_ type: Kind) -> String? {
        let given: [(option: String, isGiven: Bool, kinds: [Kind])] = [
            ("--maker-name", maker != nil, [.hf]), ("--split", split != nil, [.hf]),
            ("--image-folder", images.imageFolder != nil, [.preloaded, .tokenized]),
            ("--loss-mode", supervised != nil, [.preloaded, .hf]),
            ("--roles-to-train", roles != nil, [.preloaded, .hf]), ("--date", template.date != nil, [.preloaded, .hf]),
        ]
        return given.first { $0.isGiven && !$0.kinds.contains(type) }.map { entry in
            "\(entry.option) has no effect with --dataset-type \(type.rawValue); it is for "
                + entry.kinds.map(\.rawValue).joined(separator: " and ")
        }
    }

    func validate() throws {
        if let givenType, let problem = withoutEffect(givenType) { throw ValidationError(problem) }
        if roles != nil, supervised == .full {
            throw ValidationError("--roles-to-train has no effect with --loss-mode full, which trains all messages")
        }
        if let seqLength, seqLength < 2 { throw ValidationError("--seq-length is \(seqLength), expected at least 2") }
    }

    /// The opened data set with the components of its processing.
    struct Opened: Sendable {
        var processor: any ModelProcessor
        var source: any SampleSource
        var fitter: SampleTruncation
        /// Notes about the rows that were read.
        var notes: DataNotes
    }

    /// Opens the file.
    func open() throws -> Opened {
        if PreparedData.isOne(data) { return try prepared() }
        let type = self.type
        if let problem = withoutEffect(type) { throw BridgeError(.badArgument, problem) }
        let processor = try model.processor()
        let options = try template.options(for: processor)
        let directory = images.path
        try images.check(processor)
        let encoder = SampleEncoder(
            processor: processor,
            lossMode: (supervised ?? .assistant).mode,
            roles: roles?.roles ?? TrainedRoles.standard,
            options: options
        )
        let source: any SampleSource
        switch type {
        case .tokenized where PackedFileSource.isOne(data):
            source = try PackedFileSource(path: data, processor: processor)
        case .tokenized:
            source = try TokenizedSource(
                path: data,
                imageFolder: directory,
                processor: processor,
                options: options,
                notes: encoder.notes
            )
        case .hf:
            let preset = ConversationMaker.preset(data)
            let maker =
                try maker.map { try ConversationMaker(named: $0) } ?? preset
                ?? ConversationMaker(named: Self.defaultMaker)
            source = TableSource(
                table: try DatasetTables.open(preset?.dataset ?? data, split ?? preset?.split ?? Self.defaultSplit),
                maker: maker,
                encoder: encoder
            )
        case .preloaded:
            source = try PreloadedSource.orPairs(path: data, imageFolder: directory, encoder: encoder)
        }
        return Opened(processor: processor, source: source, fitter: try fitter(processor), notes: encoder.notes)
    }

    private func fitter(_ processor: any ModelProcessor) throws -> SampleTruncation {
        try SampleTruncation(
            seqLength: seqLength ?? max(2, processor.decoder.seqLength),
            imageTokenID: processor.imageTokens?.featureID
        )
    }

    /// Opens prepared data, of which settings are not given again.
    private func prepared() throws -> Opened {
        let given = [
            ("--dataset-type", kind != nil), ("--maker-name", maker != nil), ("--split", split != nil),
            ("--image-folder", images.imageFolder != nil), ("--loss-mode", supervised != nil),
            ("--roles-to-train", roles != nil), ("--date", template.date != nil),
        ]
        if let option = given.first(where: \.1)?.0 {
            throw BridgeError(
                .badArgument,
                "\(option) has no effect on \(data), whose samples were prepared before; remove the option"
            )
        }
        let bridge = try model.bridge()
        let processor = try bridge.processor()
        let encoder = SampleEncoder(processor: processor)
        let source = try Self.preparedSource(data, for: bridge, encoder)
        return Opened(processor: processor, source: source, fitter: try fitter(processor), notes: encoder.notes)
    }

    /// The samples of prepared data for a model with the tokenizer and the processor that it was prepared for.
    static func preparedSource(_ data: String, for bridge: AutoBridge, _ encoder: SampleEncoder) throws
        -> PreparedSource
    {
        let found = try PreparedData(path: data)
        let differences = try PreparedFacts(bridge, encoder).differences(from: found.facts, onlyOwn: true)
        guard differences.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(data) was prepared for a model with another tokenizer or processor; give that model",
                names: differences
            )
        }
        try found.check()
        found.report(to: encoder.notes)
        return try PreparedSource(found, for: encoder.processor)
    }
}

/// The model of the tokenizer; no weights are needed.
struct DataModelOptions: ParsableArguments {
    @Option(
        name: .customLong("hf-model"),
        help: ArgumentHelp(
            "The Hugging Face model: a directory, or org/name[@revision] on the hub; weights are not needed.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var huggingFace: String

    @OptionGroup var plugins: ModelPluginOptions
    @OptionGroup var progress: ProgressOptions

    func processor() throws -> any ModelProcessor { try bridge().processor() }

    func bridge() throws -> AutoBridge { try HubDirectory.processing(huggingFace, plugins.catalog()) }
}
