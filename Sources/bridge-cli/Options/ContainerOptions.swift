import ArgumentParser
import BridgeCore

/// The containers that a command writes.
protocol ContainerFormat: ExpressibleByArgument, CaseIterable, RawRepresentable<String> {
    /// Bridge's own, the default.
    static var native: Self { get }
    /// The names of the others, for the help.
    static var others: String { get }
    /// Those with several files for each rank.
    static var withWriters: String { get }
}

/// The container of a Megatron checkpoint that is written.
struct ContainerOptions<Format: ContainerFormat>: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("The container: native, \(Format.others).", valueName: "name"))
    var format = Format.native

    @Option(
        name: .long,
        help: ArgumentHelp("Files of each rank with --format \(Format.withWriters). (default: 2)", valueName: "n")
    )
    var writers: Int?

    @Flag(
        name: .long,
        help: "Write integrity.json with the SHA-256 of all files, which Megatron-Core compares on demand (torch_dist)."
    )
    var integrity = false

    /// The container.
    private var container: NativeCheckpoint.Container {
        format.rawValue == Format.native.rawValue ? .native : .torchDist
    }

    /// What the library needs to know.
    var choice: ContainerChoice {
        ContainerChoice(container: container, writers: writers ?? 2, writesIntegrity: integrity)
    }

    func validate() throws {
        let name = format.rawValue
        guard !integrity || name == MegatronFormat.torchDist.rawValue else {
            throw ValidationError("--integrity has no effect with --format \(name), expected torch_dist")
        }
        guard let writers else { return }
        guard container != .native else {
            throw ValidationError("--writers has no effect with --format native, which has a file for each rank")
        }
        guard (1...1024).contains(writers) else {
            throw ValidationError("--writers is \(writers), expected 1 to 1024")
        }
    }
}

/// A container with what it is written with.
struct ContainerChoice {
    var container = NativeCheckpoint.Container.native
    var writers = 2
    var writesIntegrity = false
}

/// The containers of an import.
enum ImportFormat: String, ContainerFormat {
    case native
    case torchDist = "torch_dist"
    case stateDict = "dcp"

    static let others =
        "torch_dist, which Megatron-Core and Megatron Bridge load, or dcp, PyTorch's distributed checkpoint with the names of "
        + "the Hugging Face model"
    static let withWriters = "torch_dist or dcp"
}

/// The containers with Megatron's names.
enum MegatronFormat: String, ContainerFormat {
    case native
    case torchDist = "torch_dist"

    static let others = "or torch_dist, which Megatron-Core and Megatron Bridge load"
    static let withWriters = "torch_dist"
}
