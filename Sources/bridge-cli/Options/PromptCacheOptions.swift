import ArgumentParser
import BridgeCore
import JSONTree

/// A file that keeps the keys and values of the beginning of a prompt.
struct PromptCacheOptions: ParsableArguments {
    @Option(
        name: .customLong("prompt-cache"),
        help: ArgumentHelp(
            """
            A file that keeps the computed beginning of the prompt, images included. It is written if it does not exist; \
            otherwise the beginning that is the same is read from it, and the rest is computed.
            """,
            valueName: "file"
        ),
        completion: .file(extensions: ["safetensors"])
    )
    var path: String?

    @Flag(name: .customLong("prompt-cache-ro"), help: "Only read --prompt-cache; the file has to exist.")
    var isReadOnly = false

    func validate() throws {
        if path?.isEmpty ?? false { throw ValidationError("--prompt-cache is empty; give the path of a file") }
        if isReadOnly, path == nil { throw ValidationError("--prompt-cache-ro requires --prompt-cache") }
    }

    /// Refuses a file that cannot be read or written, before a model is loaded.
    ///
    /// - Throws: `BridgeError` with what to do.
    func check() throws {
        guard let path else { return }
        let kind = Files.kind(of: path)
        if kind == .directory {
            throw BridgeError(
                .badArgument,
                "--prompt-cache \(path) is a directory, expected a file; choose another path"
            )
        }
        guard kind == nil else { return }
        if isReadOnly {
            throw BridgeError(
                .fileSystem,
                "--prompt-cache \(path) does not exist; remove --prompt-cache-ro to write it, or give another file"
            )
        }
        try Destination.checkParent(of: path, option: "--prompt-cache ")
    }

    /// The cache of a model; nil without the option.
    ///
    /// - Parameters:
    ///   - model: The model in memory.
    ///   - bridge: Its description.
    ///   - options: The options that it was loaded with.
    ///   - quantization: The options of its quantization.
    /// - Returns: The cache.
    /// - Throws: `BridgeError` for an adapter that cannot be read.
    func cache(
        of model: any CausalModel,
        _ bridge: AutoBridge,
        _ options: ModelOptions,
        _ quantization: QuantizationOptions
    ) throws -> PromptCache? {
        guard let path else { return nil }
        let adapter = try options.adapterDirectory().map { directory in
            var files: [String] = []
            try Files.walk(directory) { entry in
                if entry.kind == .file { files.append(Files.join(directory, entry.path)) }
                return true
            }
            return try ContentFingerprint.of(files)
        }
        let identity = PromptCache.Identity(
            of: model,
            configuration: JSON.object(bridge.megatronFields).compactText,
            adapter: adapter,
            quantization: quantization.summary
        )
        var cache = PromptCache(path: path, identity: identity, isReadOnly: isReadOnly)
        // From then on there is a partial file, which is removed.
        cache.willWrite = { Interrupt.exitsImmediately(false) }
        return cache
    }

    /// Prints how many tokens were read from the file, or that it was written.
    func report(_ timings: Generator.Timings) {
        guard let path else { return }
        let all = timings.cachedTokens + timings.prefillTokens
        if timings.writesPromptCache {
            Output.printError("wrote the prompt cache \(path) with \(ByteFormat.counted(all, "token"))")
        } else if timings.cachedTokens == 0 {
            Output.printError(
                "note: the prompt cache \(path) has no beginning of this prompt, so all \(ByteFormat.counted(all, "token")) were computed"
            )
        } else {
            Output.printError(
                "prompt cache: \(timings.cachedTokens) of \(ByteFormat.counted(all, "token")) read from \(path)"
            )
        }
    }
}
