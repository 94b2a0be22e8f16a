import ArgumentParser

/// Where the images are that rows of data name.
struct ImageFolderOptions: ParsableArguments {
    @Option(
        name: [.customLong("image-folder"), .customLong("image_folder")],
        help: ArgumentHelp(
            "What paths of images are relative to; without it the directory of the data.",
            valueName: "path"
        ),
        completion: .directory
    )
    var imageFolder: String?

    /// The directory; empty for that of the data.
    var path: String { imageFolder ?? "" }
}
