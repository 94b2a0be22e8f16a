import ArgumentParser
import BridgeCore
import JSONTree

/// Commands for the Hugging Face hub and its cache.
struct HubCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hub",
        abstract: "Download from the Hugging Face hub and upload to it; look at the hub and at the cache.",
        discussion: """
            Every command that takes a model, a data set or an adapter takes a hub id too, and downloads it. The cache and \
            the login are those of huggingface_hub, with the same variables: HF_HOME, HF_HUB_CACHE, HF_TOKEN, HF_ENDPOINT, \
            HF_HUB_OFFLINE and so on.

            EXAMPLES:
              bridge hub download mistralai/Ministral-3-3B-Instruct-2512-BF16
              bridge hub download HuggingFaceM4/ChartQA --type dataset --all
              bridge hub ls mistralai/Ministral-3-3B-Instruct-2512-BF16@main
              bridge hub cache
              bridge hub upload me/my-model exported --dry-run
            """,
        subcommands: [HubDownloadCommand.self, HubLs.self, HubCacheCommand.self, HubUploadCommand.self]
    )
}

/// The repository of a command.
struct RepositoryArguments: ParsableArguments {
    @Argument(help: "The repository: org/name, or org/name@revision.")
    var id: String

    @Option(name: .customLong("type"), help: ArgumentHelp("model or dataset.", valueName: "type"))
    var kind = Kind.model

    @Option(name: .long, help: ArgumentHelp("A branch, tag or commit; the same as @revision.", valueName: "name"))
    var revision: String?

    /// The library's kinds.
    enum Kind: String, ExpressibleByArgument, CaseIterable {
        case model
        case dataset

        var kind: HubRepository.Kind { self == .model ? .model : .dataset }
    }

    func validate() throws { _ = try repository() }

    /// The repository.
    func repository() throws -> HubRepository {
        guard let repository = HubRepository(id, kind: kind.kind) else {
            throw ValidationError("'\(id)' is not the id of a repository; expected org/name or org/name@revision")
        }
        guard let revision else { return repository }
        guard !id.contains("@") else {
            throw ValidationError("'\(id)' and --revision \(revision) both contain a revision; give one of them")
        }
        guard let other = HubRepository("\(id)@\(revision)", kind: kind.kind) else {
            throw ValidationError("'\(revision)' is not the name of a branch, tag or commit")
        }
        return other
    }
}

/// Downloads to the cache.
struct HubDownloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "download",
        abstract: "Download a repository to the cache and print its directory.",
        discussion: """
            Of a model, the configuration, tokenizer, processor and safetensors weights are downloaded, not the same weights \
            in other formats. Branches are re-resolved; interrupted downloads resume.

            EXAMPLES:
              bridge hub download google/gemma-3-4b-it --dry-run
            """
    )

    @OptionGroup var repository: RepositoryArguments

    @Flag(name: .long, help: "Download every file.")
    var all = false

    @Flag(name: .customLong("adapter"), help: "Download an adapter in PEFT's format, not a model.")
    var adapter = false

    @Flag(name: .customLong("dry-run"), help: "Print what would be downloaded, and download nothing.")
    var dryRun = false

    @OptionGroup var progress: ProgressOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let wanted = try repository.repository()
        let purpose: HubPurpose = all || wanted.kind == .dataset ? .everything : adapter ? .adapter : .model
        let snapshot = try HubDirectory.watched(.forceRevalidate) { hub in
            let snapshot = try hub.snapshot(of: wanted)
            if dryRun {
                try HubLs.show(snapshot, snapshot.files(for: purpose), json: output.json)
            } else {
                try snapshot.fetch(for: purpose)
            }
            return snapshot
        }
        guard !dryRun else { return }
        guard output.json else { return Output.line(snapshot.directory) }
        Output.json([
            "repository": .string("\(wanted)"), "commit": .string(snapshot.listing.commit),
            "directory": .string(snapshot.directory),
        ])
    }
}

