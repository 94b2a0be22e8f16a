import BridgeSupport
public import CheckpointFormats
import JSONTree
import Network
import Synchronization
import TensorFiles
import Tokenizers

/// Uploads the files of a directory to a repository of the hub, in one commit.
///
/// Large files are uploaded to the hub's LFS storage first, in parts where the hub requests them, and only those that
/// it lacks; the commit then refers to them and contains the small ones. A failure before the commit leaves the
/// repository unchanged.
///
/// The interface is that of huggingface_hub 2.4 (`create_repo`, `preupload`, the batch interface of git-lfs, `commit`).
public struct HubUpload: Sendable {
    /// A file of the directory.
    public struct Item: Sendable, Hashable {
        /// Its path inside the directory, and in the repository.
        public var path: String
        /// Its size in bytes.
        public var byteCount: Int
    }

    /// What was uploaded.
    public struct Report: Sendable {
        /// The commit.
        public var commit: String
        /// The address of the commit.
        public var address: String
        /// The files of the commit.
        public var fileCount: Int
        /// The bytes that were uploaded to the hub's storage.
        public var sentByteCount: Int
        /// What was skipped: the upload's own ``HubUpload/leftOut``, and what the hub ignores.
        public var leftOut: [String]
    }

    /// The hub.
    public let hub: Hub
    /// The destination.
    public let repository: HubRepository
    /// The directory.
    public let directory: String
    /// The files, sorted by path.
    public let items: [Item]
    /// Skipped paths inside the directory: files of tools, secrets and incomplete files.
    public let leftOut: [String]
    /// The summary of the commit.
    public var message = "Upload by Bridge"
    /// Whether a repository that has to be created is private.
    public var isPrivate = false

    /// The most files in one request.
    private static let batchSize = 100
    /// The most connections that upload at once.
    private static let connections = 4

    /// Names that belong to the directory and not to the model.
    private static let foreignNames: Set<String> = [".git", ".cache", ".DS_Store", ".env", ".netrc"]
    /// Endings of incomplete files.
    private static let unfinishedEndings = [".incomplete", ".partial"]

    /// An upload of all files of a directory except ``leftOut``; names that start with a dot may be part of its format.
    ///
    /// - Throws: `BridgeError` when the directory does not exist or is empty.
    public init(_ directory: String, to repository: HubRepository, of hub: Hub) throws {
        self.hub = hub
        self.repository = repository
        self.directory = Files.trimmed(directory)
        var items: [Item] = []
        var leftOut: [String] = []
        guard Files.kind(of: directory) == .directory else {
            throw BridgeError(.fileSystem, "\(directory) is not a directory; give a directory of files to upload")
        }
        try Files.walk(directory) { entry in
            let path = Files.join(directory, entry.path)
            if Self.foreignNames.contains(entry.name) || Self.unfinishedEndings.contains(where: entry.name.hasSuffix) {
                leftOut.append(entry.path)
                return false
            }
            switch entry.kind {
            case .directory: try CarriedFiles.check(path, in: directory)
            case .file:
                // Links to weights on another disk are allowed; the type of the target is checked before the upload.
                if !entry.name.hasSuffix(".safetensors") || (try? SafetensorsFile(path: path)) == nil {
                    try CarriedFiles.check(path, in: directory)
                }
                items.append(Item(path: entry.path, byteCount: Files.size(of: path)))
            default: throw BridgeError(.fileSystem, "\(path) is not a regular file; remove it")
            }
            return true
        }
        guard !items.isEmpty else { throw BridgeError(.fileSystem, "\(directory) has no files to upload") }
        self.items = items
        self.leftOut = leftOut
    }

    /// Checks that an upload is possible, before a long conversion or training.
    ///
    /// - Throws: `BridgeError` without a token, and when requests are forbidden.
    public static func check(_ repository: HubRepository, of hub: Hub) throws {
        try hub.environment.check()
        guard !hub.environment.isOffline else {
            throw BridgeError(
                .network,
                "\(repository.id) cannot be uploaded while HF_HUB_OFFLINE forbids requests to the hub; unset it, or upload the "
                    + "result later with 'bridge hub upload'"
            )
        }
        guard hub.environment.token != nil else {
            throw BridgeError(
                .network,
                "uploading to \(repository.id) requires authentication; run 'hf auth login' or set HF_TOKEN to a token with write access"
            )
        }
    }

