import ArgumentParser

/// Where the images are that rows of data name.
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

    /// The directory; empty for that of the data.
    var path: String { imageFolder ?? "" }
}
