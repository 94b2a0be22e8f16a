import ArgumentParser
import BridgeCore
import JSONTree

/// Uploads a directory.
struct HubUploadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upload",
        abstract: "Upload the files of a directory to a repository, in one commit.",
        discussion: """
            A missing repository is created. Files of the same name are replaced, others are kept. Files of tools (.git, \
            .cache, .DS_Store), secrets (.env, .netrc) and unfinished files are skipped and listed. A token with write \
            access is required: HF_TOKEN, or 'hf auth login'.

            EXAMPLES:
              bridge hub upload me/my-model exported --dry-run
              bridge hub upload me/my-model exported --private --message 'Version 1'
            """
    )

    @OptionGroup var repository: RepositoryArguments

    @Argument(help: "The directory to upload.", completion: .directory)
    var directory: String

    @OptionGroup var options: UploadOptions

    @Flag(name: .customLong("dry-run"), help: "Print what would be uploaded, without network access.")
    var dryRun = false

    @OptionGroup var progress: ProgressOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let wanted = try repository.repository()
        guard dryRun else {
            let report = try options.upload(directory, to: wanted)
            UploadOptions.showLeftOut(report.leftOut)
            guard output.json else { return UploadOptions.show(report) }
            return Output.json(UploadOptions.json(report))
        }
        let upload = try HubUpload(directory, to: wanted, of: HubDirectory.hub())
        let bytes = upload.items.reduce(0) { $0 + $1.byteCount }
        if output.json {
            let plan: JSON = [
                "repository": .string("\(wanted)"), "bytes": JSON(bytes),
                "files": .array(
                    upload.items.map { ["path": .string($0.path), "bytes": JSON($0.byteCount)] }
                ),
                "skipped": .array(upload.leftOut.map { .string($0) }),
            ]
            return Output.json(plan.alsoUnder(["skipped": "left_out"]))
        }
        UploadOptions.showLeftOut(upload.leftOut)
        Output.table([["FILE", "SIZE"]] + upload.items.map { [$0.path, ByteFormat.text($0.byteCount)] })
        Output.line(
            "would upload \(ByteFormat.counted(upload.items.count, "file")), \(ByteFormat.text(bytes)), to \(wanted)"
        )
    }
}

/// The options of an upload.
struct UploadOptions: ParsableArguments {
    @Flag(name: .customLong("private"), help: "Create a missing repository as private.")
    var isPrivate = false

    @Option(name: .long, help: ArgumentHelp("Commit message.", valueName: "text"))
    var message: String?

    /// Uploads a directory, with a progress bar.
    func upload(_ directory: String, to repository: HubRepository) throws -> HubUpload.Report {
        try HubDirectory.watched { hub in
            var upload = try HubUpload(directory, to: repository, of: hub)
            upload.isPrivate = isPrivate
            if let message { upload.message = message }
            return try upload.run()
        }
    }

    /// Prints the skipped files.
    static func showLeftOut(_ paths: [String]) {
        guard !paths.isEmpty else { return }
        Output.printError("   skipped: \(paths.joined(separator: ", "))")
    }

    /// Prints the report of the upload.
    static func show(_ report: HubUpload.Report) {
        Output.line(
            Style.green(
                "✅ Uploaded \(ByteFormat.counted(report.fileCount, "file")), \(ByteFormat.text(report.sentByteCount)) of them new: \(report.address)"
            )
        )
    }

    /// The report of the upload as JSON.
    static func json(_ report: HubUpload.Report) -> JSON {
        let result: JSON = [
            "commit": .string(report.commit), "address": .string(report.address),
            "files": JSON(report.fileCount), "uploaded_bytes": JSON(report.sentByteCount),
            "skipped": .array(report.leftOut.map { .string($0) }),
        ]
        return result.alsoUnder(["skipped": "left_out", "uploaded_bytes": "sent_bytes"])
    }
}

/// The destination of uploading a result.
struct PushOptions: ParsableArguments {
    @Option(
        name: .customLong("push-to-hub"),
        help: ArgumentHelp("Upload the result to this repository of the hub: org/name.", valueName: "id")
    )
    var id: String?

    func validate() throws { _ = try repository() }

    private func repository() throws -> HubRepository? {
        guard let id else { return nil }
        guard let repository = HubRepository(id) else {
            throw ValidationError("--push-to-hub is '\(id)', expected the id of a repository such as org/name")
        }
        return repository
    }

    /// Checks before the work that the result can be uploaded.
    func check() throws {
        if let repository = try repository() { try HubUpload.check(repository, of: HubDirectory.hub()) }
    }

    /// The planned upload, and its destination; nil without one.
    func plan(_ directory: String, byteCount: Int) throws -> (repository: String, sentence: String)? {
        try repository().map { repository in
            ("\(repository)", "would upload \(directory), about \(ByteFormat.text(byteCount)), to \(repository)")
        }
    }

    /// Uploads a directory, if requested.
    func push(_ directory: String, isSilent: Bool) throws {
        guard let repository = try repository() else { return }
        let report = try UploadOptions.parse([]).upload(directory, to: repository)
        UploadOptions.showLeftOut(report.leftOut)
        if !isSilent { UploadOptions.show(report) }
    }
}