    /// Uploads.
    ///
    /// - Returns: What was uploaded.
    /// - Throws: `BridgeError`; the repository is then unchanged, or was created and is empty.
    public func run() throws -> Report {
        try Self.check(repository, of: hub)
        do {
            let client = try hub.client()
            try makeRepository(client)
            let files = try prepared(client)
            let large = try hashed(files.filter(\.isLarge))
            let sent = try send(large, client)
            var report = try commit(files.filter { !$0.isLarge }, large, sent: sent, client)
            let paths = Set(files.map(\.item.path))
            report.leftOut += items.map(\.path).filter { !paths.contains($0) }
            return report
        } catch let failure as HTTPFailure {
            throw failure.error(uploadingTo: "\(repository)", hub.environment)
        }
    }

    /// A file with its upload mode.
    private struct Prepared {
        var item: Item
        var isLarge: Bool
        var sha256 = ""
    }

    private func post(_ address: String, _ json: JSON, type: String = "application/json") -> HTTPRequest {
        post(address, json.text(pretty: false), type: type)
    }

    private func post(_ address: String, _ bytes: [UInt8], type: String) -> HTTPRequest {
        HTTPRequest(
            method: "POST",
            address: address,
            headers: [("Content-Type", type), ("Accept", "application/vnd.git-lfs+json, application/json")],
            body: .bytes(bytes)
        )
    }

    private func makeRepository(_ client: HubClient) throws {
        let parts = repository.id.split(separator: "/").map(String.init)
        var wanted: JSON = ["name": .string(parts.last ?? ""), "private": .bool(isPrivate)]
        if parts.count == 2 { wanted.set(.string(parts[0]), at: "organization") }
        if repository.kind == .dataset { wanted.set("dataset", at: "type") }
        let request = post("\(hub.environment.endpoint)/api/repos/create", wanted)
        // 409: the repository exists.
        _ = try client.send(request, about: repository, accepting: [409])
    }

    /// Requests the upload mode of each file, by its size and first bytes; files that the hub ignores are skipped.
    private func prepared(_ client: HubClient) throws -> [Prepared] {
        let address =
            "\(hub.environment.endpoint)/\(repository.api)/preupload/\(WebURL.escaped(repository.revision))"
        var prepared: [Prepared] = []
        for start in stride(from: 0, to: items.count, by: Self.batchSize) {
            let chunk = items[start..<min(items.count, start + Self.batchSize)]
            let files: [JSON] = try chunk.map { item in
                let sample = try FileStorage(path: Files.join(directory, item.path)).bytes(0..<min(512, item.byteCount))
                return [
                    "path": .string(item.path), "sample": .string(Base64.encode(sample)),
                    "size": JSON(item.byteCount),
                ]
            }
            let (_, response) = try client.send(post(address, ["files": .array(files)]), about: repository)
            var modes: [String: JSON] = [:]
            for file in response["files"]?.array ?? [] { modes[file["path"]?.string ?? ""] = file }
            for item in chunk {
                guard let mode = modes[item.path], let kind = mode["uploadMode"]?.string else {
                    throw wrong("has no upload mode for \(item.path)")
                }
                if mode["shouldIgnore"]?.bool == true { continue }
                prepared.append(Prepared(item: item, isLarge: kind == "lfs" && item.byteCount > 0))
            }
        }
        guard !prepared.isEmpty else { throw wrong("ignores every file of \(directory)") }
        return prepared
    }

    private func wrong(_ what: String) -> BridgeError {
        BridgeError(
            .network,
            "\(hub.environment.endpoint) \(what), expected the upload interface of a hub; check HF_ENDPOINT"
        )
    }

