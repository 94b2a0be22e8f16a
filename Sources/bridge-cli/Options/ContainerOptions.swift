import ArgumentParser
import BridgeCore

/// The container of a Megatron checkpoint that is written.
struct ContainerOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The container: native, or torch_dist, which Megatron-Core and Megatron Bridge load.",
            valueName: "name"
        )
    )
    var format = Format.native

    @Option(
        name: .long,
        help: ArgumentHelp("Files of each rank with --format torch_dist. (default: 2)", valueName: "n")
    )
    var writers: Int?

    /// The containers under their names.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case native
        case torchDist = "torch_dist"

        var container: NativeCheckpoint.Container { self == .native ? .native : .torchDist }
    }

    func validate() throws {
        guard let writers else { return }
        guard format == .torchDist else {
            throw ValidationError("--writers has no effect with --format native, which has a file for each rank")
        }
        guard (1...1024).contains(writers) else {
            throw ValidationError("--writers is \(writers), expected 1 to 1024")
        }
    }
}
