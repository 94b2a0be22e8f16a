import BridgeCore
import Communication
import JSONTree
import TensorRuntime

/// A mistake that the author of a plugin may make.
enum Mutation: Sendable, CaseIterable {
    case none
    case wrongSplit, wrongStage, wrongParts
    case lostTensor, unreadLine, transposedProjection, transposedSquare
    case swappedGateAndUp, swappedKeyAndValue, movedRotaryPairs, wrongNormOffset
    case fixedLayer, repeatedTensor, transformWithoutInverse, lossyTransform
    case keyWithoutVerdict, unreadKey, wrongLayerCount
    case positionsOfTheBatch, lostGradient, scaleOfTheLayout
    case otherArchitecture, rescaledKey, roundingTransform, undividedRows, wrongProviderField, parameterInTwoParts,
        fixedSize, movedColumns, undecidedKey, unreadBase
    /// Not a mistake: the embeddings go through a native kernel.
    case cappedEmbeddings
}

/// A family with the model of the fixture `mistral`, and a mistake.
struct MutatedPlugin: ModelPlugin {
    var mutation = Mutation.none
    var bridges: [any ModelBridge] { [MutatedBridge(mutation: mutation)] }
}

struct MutatedProvider: ModelProvider {
    var decoder = DecoderConfiguration()
    var elementType: ElementType?
    var mutation = Mutation.none

    func validate(name: String) throws { try decoder.validate(name: name) }

    func provide(_ weights: ModelWeights) throws -> any CausalModel { try MutatedModel(self, weights) }
}

final class MutatedModel: CausalModel {
    let decoder: TransformerDecoder
    let vision: (any VisionEncoder)?

    init(_ provider: MutatedProvider, _ weights: ModelWeights) throws {
        var form = try DecoderArchitecture(alike: provider.decoder)
        if provider.mutation == .wrongNormOffset {
            form.norm = RMSNormOptions(epsilon: form.norm.epsilon, gainOffset: 1)
        }
        if provider.mutation == .positionsOfTheBatch {
            // The scale of a token depends on its position in the pass, not in the sequence.
            form.embeddingFunction = { rows in
                let scales = (0..<rows.shape[0]).map { 1 + Float($0) / 16 }
                return rows * Tensor(scales, shape: [rows.shape[0], 1], on: rows.engine)
            }
        }
        if provider.mutation == .scaleOfTheLayout {
            form.embeddingScale = Float(weights.parallelism.groups.mp.size)
        }
        if provider.mutation == .lostGradient { form.embeddingFunction = { $0.detached } }
        if provider.mutation == .cappedEmbeddings {
            let softcap = try weights.kernels.kernel("softcap")
            form.embeddingFunction = { try softcap([$0.cast(to: .float32)], [0.75]) }
        }
        decoder = try TransformerDecoder(provider.decoder, form: form, weights: weights)
        vision = provider.mutation == .parameterInTwoParts ? NormAsProjector(decoder.finalNorm.weight) : nil
    }
}

/// A projector that has a parameter of the language model.
private final class NormAsProjector: VisionEncoder {
    let towerParameters: [Parameter] = []
    let projectorParameters: [Parameter]
    init(_ norm: Parameter) { projectorParameters = [norm] }
    func features(of images: [Tensor]) -> [Tensor] { [] }
}

/// The rows of the second tensor twice, and those of the first not at all.
private struct LossyTransform: ParameterTransform {
    let base: Stacking
    var summary: String { "lossy" }
    func toMegatron(_ tensors: [TensorView]) -> TensorView { base.toMegatron([tensors[1], tensors[1]]) }
    func toHuggingFace(_ parameter: TensorView) -> [TensorView] { base.toHuggingFace(parameter) }
    func toLayers(_ parameter: TensorView) -> [TensorView] { base.toLayers(parameter) }
    func fromLayers(_ matrices: [TensorView]) -> TensorView { base.fromLayers(matrices) }
}

/// Stacks the tensors, rounded to bfloat16.
private struct RoundingTransform: ParameterTransform {
    let base: Stacking
    var summary: String { "rounding" }
    func toMegatron(_ tensors: [TensorView]) -> TensorView {
        base.toMegatron(tensors.map { $0.elementType == .float32 ? $0.cast(to: .bfloat16) : $0 })
    }
    func toHuggingFace(_ parameter: TensorView) -> [TensorView] { base.toHuggingFace(parameter) }
    func toLayers(_ parameter: TensorView) -> [TensorView] { base.toLayers(parameter) }
    func fromLayers(_ matrices: [TensorView]) -> TensorView { base.fromLayers(matrices) }
}

