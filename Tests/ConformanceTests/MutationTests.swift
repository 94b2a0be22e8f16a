import BridgeCore
import JSONTree
import PluginConformance
import TensorRuntime
import TestSupport
import Testing

/// A plugin with a mistake breaks the rule that is about it, with the line of the table.
@Suite struct MutationTests {
    private static let fixture = ReferenceFixture(
        checkpoint: Fixtures.checkpoint("mistral"),
        reference: "\(Fixtures.root)/reference/mistral.safetensors"
    )

    private static func results(
        _ mutation: Mutation,
        fixture: ReferenceFixture? = fixture
    ) throws -> [ConformanceResult] {
        try ConformanceSuite(
            catalog: PluginCatalog(linked: [MutatedPlugin(mutation: mutation)]),
            engine: TestEngine.cpu(threadCount: 1),
            fixtures: fixture.map { [$0] } ?? []
        ).run()
    }

    @Test func thePluginWithoutAMistakeKeepsEveryRule() throws {
        let results = try Self.results(.none)
        #expect(results.map(\.rule) == ConformanceRule.allCases)
        for result in results { #expect(result.outcome == .kept, "\(result.rule): \(result.findings.map(\.sentence))") }
    }

    @Test func aFamilyThatIsNotRunKeepsTheRulesOfConversions() throws {
        let catalog = try PluginCatalog(linked: [ConvertedPlugin()])
        let results = try ConformanceSuite(catalog: catalog, engine: TestEngine.cpu(threadCount: 1)).run()
        let skipped = results.filter {
            $0.outcome
                == .skipped("the family can only be converted: its layers have no norms before attention and MLP")
        }
        #expect(
            skipped.map(\.rule) == [
                .weights, .splits, .initialValues, .freezing, .decoding, .tensorParallel, .pipelineParallel, .gradients,
                .adapters,
            ]
        )
        #expect(results.filter { $0.outcome == .kept }.count == 11)
        let scratch = try TemporaryDirectory()
        try ToyModel(family: "converted", options: .init(seed: 1), catalog: catalog).write(to: scratch.path("toy"))
        let bridge = try AutoBridge.fromHF(scratch.path("toy"), catalog: catalog)
        let error = #expect(throws: BridgeError.self) { _ = try bridge.toModel(on: TestEngine.cpu(threadCount: 1)) }
        #expect(error?.code == .unsupportedArchitecture)
        #expect(
            error?.message
                == "models of this family can be converted and not run: its layers have no norms before attention and MLP"
        )
    }

    /// The rule, the line and words of the sentence.
    private static let expected: [(mutation: Mutation, rule: ConformanceRule, line: String, words: [String])] = [
        (
            .wrongSplit, .splits, "line 4 (decoder.layers.*.self_attention.linear_proj.weight)",
            ["split column, expected row"]
        ),
        (.wrongStage, .splits, "line 8 (decoder.final_layernorm.weight)", ["stage first, expected last"]),
        (
            .wrongParts, .splits, "line 3 (decoder.layers.*.self_attention.linear_qkv.weight)",
            ["no parts", "4 KV groups"]
        ),
        (
            .lostTensor, .weights, "",
            ["decoder.layers.0.mlp.linear_fc1.layer_norm_weight", "not in its parameter table"]
        ),
        (
            .unreadLine, .weights, "line 6 (decoder.layers.*.mlp.linear_fc3.layer_norm_weight)",
            ["the model does not read 4 parameters", "training would lose them"]
        ),
        (
            .transposedProjection, .weights, "line 4 (decoder.layers.*.self_attention.linear_proj.weight)",
            ["has the shape [120, 48] in the model", "computes with [48, 120]"]
        ),
        (
            .swappedGateAndUp, .parity, "line 6 (decoder.layers.*.mlp.linear_fc1.weight)",
            ["up_proj.weight and", "gate_proj.weight are swapped"]
        ),
        (
            .swappedKeyAndValue, .parity, "line 3 (decoder.layers.*.self_attention.linear_qkv.weight)",
            ["v_proj.weight and", "k_proj.weight are swapped"]
        ),
        (
            .movedRotaryPairs, .parity, "line 3 (decoder.layers.*.self_attention.linear_qkv.weight)",
            ["rotary pairs of query and key", "set rotaryPairs: false"]
        ),
        (.wrongNormOffset, .parity, "", ["1 is subtracted from the weights of all norms", "gainOffset"]),
        (
            .wrongNormOffset, .initialValues, "(decoder.final_layernorm.weight)",
            ["initial value has to be 0.0, but initialValue(ofVector:) is 1.0"]
        ),
        (.fixedLayer, .wildcards, "line 7 (decoder.layers.*.mlp.linear_fc2.weight)", ["other wildcards"]),
        (.wrongLayerCount, .wildcards, "line 7 (decoder.layers.*.mlp.linear_fc2.weight)", ["for 3 layers", "has 4"]),
        (
            .repeatedTensor, .names, "line 5 (decoder.layers.*.mlp.linear_fc1.layer_norm_weight)",
            ["input_layernorm.weight is also in"]
        ),
        (
            .transformWithoutInverse, .transforms, "line 6 (decoder.layers.*.mlp.linear_fc1.weight)",
            ["toHuggingFace is not the inverse", "in another order"]
        ),
        (
            .lossyTransform, .transforms, "line 6 (decoder.layers.*.mlp.linear_fc1.weight)",
            ["4224 of the 8448 elements"]
        ),
        (
            .positionsOfTheBatch, .decoding, "",
            ["the logits of cached decoding differ", "position in the sequence, not in the batch"]
        ),
        (.scaleOfTheLayout, .tensorParallel, "", ["rank 0 of TP 2 PP 1 has logits that differ from those of one rank"]),
        (
            .scaleOfTheLayout, .pipelineParallel, "",
            ["rank 0 of TP 1 PP 2 has logits that differ from those of one rank"]
        ),
        (
            .lostGradient, .gradients, "line 1 (embedding.word_embeddings.weight)",
            ["has no gradient: nothing that the loss depends on is computed with it"]
        ),
        (.keyWithoutVerdict, .settings, "", ["the key attention_sink_size, which has no verdict"]),
        (
            .unreadKey, .configurationKeys, "configuration table, line 10 (rms_norm_eps)",
            ["does not reach the provider"]
        ),
        (
            .otherArchitecture, .configurations, "",
            ["has the architecture LlamaForCausalLM, expected one of MistralForCausalLM"]
        ),
        (
            .rescaledKey, .configurationRoundTrip, "configuration table, line 9 (max_position_embeddings)",
            ["1024 becomes 2048", "lost in a configuration that is written from nothing"]
        ),
        (
            .roundingTransform, .roundTrip, "",
            ["model-00001-of-00003.safetensors", "differs after an import with TP 1 PP 1 and an export"]
        ),
        (
            .undividedRows, .layouts, "line 3 (decoder.layers.*.self_attention.linear_qkv.weight)",
            ["25"]
        ),
        (
            .wrongProviderField, .torchDist, "",
            ["run_config.yaml gives layernorm_epsilon the value 0.25, expected 0.002", "ProviderClass"]
        ),
        (
            .parameterInTwoParts, .freezing, "line 8 (decoder.final_layernorm.weight)",
            ["is in language_model and in multi_modal_projector", "does not freeze it"]
        ),
        (
            .fixedSize, .shapes, "line 2 (decoder.layers.*.self_attention.linear_qkv.layer_norm_weight)",
            ["the shape [48] is the same in a model with other sizes"]
        ),
        (
            .fixedSize, .checkpoint, "line 2 (decoder.layers.*.self_attention.linear_qkv.layer_norm_weight)",
            ["36", "48"]
        ),
        (
            .movedColumns, .adapters, "line 4 (decoder.layers.*.self_attention.linear_proj.weight)",
            ["not made of whole rows of one Hugging Face tensor", "moves rows only"]
        ),
        (
            .undecidedKey, .settings, "(residual_multiplier)",
            ["does not decide whether the key changes a result"]
        ),
        (
            .unreadBase, .configurations, "",
            ["rotary_base is 0.0, expected more than 0 from a line of the table that reads rope_theta"]
        ),
    ]

    @Test(arguments: expected.indices) func aMistakeIsNamedWithItsLine(_ index: Int) throws {
        let (mutation, rule, line, words) = Self.expected[index]
        // Without a base no model is opened, and the fixture is one.
        let results = try Self.results(mutation, fixture: mutation == .unreadBase ? nil : Self.fixture)
        let found = try #require(results.first { $0.rule == rule })
        let sentence = try #require(found.findings.first?.sentence, "\(mutation) keeps \(rule)")
        let named = found.findings.first?.line ?? ""
        #expect(named.hasSuffix(line), "\(sentence)")
        for word in words { #expect(sentence.contains(word), "\(mutation): \(sentence)") }
    }

    @Test func everyRuleIsBrokenByAMutation() {
        #expect(Set(Self.expected.map(\.rule)) == Set(ConformanceRule.allCases))
    }

    @Test func everyMutationIsTested() {
        let tested = Set(Self.expected.map(\.mutation)).union([.none, .transposedSquare, .cappedEmbeddings])
        #expect(tested == Set(Mutation.allCases))
    }

    /// Matrices that are square have the right shape when they are transposed.
    @Test func aTransposedSquareMatrixIsFoundByItsLogits() throws {
        let fixture = ReferenceFixture(
            checkpoint: Fixtures.checkpoint("mistral-absent-window"),
            reference: "\(Fixtures.root)/reference/mistral-absent-window.safetensors"
        )
        #expect(try Self.results(.none, fixture: fixture).allSatisfy { $0.findings.isEmpty })
        let results = try Self.results(.transposedSquare, fixture: fixture)
        #expect(results.filter { !$0.findings.isEmpty }.map(\.rule) == [.parity])
        let sentence = try #require(results.last?.findings.first?.sentence)
        #expect(sentence.contains("line 4 (decoder.layers.*.self_attention.linear_proj.weight)"), "\(sentence)")
        #expect(sentence.contains("o_proj.weight is transposed; use Rename or Transpose"), "\(sentence)")
    }

    /// Whatever moves rows moves those of an adapter too; see `RotaryPairTests` for the values.
    @Test func adaptersOfAFamilyWithRotaryPairsKeepTheRule() throws {
        let results = try Self.results(.movedRotaryPairs)
        #expect(results.first { $0.rule == .adapters }?.outcome == .kept)
    }

    /// What the model does not read, as the bias of a norm, it would not compute.
    @Test(arguments: [Mutation.unreadLine, .undecidedKey]) func aModelThatWouldComputeSomethingElseIsNotMade(
        _ mutation: Mutation
    ) throws {
        let scratch = try TemporaryDirectory()
        let catalog = try PluginCatalog(linked: [MutatedPlugin(mutation: mutation)])
        try ToyModel(family: "mutated", options: .init(seed: 1), catalog: catalog).write(to: scratch.path("toy"))
        let bridge = try AutoBridge.fromHF(scratch.path("toy"), catalog: catalog)
        let engine = TestEngine.cpu(threadCount: 1)
        let expected =
            mutation == .undecidedKey
            ? ["residual_multiplier: 0.22"]
            : (0..<4).map { "decoder.layers.\($0).mlp.linear_fc3.layer_norm_weight" }
        for body in [
            { _ = try bridge.toModel(on: engine) },
            { _ = try bridge.shapeOnlyModel(elementType: .float32, on: engine) },
        ] {
            let error = #expect(throws: BridgeError.self) { try body() }
            #expect(error?.code == .badPlugin && error?.names == expected, "\(error?.message ?? "")")
        }
        // Conversions need no model.
        try bridge.importCheckpoint(to: scratch.path("megatron"))
        try bridge.exportCheckpoint(from: scratch.path("megatron"), to: scratch.path("again"))
    }

    @Test func rulesThatNeedABrokenOneAreSkipped() throws {
        let results = try Self.results(.fixedLayer)
        let skipped = results.filter { if case .skipped = $0.outcome { true } else { false } }.map(\.rule)
        #expect(skipped.contains(.names) && skipped.contains(.parity) && !skipped.contains(.settings))
        let json = try #require(results.first { $0.rule == .parity }?.json)
        let reason = "because this is broken: both sides of a line of the parameter table have the same wildcards"
        #expect(json["outcome"] == "skipped" && json["reason"]?.string == reason)
    }

    @Test func twoFamiliesOfOneNameAreAnError() throws {
        struct Renamed: ModelPlugin {
            var bridges: [any ModelBridge] {
                [MutatedBridge(mutation: .none, name: "converted", architectures: ["OtherForCausalLM"])]
            }
        }
        let error = #expect(throws: BridgeError.self) { try PluginCatalog(linked: [ConvertedPlugin(), Renamed()]) }
        #expect(
            error?.message
                == "ConvertedPlugin and Renamed both have the family converted; rename one of them, or remove a plugin"
        )
    }

    /// With the default type of rotary embeddings transformers' classes differ: Mistral's ignores the key, StableLM's does not.
    @Test func aPartOfAHeadIsRotatedOnlyWhereTheClassIgnoresTheKey() throws {
        func problems(_ bridge: some ModelBridge, _ key: String, _ share: Double) -> [String] {
            var json = bridge.toy.tiny
            json.set(JSON(share), at: key)
            do { _ = try bridge.provider(configuration: json, name: "config.json") } catch {
                return (error as? BridgeError)?.names ?? ["\(error)"]
            }
            return []
        }
        for key in ["partial_rotary_factor", "rope_parameters.partial_rotary_factor"] {
            #expect(
                problems(ConvertedBridge(), key, 0.25) == [
                    "partial_rotary_factor is 0.25; supported with rope_type default: 1, because whole heads are rotated"
                ]
            )
            #expect(problems(ConvertedBridge(), key, 1).isEmpty)
            #expect(problems(MutatedBridge(mutation: .none), key, 0.25).isEmpty)
        }
    }

    @Test func aFamilyThatDoesNotExistIsAnError() throws {
        let suite = ConformanceSuite(
            catalog: try PluginCatalog(linked: [MutatedPlugin()]),
            engine: TestEngine.cpu(threadCount: 1)
        )
        let error = #expect(throws: BridgeError.self) { try suite.run(families: ["other"]) }
        #expect(error?.message.contains("there is no family other; the plugins have mutated") == true)
    }
}