    /// The checksums of large files.
    private func hashed(_ files: [Prepared]) throws -> [Prepared] {
        let sums = Mutex([String: String]())
        let done = Atomic(0)
        let (total, cancellation, directory) = (
            files.reduce(0) { $0 + $1.item.byteCount }, hub.context.cancellation, directory
        )
        try Workers.run(
            items: files.count,
            workers: Self.connections,
            makeState: {},
            whileWaiting: { show("Checking", done.load(ordering: .relaxed), total) },
            body: { (_: inout Void, index) in
                let item = files[index].item
                let (file, digest) = (
                    try FileStorage(path: Files.join(directory, item.path)), try StreamingHash(.sha256)
                )
                for start in stride(from: 0, to: item.byteCount, by: 1 << 22) {
                    try cancellation.check()
                    let bytes = try file.bytes(start..<min(item.byteCount, start + 1 << 22))
                    bytes.withUnsafeBytes { digest.update($0) }
                    done.add(bytes.count, ordering: .relaxed)
                }
                sums.withLock { $0[item.path] = digest.hexadecimal() }
            }
        )
        return files.map { file in
            var file = file
            file.sha256 = sums.withLock { $0[file.item.path] } ?? ""
            return file
        }
    }

    private func show(_ activity: String, _ done: Int, _ total: Int) {
        guard total > 0 else { return }
        hub.context.progress?(Progress(activity: activity, doneBytes: done, totalBytes: total))
    }

    /// Uploads what the hub's storage lacks; returns the number of bytes.
    private func send(_ files: [Prepared], _ client: HubClient) throws -> Int {
        var sent = 0
        var seen: Set<String> = []
        let distinct = files.filter { seen.insert($0.sha256).inserted }
        for start in stride(from: 0, to: distinct.count, by: Self.batchSize) {
            let chunk = Array(distinct[start..<min(distinct.count, start + Self.batchSize)])
            let objects = try objects(chunk, client)
            try send(objects)
            for object in objects { try finish(object, client) }
            sent += objects.reduce(0) { $0 + $1.file.byteCount }
        }
        return sent
    }

    /// A content that the storage lacks, with the addresses of its parts.
    private final class StoredObject: Sendable {
        let file: Item
        let sha256: String
        let href: String
        let verify: String?
        let parts: [(address: String, range: Range<Int>)]
        let isMultipart: Bool
        let tags = Mutex([Int: String]())

        init(
            file: Item,
            sha256: String,
            href: String,
            verify: String?,
            parts: [(address: String, range: Range<Int>)],
            isMultipart: Bool
        ) {
            (self.file, self.sha256, self.href, self.verify) = (file, sha256, href, verify)
            (self.parts, self.isMultipart) = (parts, isMultipart)
        }
    }

    /// Requests the upload addresses of contents; those that the storage has are skipped.
    private func objects(_ files: [Prepared], _ client: HubClient) throws -> [StoredObject] {
        let wanted: JSON = [
            "operation": "upload", "transfers": ["basic", "multipart"], "hash_algo": "sha256",
            "objects": .array(
                files.map { ["oid": .string($0.sha256), "size": JSON($0.item.byteCount)] }
            ),
        ]
        let address = "\(hub.environment.endpoint)/\(repository.page).git/info/lfs/objects/batch"
        let request = post(address, wanted, type: "application/vnd.git-lfs+json")
        let (_, response) = try client.send(request, about: repository)
        guard let objects = response["objects"]?.array else { throw wrong("has no upload addresses for large files") }
        return try objects.compactMap { object in
            guard let file = files.first(where: { $0.sha256 == object["oid"]?.string }) else {
                throw wrong("names a file that was not requested")
            }
            if let text = object["error"]?["message"]?.string {
                throw BridgeError(.network, "the hub refuses \(file.item.path): \(text.prefix(300))")
            }
            guard let upload = object["actions"]?["upload"] else { return nil }
            guard let href = upload["href"]?.string else { throw wrong("has no upload address for \(file.item.path)") }
            let header = upload["header"]?.object ?? JSONObject()
            let size = header["chunk_size"].flatMap { $0.integer ?? $0.string.flatMap { Int($0) } }
            let parts = try Self.parts(file.item.byteCount, size, header) ?? [(href, 0..<file.item.byteCount)]
            return StoredObject(
                file: file.item,
                sha256: file.sha256,
                href: href,
                verify: object["actions"]?["verify"]?["href"]?.string,
                parts: parts,
                isMultipart: size != nil
            )
        }
    }

