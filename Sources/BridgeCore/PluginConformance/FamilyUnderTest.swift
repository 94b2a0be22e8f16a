import BridgeCore
import JSONTree
import TensorRuntime

/// A family with what its rules have in common: the toy, its model and the tables.
final class FamilyUnderTest<Bridge: ModelBridge> {
    let bridge: Bridge
    let catalog: PluginCatalog
    let engine: any TensorEngine
    let fixtures: [ReferenceFixture]
    private let scratch: String
    private var directories = 0
    private var madeToy: String?
    private var loaded: (any CausalModel)?

    init(
        _ bridge: Bridge,
        catalog: PluginCatalog,
        engine: any TensorEngine,
        fixtures: [ReferenceFixture],
        scratch: String
    ) {
        self.bridge = bridge
        self.catalog = catalog
        self.engine = engine
        self.fixtures = fixtures
        self.scratch = scratch
    }

    /// Checks a rule; what it throws is a violation.
    func outcome(of rule: ConformanceRule) -> ConformanceResult.Outcome {
        if let reason = Bridge.Provider.conversionOnly, rule.needsModel {
            return .skipped("the family can only be converted: \(reason)")
        }
        do {
            let findings = try findings(of: rule)
            return findings.isEmpty ? .kept : .broken(findings)
        } catch let reason as SkippedRule {
            return .skipped(reason.reason)
        } catch {
            return .broken([finding(of: error)])
        }
    }

    private func findings(of rule: ConformanceRule) throws -> [ConformanceFinding] {
        switch rule {
        case .configurations: configurations()
        case .settings: try settings()
        case .configurationRoundTrip: try configurationRoundTrip()
        case .configurationKeys: try configurationKeys()
        case .wildcards: try wildcards()
        case .names: try names()
        case .shapes: try shapes()
        case .transforms: try transforms()
        case .weights: try weights()
        case .splits: try splits()
        case .initialValues: try initialValues()
        case .roundTrip: try roundTrip()
        case .layouts: try layouts()
        case .torchDist: try torchDist()
        case .freezing: try freezing()
        case .decoding: try decoding()
        case .tensorParallel: try ranks(tensorSize: 2)
        case .pipelineParallel: try ranks(pipelineSize: 2)
        case .gradients: try gradients()
        case .adapters: try adapters()
        case .checkpoint: try checkpoint()
        case .parity: try parity()
        }
    }

    /// The violation that an error describes, at the line of the table whose parameter it names.
    private func finding(of error: any Error) -> ConformanceFinding {
        guard let error = error as? BridgeError else { return ConformanceFinding("\(error)") }
        let names = error.names.isEmpty ? "" : " (\(Self.listed(error.names)))"
        let text = error.message + names
        let words = text.split { " ,;:()[]\n".contains($0) }.map(String.init)
        let mappings = (try? table.mappings) ?? []
        let index = mappings.indices.first { index in
            words.contains { word in
                mappings[index].megatron.match(word) != nil
                    || mappings[index].huggingFace.contains { $0.match(word) != nil }
            }
        }
        return ConformanceFinding(text, line: index.map { line($0, of: mappings[$0]) })
    }

    /// A few of the names.
    static func listed(_ names: [String]) -> String {
        names.prefix(4).joined(separator: "; ") + (names.count > 4 ? "; and \(names.count - 4) more" : "")
    }

    /// The provider of the tiny toy.
    var provider: Bridge.Provider {
        get throws { try bridge.provider(configuration: bridge.toy.tiny, name: "the tiny configuration").provider }
    }

    /// The parameter table of the tiny toy.
    var table: ParameterTable { get throws { try bridge.parameters(of: provider, style: .transformers) } }

    /// A line of the parameter table, counted from 1.
    func line(_ index: Int, of mapping: ParameterMapping) -> String {
        "parameter table, line \(index + 1) (\(mapping.megatron))"
    }

    /// The line of the parameter table with a parameter, which may be a numbered part of a fused one.
    func line(of parameter: String) throws -> String? {
        let name = parameter.split(separator: "[").first.map(String.init) ?? parameter
        return try table.mappings.enumerated().first { $1.megatron.match(name) != nil }.map { line($0, of: $1) }
    }

    /// A new path in the scratch directory.
    func path() -> String {
        directories += 1
        return Files.join(scratch, "\(directories)")
    }

    /// The directory of the tiny toy, in float32.
    var toy: String {
        get throws {
            if let madeToy { return madeToy }
            let directory = path()
            try ToyModel(
                family: bridge.name,
                options: .init(seed: 3, elementType: .float32),
                catalog: catalog
            ).write(to: directory)
            madeToy = directory
            return directory
        }
    }

    /// The bridge of the toy.
    var autoBridge: AutoBridge { get throws { try AutoBridge.fromHF(toy, catalog: catalog) } }

    /// The model of the toy, in float32, on one rank.
    var model: any CausalModel {
        get throws {
            if let loaded { return loaded }
            let model = try autoBridge.toModel(elementType: .float32, on: engine)
            loaded = model
            return model
        }
    }

    /// Tokens of text that go beyond short windows: `count` of them, none of them an image token.
    func tokens(_ count: Int) throws -> [Int32] {
        let (vocabulary, image) = (try provider.decoder.vocabSize, try model.imageTokenID)
        return (0..<count).map { index in
            let token = (index * index * 7 + index * 3 + 11) % vocabulary
            return Int32(token == image ? (token + 1) % vocabulary : token)
        }
    }
}

/// The reason why a rule cannot be checked for a family.
struct SkippedRule: Error {
    let reason: String
}

/// The largest difference of logits, and the largest logit.
func gap(_ values: [Float], _ expected: [Float]) -> (difference: Float, scale: Float) {
    guard values.count == expected.count else { return (.infinity, 1) }
    var (difference, scale): (Float, Float) = (0, 0)
    for (value, other) in zip(values, expected) {
        let distance = abs(value - other)
        // A NaN is a difference, and no comparison finds it larger.
        difference = distance.isNaN ? .infinity : max(difference, distance)
        scale = max(scale, abs(other))
    }
    return (difference, scale)
}