/// Lists the files of a repository.
struct HubLs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ls",
        abstract: "List the files of a repository, and which of them are in the cache."
    )

    @OptionGroup var repository: RepositoryArguments

    @OptionGroup var output: OutputOptions

    func run() throws {
        let snapshot = try HubDirectory.watched(.forceRevalidate) { try $0.snapshot(of: repository.repository()) }
        Self.show(snapshot, snapshot.listing.files, json: output.json)
    }

    /// Prints files with their sizes.
    static func show(_ snapshot: HubSnapshot, _ files: [HubFile], json: Bool) {
        let missing = files.filter { !snapshot.isCached($0) }
        guard !json else {
            return Output.json([
                "repository": .string("\(snapshot.repository)"), "commit": .string(snapshot.listing.commit),
                "files": .array(
                    files.map { file in
                        [
                            "path": .string(file.path), "bytes": JSON(file.byteCount),
                            "cached": .bool(snapshot.isCached(file)),
                        ]
                    }
                ),
            ])
        }
        Output.table(
            [["FILE", "SIZE", "CACHED"]]
                + files.map { [$0.path, ByteFormat.text($0.byteCount), snapshot.isCached($0) ? "yes" : "no"] }
        )
        let bytes = missing.reduce(0) { $0 + $1.byteCount }
        Output.line(
            "\(ByteFormat.counted(files.count, "file")), of which \(missing.count) with \(ByteFormat.text(bytes)) are not in the cache"
        )
    }
}

/// Lists or cleans the cache.
struct HubCacheCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "List the repositories in the cache, or remove some.",
        discussion: """
            EXAMPLES:
              bridge hub cache
              bridge hub cache --remove mistralai/Ministral-3-3B-Instruct-2512-BF16
            """
    )

    @Option(
        name: .long,
        help: ArgumentHelp("A repository to remove, with all its revisions; may be repeated.", valueName: "id")
    )
    var remove: [String] = []

    @Flag(name: .customLong("dry-run"), help: "Print what would be removed, and remove nothing.")
    var dryRun = false

    @OptionGroup var output: OutputOptions

    func run() throws {
        let cache = HubDirectory.hub().cache
        let held = try cache.repositories()
        guard remove.isEmpty else { return try removeAsked(from: cache, held) }
        guard !output.json else {
            return Output.json([
                "path": .string(cache.path),
                "repositories": .array(
                    held.map { repository in
                        [
                            "id": .string(repository.id), "type": .string(repository.kind.rawValue),
                            "bytes": JSON(repository.byteCount),
                            "revisions": .array(repository.revisions.map { .string($0) }),
                            "incomplete_bytes": JSON(repository.incompleteByteCount),
                        ]
                    }
                ),
            ])
        }
        Output.table(
            [["REPOSITORY", "TYPE", "SIZE", "UNFINISHED", "REVISIONS"]]
                + held.map {
                    [
                        $0.id, $0.kind.rawValue, ByteFormat.text($0.byteCount), ByteFormat.text($0.incompleteByteCount),
                        $0.revisions.joined(separator: " "),
                    ]
                }
        )
        Output.line(
            "\(ByteFormat.text(held.reduce(0) { $0 + $1.byteCount + $1.incompleteByteCount })) in \(cache.path)"
        )
    }

    private func removeAsked(from cache: HubCache, _ held: [HubCache.CachedRepository]) throws {
        var removed: [HubCache.CachedRepository] = []
        for id in remove {
            let fitting = held.filter { $0.id == id }
            guard !fitting.isEmpty else {
                let near = NearestName.first(of: id, among: held.map(\.id))
                throw BridgeError(
                    .badArgument,
                    "\(cache.path) does not contain \(id)\(near.map { ", did you mean \($0)?" } ?? "; it contains these")",
                    names: near == nil ? held.map(\.id) : []
                )
            }
            for repository in fitting {
                if !dryRun { try Interrupt.withGracefulInterrupt { try cache.remove(repository) } }
                removed.append(repository)
                output.say(
                    "\(dryRun ? "would remove" : "removed") \(repository.id), \(ByteFormat.text(repository.byteCount))"
                )
            }
        }
        guard output.json else { return }
        Output.json([
            "path": .string(cache.path), "dry_run": .bool(dryRun),
            "removed": .array(
                removed.map {
                    [
                        "id": .string($0.id), "type": .string($0.kind.rawValue),
                        "bytes": JSON($0.byteCount),
                    ]
                }
            ),
        ])
    }
}
