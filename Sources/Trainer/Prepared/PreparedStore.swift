public import BridgeCore
import Glibc
import JSONTree
import Logging
import Synchronization

/// A directory of prepared data: several, each in a directory with a name of its own, or one alone.
public struct PreparedStore: Sendable {
    /// The directory.
    public let path: String

    /// The prepared data of a directory.
    ///
    /// - Parameter path: The directory, which need not exist.
    public init(path: String) { self.path = Files.trimmed(path) }

    /// The directory for prepared data without another one, in the directory of all Hugging Face data.
    public static func standard(_ hub: HubEnvironment) -> PreparedStore {
        PreparedStore(path: Files.join(Files.join(hub.home, "bridge"), "prepared"))
    }

    /// What there is, and a sentence for each that cannot be read.
    ///
    /// - Throws: `BridgeError` when the directory cannot be listed, and for one alone that cannot be read.
    func entries() throws -> (data: [PreparedData], problems: [String]) {
        if PreparedData.isOne(path) { return ([try PreparedData(path: path)], []) }
        guard Files.kind(of: path) == .directory else { return ([], []) }
        var (data, problems) = ([PreparedData](), [String]())
        for name in try Files.list(path).sorted() where !name.hasPrefix(".") {
            let entry = Files.join(path, name)
            guard PreparedData.isOne(entry) else { continue }
            do { data.append(try PreparedData(path: entry)) } catch let error as BridgeError {
                problems.append(error.message)
            }
        }
        return (data, problems)
    }

