import ArgumentParser
import BridgeCore

/// The directory of the images of a data set.
struct ImageFolderOptions: ParsableArguments {
    @Option(
        name: .customLong("image-folder"),
        help: ArgumentHelp(
            "Directory that image paths are relative to. (default: the directory of the data)",
            valueName: "path"
        ),
        completion: .directory
    )
    var imageFolder: String?

    /// The directory; empty for that of the data file.
    var path: String { imageFolder ?? "" }

    /// Refuses a directory without an effect.
    func check(_ processor: any ModelProcessor) throws {
        guard let imageFolder else { return }
        guard processor.imageTokens != nil else {
            throw BridgeError(
                .badArgument,
                "--image-folder has no effect: this model reads text only; remove the option"
            )
        }
        guard Files.kind(of: imageFolder) == .directory else {
            throw BridgeError(
                .fileSystem,
                "--image-folder is \(imageFolder), which is not a directory; give the directory that image paths are relative to"
            )
        }
    }
}