/// The halves of a matrix, left and right, exchanged: an adapter's rows do not tell.
private struct ColumnTransform: ParameterTransform {
    var summary: String { "columns exchanged" }
    private func exchanged(_ view: TensorView) -> TensorView {
        let half = view.width / 2
        return .concatenate(columns: [view.columns(half..<view.width), view.columns(0..<half)])
    }
    func toMegatron(_ tensors: [TensorView]) -> TensorView { exchanged(tensors[0]) }
    func toHuggingFace(_ parameter: TensorView) -> [TensorView] { [exchanged(parameter)] }
}

/// Stacks the tensors in one order and separates them in the other.
private struct OneWayTransform: ParameterTransform {
    let base: Stacking
    var summary: String { "one way" }
    func toMegatron(_ tensors: [TensorView]) -> TensorView { base.toMegatron(tensors) }
    func toHuggingFace(_ parameter: TensorView) -> [TensorView] { base.toHuggingFace(parameter).reversed() }
    func toLayers(_ parameter: TensorView) -> [TensorView] { base.toLayers(parameter) }
    func fromLayers(_ matrices: [TensorView]) -> TensorView { base.fromLayers(matrices) }
}

struct MutatedBridge: ModelBridge {
    var mutation: Mutation
    var name = "mutated"
    var architectures = ["MistralForCausalLM"]
    let modelTypes = ["mistral": "MistralForCausalLM"]

    var toy: ToyRecipe {
        ToyRecipe(
            tiny: tiny,
            realSizes: [],
            layersPath: "num_hidden_layers",
            hiddenPath: "hidden_size",
            values: [(NameGlob("*norm.weight"), ToyValues(around: 1, spread: 0.25))],
            sideFiles: { configuration in
                TekkenToy.files(
                    vocabularySize: configuration["vocab_size"]?.integer ?? 0,
                    chatTemplate: "{{ messages[0]['content'] }}"
                )
            }
        )
    }

    private var tiny: JSON {
        var configuration: JSON = [
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "num_hidden_layers": 4,
            "hidden_size": 48,
            "intermediate_size": 88,
            "num_attention_heads": 12,
            "num_key_value_heads": 4,
            "head_dim": 10,
            "vocab_size": 600,
            "max_position_embeddings": 512,
            "rms_norm_eps": 0.002,
            "rope_theta": 200_000.0,
            "sliding_window": 24,
            "tie_word_embeddings": false,
            "initializer_range": 0.03,
            "attention_dropout": 0.0,
            "hidden_act": "silu",
            "torch_dtype": "bfloat16",
        ]
        // As wide as all heads together, so that the projection back is square.
        if mutation == .transposedSquare { configuration.set(120, at: "hidden_size") }
        if mutation == .otherArchitecture { configuration.set(["LlamaForCausalLM"], at: "architectures") }
        if mutation == .undecidedKey { configuration.set(0.22, at: "residual_multiplier") }
        if mutation == .keyWithoutVerdict { configuration.set(7, at: "attention_sink_size") }
        return configuration
    }

    var configuration: ConfigurationTable<MutatedProvider> {
        let source = "MistralConfig, transformers 5.23"
        let fields = DecoderFields<MutatedProvider>(\.decoder, source: source)
        let mutation = mutation
        let standardizing: @Sendable (JSON) -> JSON = { Self.standardized($0, mutation) }
        var table = ConfigurationTable<MutatedProvider>(
            standardizing: standardizing
        ) {
            Field("model_type", "model_type", \.decoder.modelType)
            fields.numLayers(1)
            fields.hiddenSize(1)
            fields.ffnHiddenSize(1)
            fields.numAttentionHeads(1)
            fields.numQueryGroups(8)
            Field(
                "head_dim",
                "kv_channels",
                \.decoder.kvChannels,
                ifAbsent: .derived(rule: "hidden_size / num_attention_heads") {
                    $0.decoder.hiddenSize / max($0.decoder.numAttentionHeads, 1)
                }
            )
            fields.vocabSize(1)
            fields.seqLength(131_072)
            fields.layernormEpsilon(1e-6)
            fields.rotaryBase(10000)
            RopeScaling.fields(in: "rope_scaling", \.decoder.ropeScaling, ignoresPartialRotaryFactor: true)
            RopeStandardization.otherSpellings(of: "rope_scaling", ["rope_parameters"])
            fields.slidingWindow(4096)
            Field(
                "tie_word_embeddings",
                "share_embeddings_and_output_weights",
                \.decoder.shareEmbeddingsAndOutputWeights,
                ifAbsent: .classDefault(false, source: source)
            )
            fields.initMethodStd(0.02)
            fields.attentionDropout(0)
            Field("torch_dtype", "params_dtype", \.elementType, ifAbsent: .classDefault(nil, source: source))
            fields.activation("silu")
            Field.noEffect("mutation", because: "of the test")
        }
        if mutation == .undecidedKey { table.fields += Field.undecided("residual_multiplier") }
        if mutation == .unreadBase {
            // Another line calls the key read.
            table.fields.removeAll { $0.megatron == "rotary_base" }
        }
        if mutation == .unreadKey {
            table.fields.append(
                Field("epsilon", "epsilon", \.decoder.layernormEpsilon, ifAbsent: .classDefault(1e-6, source: source))
            )
        }
        // The model is made from the provider alone.
        table.fields.append(
            Field(
                ["a_key_that_no_file_has"],
                "mutation_number",
                \.mutationNumber,
                ifAbsent: .derived(rule: "the mutation") { _ in Self.number(mutation) },
                writesDefault: false
            )
        )
        return table
    }

