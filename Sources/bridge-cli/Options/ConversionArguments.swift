import ArgumentParser
import BridgeCore
import TensorRuntime

/// The common options of import, export and reshard.
struct ConversionArguments: ParsableArguments {
    @Option(
        name: .customLong("dtype"),
        help: ArgumentHelp(
            "Convert the weights to float32, float16 or bfloat16. (default: as stored)",
            valueName: "type"
        )
    )
    var elementType: WeightType?

    @Option(
        name: .customLong("allow-missing"),
        help: ArgumentHelp(
            "Tensors that may be missing or unmapped, such as '*.rotary_emb.*'; may be repeated.",
            valueName: "glob"
        )
    )
    var allowMissing: [String] = []

    @Flag(name: .long, help: "Replace an existing destination.")
    var overwrite = false

    @Flag(name: .customLong("dry-run"), help: "Print the plan and write nothing.")
    var dryRun = false

    /// The supported element types of converted weights.
    enum WeightType: String, ExpressibleByArgument, CaseIterable {
        case float32
        case float16
        case bfloat16

        var elementType: ElementType {
            switch self {
            case .float32: .float32
            case .float16: .float16
            case .bfloat16: .bfloat16
            }
        }
    }

    /// The library's options.
    func options(
        _ layout: LayoutOptions? = nil,
        _ container: ContainerChoice = ContainerChoice(),
        context: RunContext
    ) -> ConversionOptions {
        ConversionOptions(
            layout: layout?.layout ?? .single,
            elementType: elementType?.elementType,
            allowMissing: allowMissing.map { NameGlob($0) },
            overwrite: overwrite,
            vocabularyMultiple: layout?.vocabularyMultiple,
            container: container.container,
            writers: container.writers,
            writesIntegrity: container.writesIntegrity,
            context: context
        )
    }
}