    /// The directory of data with a key: one that is there under any name, or a new one.
    private func destination(of data: PreparedData) -> String {
        let suffix = "-\(data.key.prefix(Self.keyDigits))"
        let names = Files.kind(of: path) == .directory ? (try? Files.list(path)) ?? [] : []
        if let known = names.first(where: { $0.hasSuffix(suffix) && !$0.hasPrefix(".") }) {
            return Files.join(path, known)
        }
        let name = Files.name(of: data.source).filter {
            $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0))
        }
        let stem = name.drop { $0 == "." || $0 == "-" }.prefix(Self.longestStem)
        return Files.join(path, (stem.isEmpty ? "data" : String(stem)) + suffix)
    }

    private static let longestStem = 64
    private static let keyDigits = 16

    // MARK: Preparation

    /// How data is prepared.
    public struct Preparation: Sendable {
        /// The number of threads.
        public var workers = 2
        /// Whether data that was prepared before is replaced.
        public var overwrites = false
        /// The size from which on a file is complete.
        public var shardByteCount = 256 << 20
        /// Stops it; nothing is written then.
        public var cancellation = Cancellation()
        /// Called with the number of completed rows and that of all.
        public var progress: (@Sendable (_ done: Int, _ total: Int) -> Void)?
        /// Receives notices.
        public var logger = Logger(label: "bridge") { _ in SwiftLogNoOpLogHandler() }

        /// Two threads.
        public init() {}
    }

    /// Prepares the rows of a source, unless that was done before with the same key.
    ///
    /// One process prepares what another one needs too; the other waits.
    ///
    /// - Parameters:
    ///   - data: The description.
    ///   - imageFolder: The directory of the images, which their paths are kept below.
    ///   - preparation: How.
    ///   - open: Opens the source.
    /// - Returns: The data, and whether it is new.
    /// - Throws: `BridgeError` for rows that cannot be used, and when the directory cannot be written.
    func prepare(
        _ data: PreparedData,
        imageFolder: String,
        _ preparation: Preparation,
        _ open: () throws -> (source: any SampleSource, notes: DataNotes)
    ) throws -> (data: PreparedData, isNew: Bool) {
        guard !PreparedData.isOne(path) else {
            throw BridgeError(
                .destinationTaken,
                "\(path) is the directory of one prepared data set; give a directory for several, such as the one above it"
            )
        }
        func existing(_ destination: String) throws -> PreparedData? {
            guard !preparation.overwrites, Files.exists(destination) else { return nil }
            let found = try PreparedData(path: destination)
            guard found.key == data.key else {
                throw BridgeError(
                    .destinationTaken,
                    "\(destination) is prepared data with another key; remove it, or choose another directory"
                )
            }
            return try found.changedImage(in: imageFolder) == nil ? found : nil
        }
        if let found = try existing(destination(of: data)) { return (found, false) }
        let lock = try lock(data, preparation)
        defer { withExtendedLifetime(lock) {} }
        let destination = destination(of: data)
        if let found = try existing(destination) { return (found, false) }
        let partial = Files.join(path, ".\(Files.name(of: destination)).partial")
        try Files.remove(partial)
        try Files.createDirectory(partial)
        do {
            let (source, notes) = try open()
            try fill(partial, data, source, notes, imageFolder: imageFolder, preparation)
            try Files.flushDirectory(partial)
            // Data of the same key whose images have changed.
            try Files.remove(destination)
            guard rename(partial, destination) == 0 else {
                let reason = String(cString: strerror(errno))
                throw BridgeError(.fileSystem, "cannot rename the result to \(destination): \(reason)")
            }
        } catch {
            try? Files.remove(partial)
            throw error
        }
        try Files.flushDirectory(path)
        return (try PreparedData(path: destination), true)
    }

    private func lock(_ data: PreparedData, _ preparation: Preparation) throws -> FileLock {
        try Files.createDirectory(path)
        let name = Files.join(path, ".\(data.key.prefix(Self.keyDigits)).lock")
        var isReported = false
        while true {
            if let lock = try FileLock.take(name, isTemporary: true) { return lock }
            if !isReported { preparation.logger.notice("waiting for another process that prepares \(data.source)") }
            isReported = true
            guard !preparation.cancellation.isCancelled else { throw Self.cancelled }
            usleep(100_000)
        }
    }

    private static let cancelled = BridgeError(.cancelled, "interrupted; nothing was prepared")
    private static let mostNamed = 20

    private func fill(
        _ directory: String,
        _ data: PreparedData,
        _ source: any SampleSource,
        _ notes: DataNotes,
        imageFolder: String,
        _ preparation: Preparation
    ) throws {
        let images = ImageFileRecord(below: imageFolder)
        let cancellation = preparation.cancellation
        let workers = max(1, preparation.workers)
        let rows = Prefetcher(count: source.count, depth: 4 * workers, workers: workers) { row in
            guard !cancellation.isCancelled else { throw Self.cancelled }
            do {
                // Before the images are read: an image that changes meanwhile is then found to have changed.
                for path in try source.imageFiles(at: row) { try images.add(path, cancellation) }
                return Result<PreparedRow, BridgeError>.success(PreparedRow(try source.samples(at: row)))
            } catch let error as BridgeError where error.code != .cancelled { return .failure(error) }
        }
        var writer = PreparedWriter(data, in: directory, shardByteCount: preparation.shardByteCount)
        var (bad, done) = ([String](), 0)
        while let row = try rows.next() {
            done += 1
            switch row {
            case .success(let row): if bad.isEmpty { try writer.add(row) }
            case .failure(let error): bad.append(error.message)
            }
            preparation.progress?(done, source.count)
        }
        guard bad.isEmpty else {
            throw BridgeError(
                .corruptInput,
                "\(bad.count) of \(source.count) rows of \(data.source) cannot be used, so nothing was prepared; correct or remove them"
                    + (bad.count > Self.mostNamed ? " ('bridge data check' lists all)" : ""),
                names: Array(bad.prefix(Self.mostNamed))
            )
        }
        if let changed = try data.files.first(where: { try !$0.isUnchanged(at: $0.path) }) {
            throw BridgeError(
                .fileSystem,
                "\(changed.path) was changed while it was read, so nothing was prepared; run again when nothing writes to the file"
            )
        }
        try writer.finish(imageFiles: images.files, notes: notes.json)
    }
}

/// The states of image files, of each once.
private final class ImageFileRecord: Sendable {
    private let directory: String
    private let known = Mutex<[String: SourceFile]>([:])

    init(below directory: String) { self.directory = directory.isEmpty ? "" : Files.join(directory, "") }

    func add(_ path: String, _ cancellation: Cancellation) throws {
        guard known.withLock({ $0[path] }) == nil else { return }
        let isBelow = !directory.isEmpty && path.hasPrefix(directory)
        let file = try SourceFile(
            path: path,
            name: isBelow ? String(path.dropFirst(directory.count)) : path,
            cancellation: cancellation
        )
        known.withLock { $0[path] = file }
    }

    var files: [SourceFile] { known.withLock { $0.values.sorted { $0.path < $1.path } } }
}

extension PreparedData {
    /// The first file of an image that has another content now; one that is not there does not count.
    ///
    /// - Parameter directory: The directory of the images.
    /// - Returns: Its path.
    /// - Throws: `BridgeError` when a file cannot be read.
    func changedImage(in directory: String) throws -> String? {
        for file in try imageFiles() {
            let path = file.path.hasPrefix("/") || directory.isEmpty ? file.path : Files.join(directory, file.path)
            if try !file.isUnchanged(at: path) { return path }
        }
        return nil
    }
}