    /// The addresses of parts, under their numbers next to the part size; nil for a content in one part.
    private static func parts(
        _ byteCount: Int,
        _ size: Int?,
        _ header: JSONObject
    ) throws -> [(address: String, range: Range<Int>)]? {
        guard let size else { return nil }
        let count = size > 0 ? (byteCount + size - 1) / size : 0
        let addresses = (0..<min(count, 100_000)).compactMap { header["\($0 + 1)"]?.string }
        guard count > 0, addresses.count == count else {
            throw BridgeError(
                .network,
                "the hub gives addresses for \(addresses.count) parts of \(size) bytes for a file of \(byteCount); try again later"
            )
        }
        return addresses.enumerated().map { ($1, $0 * size..<min(byteCount, ($0 + 1) * size)) }
    }

    private func send(_ objects: [StoredObject]) throws {
        let units = objects.flatMap { object in object.parts.indices.map { (object, $0) } }
        guard !units.isEmpty else { return }
        let done = Atomic(0)
        let total = objects.reduce(0) { $0 + $1.file.byteCount }
        let (hub, repository, directory) = (hub, repository, directory)
        try Workers.run(
            items: units.count,
            workers: min(Self.connections, units.count),
            makeState: { Result { try hub.client() } },
            whileWaiting: { show("Uploading", done.load(ordering: .relaxed), total) },
            body: { (client: inout Result<HubClient, any Error>, index) in
                let (object, part) = units[index]
                let (address, range) = object.parts[part]
                let client = try client.get()
                let file = try FileStorage(path: Files.join(directory, object.file.path))
                let request = HTTPRequest(method: "PUT", address: address, body: .file(file, range))
                do {
                    let (response, _) = try client.send(request, about: repository, isJSON: false)
                    object.tags.withLock { $0[part + 1] = response["etag"] ?? "" }
                } catch let failure as HTTPFailure {
                    throw failure.error(uploadingTo: "\(repository)", hub.environment)
                }
                done.add(range.count, ordering: .relaxed)
            }
        )
    }

    /// Completes a multipart upload and verifies it.
    private func finish(_ object: StoredObject, _ client: HubClient) throws {
        if object.isMultipart {
            let tags = object.tags.withLock { $0 }
            let parts: [JSON] = tags.sorted { $0.key < $1.key }.map {
                ["partNumber": JSON($0.key), "etag": .string($0.value)]
            }
            let json: JSON = ["oid": .string(object.sha256), "parts": .array(parts)]
            let request = post(object.href, json, type: "application/vnd.git-lfs+json")
            _ = try client.send(request, about: repository, isJSON: false)
        }
        guard let verify = object.verify else { return }
        let json: JSON = ["oid": .string(object.sha256), "size": JSON(object.file.byteCount)]
        _ = try client.send(post(verify, json), about: repository, isJSON: false)
    }

    private func commit(_ small: [Prepared], _ large: [Prepared], sent: Int, _ client: HubClient) throws -> Report {
        var lines: [JSON] = [["key": "header", "value": ["summary": .string(message), "description": ""]]]
        for file in small {
            let content = try Files.contents(of: Files.join(directory, file.item.path), limit: 64 << 20)
            lines.append([
                "key": "file",
                "value": [
                    "content": .string(Base64.encode(content)), "path": .string(file.item.path), "encoding": "base64",
                ],
            ])
        }
        for file in large {
            lines.append([
                "key": "lfsFile",
                "value": [
                    "path": .string(file.item.path), "algo": "sha256", "oid": .string(file.sha256),
                    "size": JSON(file.item.byteCount),
                ],
            ])
        }
        let bytes = lines.flatMap { line in line.text(pretty: false).filter { $0 != 10 } + [10] }
        let address = "\(hub.environment.endpoint)/\(repository.api)/commit/\(WebURL.escaped(repository.revision))"
        let request = post(address, bytes, type: "application/x-ndjson")
        // Not retried: the response to a successful commit may have been lost.
        let (_, response) = try client.send(request, about: repository, isRepeatable: false)
        guard let commit = response["commitOid"]?.string else { throw wrong("has no commit id") }
        return Report(
            commit: commit,
            address: response["commitUrl"]?.string ?? "\(hub.environment.endpoint)/\(repository.page)",
            fileCount: small.count + large.count,
            sentByteCount: sent,
            leftOut: leftOut
        )
    }
}
