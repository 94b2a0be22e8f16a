import ArgumentParser
import BridgeCore

/// A container with what it is written with.
protocol ContainerChoice {
    /// The container.
    var container: NativeCheckpoint.Container { get }
    /// The number of files of each rank; nil for the container's own.
    var writers: Int? { get }
    /// Whether integrity.json is written.
    var integrity: Bool { get }
    /// The container's name on the command line.
    var name: String { get }
}

extension ContainerChoice {
    /// Refuses options of another container.
    func check() throws {
        guard !integrity || name == "torch_dist" else {
            throw ValidationError("--integrity has no effect with --format \(name), expected torch_dist")
        }
        guard let writers else { return }
        guard name != "native" else {
            throw ValidationError("--writers has no effect with --format native, which has a file for each rank")
        }
        guard (1...1024).contains(writers) else {
            throw ValidationError("--writers is \(writers), expected 1 to 1024")
        }
    }
}

/// The container of a checkpoint that is imported.
struct ContainerOptions: ParsableArguments, ContainerChoice {
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
    }

    var container: NativeCheckpoint.Container { format == .native ? .native : .torchDist }
    var name: String { format.rawValue }

    func validate() throws { try check() }
}

/// The container of a checkpoint with Megatron's names.
struct MegatronContainerOptions: ParsableArguments, ContainerChoice {
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

    @Flag(
        name: .long,
        help: "Write integrity.json with the SHA-256 of all files, which Megatron-Core compares on demand (torch_dist)."
    )
    var integrity = false

    /// The containers under their names.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case native
        case torchDist = "torch_dist"
    }

    var container: NativeCheckpoint.Container { format == .native ? .native : .torchDist }
    var name: String { format.rawValue }

    func validate() throws { try check() }
}
