import ArgumentParser
import BridgeCore
import JSONTree
import TensorRuntime

/// Shows the contents of a checkpoint.
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the contents of a checkpoint of either kind.",
        discussion: """
            EXAMPLES:
              bridge inspect toy
              bridge inspect toy-megatron --tensors
              bridge inspect mistralai/Ministral-3-3B-Instruct-2512-BF16  # without weights
            """
    )

    @Argument(help: "A Hugging Face directory, a hub id, or a Megatron checkpoint.", completion: .directory)
    var path: String

    @Option(
        name: .customLong("hf-model"),
        help: ArgumentHelp(
            "The Hugging Face model of a Megatron checkpoint that does not describe its own.",
            valueName: "path|id"
        ),
        completion: .directory
    )
    var model: String?

    @Flag(name: .long, help: "List every tensor.")
    var tensors = false

    @Flag(
        name: .customLong("hf-config"),
        help: "Print config.json as generated from the translated configuration."
    )
    var hfConfig = false

    @OptionGroup var plugins: ModelPluginOptions
    @OptionGroup var progress: ProgressOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let catalog = try plugins.catalog()
        if hfConfig {
            let directory = try HubDirectory.resolve(path, for: .processor)
            return Output.json(try AutoBridge.forProcessing(directory, catalog: catalog).configuration())
        }
        let repository = HubRepository(meantBy: path)
        if model != nil, repository != nil || (try? AutoBridge.fromAny(path, catalog: catalog)) != nil {
            Output.warn("--hf-model has no effect: \(path) describes its model")
        }
        let checkpoint =
            try repository == nil
            ? Checkpoint(path: path, catalog: catalog) {
                try model.map { try AutoBridge.fromHF(HubDirectory.resolve($0), catalog: catalog) }
            } : Checkpoint(HubDirectory.planning(path, catalog))
        for sentence in checkpoint.damage { Output.warn(sentence) }
        if output.json { return Output.json(json(checkpoint).alsoUnder(["parameters": "numbers"])) }
        Output.table(
            (repository.map { [["repository", "\($0)"]] } ?? []) + [
                ["path", checkpoint.path], ["kind", checkpoint.kind.rawValue],
                ["architecture", checkpoint.architecture],
            ]
                + checkpoint.facts.map { [$0.name, $0.value] }
                + [["parameters", "\(checkpoint.parameterCount)"], ["size", ByteFormat.text(checkpoint.byteCount)]]
        )
        Output.line()
        Output.table(checkpoint.fields.map { [$0.key, $0.value.compactText] })
        guard tensors else { return }
        Output.line()
        Output.table(
            [["TENSOR", "SHAPE", "TYPE"]]
                + checkpoint.tensors.map { [$0.name, "\($0.view.shape)", Checkpoint.typeName(of: $0.view)] }
        )
    }

    private func json(_ checkpoint: Checkpoint) -> JSON {
        var json: JSON = [
            "path": .string(checkpoint.path),
            "kind": .string(checkpoint.kind.rawValue),
            "architecture": .string(checkpoint.architecture),
            "facts": .object(JSONObject(checkpoint.facts.map { ($0.name, .string($0.value)) })),
            "parameters": JSON(checkpoint.parameterCount),
            "bytes": JSON(checkpoint.byteCount),
            "configuration": .object(checkpoint.fields),
            "damage": .array(checkpoint.damage.map { .string($0) }),
        ]
        if tensors {
            json.set(
                .array(
                    checkpoint.tensors.map {
                        [
                            "name": .string($0.name), "shape": $0.view.shape.json,
                            "dtype": .string(Checkpoint.typeName(of: $0.view)),
                        ]
                    }
                ),
                at: "tensors"
            )
        }
        return json
    }
}
