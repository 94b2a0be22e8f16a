import BridgeSupport
public import CheckpointFormats
public import JSONTree
public import ModelSchema
public import Models
public import Processing
public import Recipes
public import TensorRuntime
public import Tokenizers

/// A model's translated configuration, from which the model and its parameters follow.
public protocol ModelProvider: ConfigurationRoot, Equatable {
    /// The language model.
    var decoder: DecoderConfiguration { get set }
    /// The element type that the configuration names for the weights; nil when it names none.
    var elementType: ElementType? { get set }

    /// The reason why models of the family can be converted and not run; nil for a family that runs.
    ///
    /// A family with a reason needs no ``provide(_:)``, and the conformance suite checks its conversions only.
    static var conversionOnly: String? { get }

    /// Checks the relations between the sizes.
    ///
    /// - Throws: `BridgeError` with everything that is wrong in the file `name`.
    func validate(name: String) throws

    /// Creates the model.
    ///
    /// - Parameter weights: Where its parameters are.
    /// - Returns: The model, with all its weights.
    /// - Throws: `BridgeError` when the configuration needs something that is not supported.
    func provide(_ weights: ModelWeights) throws -> any CausalModel
}

extension ModelProvider {
    /// The family runs.
    public static var conversionOnly: String? { nil }

    /// Throws, because there is no model.
    public func provide(_ weights: ModelWeights) throws -> any CausalModel {
        try Self.checkRuns()
        throw BridgeError(
            .badPlugin,
            "\(Self.self) has no provide(_:), which makes the model; add it, or give the reason in 'static let conversionOnly: String?' "
                + "if the family can only be converted"
        )
    }

    /// Checks that models of the family run, whether or not there is a `provide(_:)`.
    ///
    /// - Throws: `BridgeError` with the reason of ``ModelProvider/conversionOnly``.
    package static func checkRuns() throws {
        guard let reason = conversionOnly else { return }
        throw BridgeError(
            .unsupportedArchitecture,
            "models of this family can be converted and not run: \(reason)"
        )
    }
}

/// The definition of a family for the core: its configuration, its parameters and its names.
///
/// A bridge describes; it never sees a file, a rank or a weight.
public protocol ModelBridge: Sendable {
    /// The translated configuration.
    associatedtype Provider: ModelProvider

    /// The family's name, as `bridge toy --family` takes it.
    var name: String { get }
    /// The values of `architectures` in `config.json` that are this family's.
    var architectures: [String] { get }
    /// The architecture that transformers' auto classes choose for a `model_type`, for configurations that name none.
    var modelTypes: [String: String] { get }
    /// The keys of `config.json` and the provider's fields.
    var configuration: ConfigurationTable<Provider> { get }
    /// Other names under which transformers has stored the same tensors.
    var keyMappings: [KeyMapping] { get }
    /// The names of modules in transformers' memory, if they differ from the names of the table's tensors.
    ///
    /// Adapters are stored under these names. Of transformers 5.23.
    var moduleNames: KeyMapping { get }
    /// The initial value of the elements of a norm's weight or of a bias.
    ///
    /// - Parameter name: Megatron's name.
    /// - Returns: The number that changes nothing: 1 for a weight, 0 for a bias.
    func initialValue(ofVector name: String) -> Float
    /// Tensors that may be in a checkpoint and are not needed, with the reason.
    var ignoredTensors: [IgnoredTensors] { get }
    /// Toy models of this family.
    var toy: ToyRecipe { get }
    /// Recommended recipes for training models of this family.
    var recipes: [RecipeTemplate] { get }

    /// The classes of Megatron Bridge that build models of this family; of several for an architecture, the first is written.
    var providerClasses: [ProviderClass] { get }

    /// The parameters with their tensors.
    ///
    /// - Parameters:
    ///   - provider: The model.
    ///   - style: Whose names the tensors have.
    /// - Returns: The table.
    func parameters(of provider: Provider, style: HuggingFaceDirectory.Style) -> ParameterTable

    /// The processor that converts text and images to the inputs of a model.
    ///
    /// - Parameters:
    ///   - provider: The model.
    ///   - files: The tokenizer and its settings.
    /// - Returns: The processor; nil for a family that reads text only.
    /// - Throws: `BridgeError` for settings that are wrong, or that do not fit the model.
    func processor(for provider: Provider, files: ProcessorFiles) throws -> (any ModelProcessor)?

    /// The model as llama.cpp has it: the keys and the names of tensors of its GGUF files.
    ///
    /// - Parameters:
    ///   - provider: The model.
    ///   - files: The tokenizer and the processor.
    /// - Returns: The description.
    /// - Throws: `BridgeError` for a family that llama.cpp does not have.
    func gguf(of provider: Provider, files: ProcessorFiles) throws -> GGUFModel

