import BridgeSupport
import JSONTree

extension NativeCheckpoint {
    /// The directory of a tokenizer that Megatron Bridge writes beside the weights.
    private static let tokenizerDirectory = "tokenizer"

    /// Whether the checkpoint has the files of the Hugging Face directory that it was made from.
    package var carriesSource: Bool { container == .native || torchDist?.isOwn ?? false }

    /// The file that has the configuration, for messages.
    package var configurationName: String {
        Files.join(
            path,
            carriesSource
                ? Files.join(Self.huggingFaceDirectory, manifest.style.configurationName)
                : TorchDistDirectory.runConfigurationName
        )
    }

    /// The directory with the files of the tokenizer and the processor; it may be missing in another program's checkpoint.
    package var processorDirectory: String {
        let own = Files.join(path, Self.huggingFaceDirectory)
        let tokenizer = Files.join(path, Self.tokenizerDirectory)
        return carriesSource || !Files.exists(tokenizer) && Files.kind(of: own) == .directory ? own : tokenizer
    }

    /// The files of a tokenizer in another program's checkpoint, as paths inside it.
    package var tokenizerFiles: [String] {
        let names = (try? Files.list(Files.join(path, Self.tokenizerDirectory))) ?? []
        return names.map { Files.join(Self.tokenizerDirectory, $0) }.filter {
            Files.kind(of: Files.join(path, $0)) == .file
        }
    }

    /// What stands for the files of a Hugging Face directory where the checkpoint has none: its configuration, as it is
    /// described, and the files of its tokenizer.
    ///
    /// - Returns: The files, as paths inside a checkpoint; empty for one that has its source's.
    /// - Throws: `BridgeError` for a file that cannot be read.
    package func describedSource() throws -> [PlannedFile] {
        guard !carriesSource else { return [] }
        let name = Files.join(Self.huggingFaceDirectory, manifest.style.configurationName)
        return try [.literal(name: name, configuration.text())]
            + tokenizerFiles.map {
                .copy(
                    name: Files.join(Self.huggingFaceDirectory, Files.name(of: $0)),
                    of: try CarriedFiles.open($0, in: path)
                )
            }
    }

    /// The iterations of a directory before one of them, oldest first.
    public static func iterations(in directory: String, before path: String) -> [String] {
        let number = iteration(inName: Files.name(of: Files.trimmed(path))) ?? .max
        return ((try? iterations(in: directory)) ?? []).filter { $0.iteration < number }.map(\.path)
    }

    /// The files of an iteration that are missing, by what the files that describe it list.
    ///
    /// - Parameter path: The directory of an iteration.
    /// - Returns: Their paths inside it, sorted; empty for a complete one, and where the description cannot be read.
    public static func missingFiles(of path: String) -> [String] {
        var names: Set<String> = []
        if Files.exists(Files.join(path, manifestName)) {
            names = Set((try? manifest(of: path))?.files.map(\.name) ?? [])
        } else {
            let metadata = Files.join(path, DistributedMetadata.name)
            names = Set((try? DistributedMetadata(path: metadata))?.files ?? [])
            names.formUnion((try? FileChecksums.read(in: path))?.files.map(\.name) ?? [])
        }
        return names.filter { !Files.exists(Files.join(path, $0)) }.sorted()
    }

    /// The container, for `bridge inspect`.
    package var formatFact: String {
        switch container {
        case .native: "native, version \(NativeManifest.formatVersion)"
        case .torchDist: "torch_dist, \(ByteFormat.counted(torchDist?.metadata.files.count ?? 0, "file")) of weights"
        }
    }
}
