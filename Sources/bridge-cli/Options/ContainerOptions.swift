import ArgumentParser
import BridgeCore

/// The container of a Megatron checkpoint that is written.
struct ContainerOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The container: native, torch_dist, which Megatron-Core and Megatron Bridge load, or dcp, PyTorch's distributed "
                + "checkpoint with the names of the Hugging Face model.",
            valueName: "name"
        )
    )
    var format = Format.native

    @Option(
        name: .long,
        help: ArgumentHelp("Files of each rank with --format torch_dist or dcp. (default: 2)", valueName: "n")
    )
    var writers: Int?

    @Flag(
        name: .long,
        help: "Write integrity.json with the SHA-256 of all files, which Megatron-Core compares on demand (torch_dist)."
    )
    var integrity = false

    /// The containers under their names.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case native
        case torchDist = "torch_dist"
        case stateDict = "dcp"

        var container: NativeCheckpoint.Container { self == .native ? .native : .torchDist }
    }

    func validate() throws {
        guard !integrity || format == .torchDist else {
            throw ValidationError("--integrity has no effect with --format \(format.rawValue), expected torch_dist")
        }
        guard let writers else { return }
        guard format != .native else {
            throw ValidationError("--writers has no effect with --format native, which has a file for each rank")
        }
        guard (1...1024).contains(writers) else {
            throw ValidationError("--writers is \(writers), expected 1 to 1024")
        }
    }
}