    /// The keys of the processor's files, by file; none for a family that reads text only.
    var processorSettings: [SettingsTable] { get }

    /// The class that transformers has for the family's tokenizer; nil where a `tokenizer.json` is used as it is.
    var tokenizerClass: TokenizerClass? { get }

    /// The keys of `params.json`; nil for a family that is published with `config.json` only.
    var parameterSettings: SettingsTable? { get }

    /// `config.json` with the same meaning as the `params.json` that some makers publish; nil when it is not this family's.
    ///
    /// - Throws: `BridgeError` for a file of this family that lacks something.
    func translated(parameters: JSON, name: String) throws -> JSON?

    /// The `params.json` of a model, the inverse of ``translated(parameters:name:)``, keeping the keys of `base`.
    func parameters(configuration: JSON, base: JSON) -> JSON
}

extension ModelBridge {
    /// The reason why models of the family can be converted and not run; nil for a family that runs.
    public var conversionOnly: String? { Provider.conversionOnly }
    /// None is chosen.
    public var modelTypes: [String: String] { [:] }
    /// None: checkpoints for Megatron Bridge then have no `run_config.yaml` that it loads.
    public var providerClasses: [ProviderClass] { [] }
    /// No other names.
    public var keyMappings: [KeyMapping] { [] }
    /// The table's names.
    public var moduleNames: KeyMapping { KeyMapping("transformers, in memory", []) }
    /// 0 for a bias, 1 for a weight.
    public func initialValue(ofVector name: String) -> Float { name.hasSuffix("bias") ? 0 : 1 }
    /// No tensor is ignored.
    public var ignoredTensors: [IgnoredTensors] { [] }
    /// This family recommends none.
    public var recipes: [RecipeTemplate] { [] }
    /// This family reads text only.
    public func processor(for provider: Provider, files: ProcessorFiles) throws -> (any ModelProcessor)? { nil }
    /// Refuses, because llama.cpp's names of this family's tensors are not known.
    public func gguf(of provider: Provider, files: ProcessorFiles) throws -> GGUFModel {
        throw BridgeError(
            .unsupportedArchitecture,
            "models of the family \(name) cannot be written as GGUF: its plugin does not describe how llama.cpp has them; "
                + "write a Hugging Face directory, and convert it with llama.cpp's own converter"
        )
    }
    /// This family reads text only.
    public var processorSettings: [SettingsTable] { [] }
    /// A `tokenizer.json` is used as it is.
    public var tokenizerClass: TokenizerClass? { nil }
    /// This family is published with `config.json` only.
    public var parameterSettings: SettingsTable? { nil }
    /// This family is published with `config.json` only.
    public func translated(parameters: JSON, name: String) throws -> JSON? { nil }
    /// This family is published with `config.json` only.
    public func parameters(configuration: JSON, base: JSON) -> JSON { base }

    /// Every key of `config.json` with its verdict: those of the table, and those that any configuration may have.
    public var configurationSettings: SettingsTable {
        let own = configuration.settings
        let known = Set(own.map(\.key))
        // A composite configuration has the common keys in each of its parts.
        let parts = ["text_config.", "vision_config."].filter { part in own.contains { $0.key.hasPrefix(part) } }
        let common = ([""] + parts).flatMap { part in
            CommonSettings.table.settings.map { setting in
                // Vision towers attend in both directions whatever the value.
                let isTowers = part == "vision_config." && setting.key == "is_causal"
                return Setting(
                    part + setting.key,
                    isTowers ? .noEffect("the tower attends in both directions") : setting.verdict
                )
            }
        }
        return SettingsTable(
            file: "config.json",
            source: CommonSettings.table.source,
            settings: own
                + (common + QuantizationSettings.settings(for: parts)).filter { !known.contains($0.key) }
        )
    }

    /// The provider that a configuration describes, checked.
    ///
    /// - Returns: The provider, and the paths of the keys that have no verdict.
    /// - Throws: `BridgeError` with code `badConfiguration`.
    public func provider(configuration json: JSON, name: String) throws -> (provider: Provider, unread: [String]) {
        let (provider, _) = try configuration.decode(json, name: name)
        let settings = configurationSettings
        try settings.check(json, name: name)
        try provider.validate(name: name)
        return (provider, settings.unknownKeys(of: json))
    }
}

/// Tensors that a checkpoint may hold and that no parameter needs.
public struct IgnoredTensors: Sendable {
    /// Their names.
    public let names: NameGlob
    /// The reason why the model does not need them.
    public let reason: String

    /// A rule.
    public init(_ names: String, because reason: String) {
        self.names = NameGlob(names)
        self.reason = reason
    }
}