    @Sendable private static func standardized(_ json: JSON, _ mutation: Mutation) -> JSON {
        var json = RopeStandardization.flat(json, into: "rope_scaling", defaultTheta: 10000)
        if mutation == .rescaledKey {
            json.set(json["max_position_embeddings"]?.integer.map { JSON(2 * $0) }, at: "max_position_embeddings")
        }
        return json
    }

    var providerClasses: [ProviderClass] {
        let isWrong = mutation == .wrongProviderField
        return [
            ProviderClass(
                "megatron.bridge.models.mutated.MutatedModelProvider",
                architecture: "MistralForCausalLM",
                fields: { _, _ in isWrong ? [(name: "layernorm_epsilon", value: JSON(0.25))] : [] }
            )
        ]
    }

    private static func number(_ mutation: Mutation) -> Int { Mutation.allCases.firstIndex(of: mutation) ?? 0 }

    func parameters(of provider: MutatedProvider, style: HuggingFaceDirectory.Style) -> ParameterTable {
        let decoder = DecoderParameters(provider.decoder, names: .transformers())
        var table = ParameterTable {
            decoder.embedding
            Layers(provider.decoder.numLayers) {
                decoder.attention
                decoder.gatedMLP
            }
            decoder.head
        }
        change(&table, provider.decoder)
        return table
    }

    /// The lines: embedding, norm, qkv, proj, norm, fc1, fc2, final norm, output layer.
    private func change(_ table: inout ParameterTable, _ decoder: DecoderConfiguration) {
        let heights = [decoder.ffnHiddenSize, decoder.ffnHiddenSize]
        switch mutation {
        case .none, .wrongNormOffset, .keyWithoutVerdict, .unreadKey, .cappedEmbeddings, .positionsOfTheBatch,
            .lostGradient, .scaleOfTheLayout, .otherArchitecture, .rescaledKey, .wrongProviderField,
            .parameterInTwoParts, .undecidedKey, .unreadBase:
            break
        case .wrongSplit: table.mappings[3].split = .column
        case .wrongStage: table.mappings[7].stage = .first
        case .wrongParts: table.mappings[2].parts = nil
        case .lostTensor: table.mappings.remove(at: 4)
        case .unreadLine:
            var line = table.mappings[4]
            line.megatron = "decoder.layers.*.mlp.linear_fc3.layer_norm_weight"
            line.huggingFace = ["model.layers.*.third_layernorm.weight"]
            table.mappings.insert(line, at: 5)
        case .transposedProjection, .transposedSquare: table.mappings[3].transform = Transposition()
        case .swappedGateAndUp: table.mappings[5].huggingFace.swapAt(0, 1)
        case .swappedKeyAndValue: table.mappings[2].huggingFace.swapAt(1, 2)
        case .movedRotaryPairs:
            table.mappings[2].transform = WithRotaryPairs(
                table.mappings[2].transform,
                rotated: [0, 1],
                headWidth: decoder.kvChannels
            )
        case .fixedLayer: table.mappings[6].huggingFace = ["model.layers.0.mlp.down_proj.weight"]
        case .repeatedTensor: table.mappings[4].huggingFace = table.mappings[1].huggingFace
        case .transformWithoutInverse: table.mappings[5].transform = OneWayTransform(base: Stacking(heights: heights))
        case .lossyTransform: table.mappings[5].transform = LossyTransform(base: Stacking(heights: heights))
        case .wrongLayerCount: table.mappings[6].repetitions -= 1
        case .roundingTransform: table.mappings[5].transform = RoundingTransform(base: Stacking(heights: heights))
        case .undividedRows: table.mappings[2].parts = 25
        case .fixedSize: table.mappings[1].shapes = [[48]]
        case .movedColumns: table.mappings[3].transform = ColumnTransform()
        }
    }
}

extension MutatedProvider {
    fileprivate var mutationNumber: Int {
        get { Mutation.allCases.firstIndex(of: mutation) ?? 0 }
        set { mutation = Mutation.allCases[newValue] }
    }
}
