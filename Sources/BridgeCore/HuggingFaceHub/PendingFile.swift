import BridgeSupport
import Glibc
import Synchronization

/// The content of a file during its download: bytes are read as soon as they are written, and a reader waits for them.
///
/// The checksum is known at the end, so bytes that were read before are valid only after ``HubStream/confirm()``.
package final class PendingFile: ByteStorage, UncachedReadable, Confirmable {
    private enum State {
        case awaited
        case coming(HubTransfer)
        case whole(FileStorage)
        case failed(any Error)
    }

    let name: String
    let byteCount: Int
    private let state = Mutex(State.awaited)
    private let cancellation: Cancellation

    init(_ file: HubFile, name: String, cancellation: Cancellation) {
        self.name = name
        byteCount = file.byteCount
        self.cancellation = cancellation
    }

    /// Marks the download as started.
    func begins(_ transfer: HubTransfer) { state.withLock { $0 = .coming(transfer) } }

    /// Marks the file as complete, verified and renamed.
    func isComplete(at path: String) throws {
        let file = try FileStorage(path: path)
        state.withLock { if case .failed = $0 {} else { $0 = .whole(file) } }
    }

    /// Marks the download as failed.
    func fails(_ error: any Error) {
        state.withLock { if case .whole = $0 {} else { $0 = .failed(error) } }
    }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        var scratch = AlignedBuffer(byteCount: 0)
        try readUncached(at: offset, into: buffer, through: &scratch)
    }

    func readUncached(
        at offset: Int,
        into buffer: UnsafeMutableRawBufferPointer,
        through scratch: inout AlignedBuffer
    ) throws {
        let end = offset + buffer.count
        guard offset >= 0, end <= byteCount else {
            throw BridgeError(.corruptInput, "\(name) has \(byteCount) bytes, \(end) were requested")
        }
        while true {
            switch state.withLock({ $0 }) {
            case .whole(let file): return try file.readUncached(at: offset, into: buffer, through: &scratch)
            case .coming(let transfer) where transfer.prefix >= end:
                return try transfer.readUncached(at: offset, into: buffer, through: &scratch)
            case .failed(let error): throw error
            case .awaited, .coming: break
            }
            try cancellation.check()
            usleep(2000)
        }
    }

    /// Waits until the file is complete and verified.
    package func confirm() throws {
        while true {
            switch state.withLock({ $0 }) {
            case .whole: return
            case .failed(let error): throw error
            case .awaited, .coming: break
            }
            try cancellation.check()
            usleep(2000)
        }
    }
}

/// A model that is read during the download of its weights.
package final class HubStream: Sendable {
    /// The directory of the snapshot; weight files appear in it as they are completed.
    package let directory: String
    /// The pending weight files, by their names in the directory.
    package let pendingFiles: [String: PendingFile]

    private let isDone = Atomic(false)
    /// Whether the download's progress is shown, until a conversion shows its own.
    private let isShown = Mutex(true)

    /// Downloads what a model needs besides its weights, and starts the download of the weights.
    ///
    /// - Throws: `BridgeError` when a request fails.
    package init(_ snapshot: HubSnapshot) throws {
        directory = snapshot.directory
        let weights = try snapshot.fetchAllButWeights().filter { !snapshot.holds($0) }
        var pendingFiles: [String: PendingFile] = [:]
        for file in weights {
            let name = Files.join(snapshot.directory, file.path)
            pendingFiles[file.path] = PendingFile(file, name: name, cancellation: snapshot.hub.context.cancellation)
        }
        self.pendingFiles = pendingFiles
        Workers.detach { [self] in
            var snapshot = snapshot
            if let show = snapshot.hub.context.progress {
                snapshot.hub.context.progress = { [self] progress in isShown.withLock { if $0 { show(progress) } } }
            }
            do {
                try snapshot.remember(afterFetching: snapshot.fetch(weights, pending: self.pendingFiles))
            } catch {
                for pendingFile in self.pendingFiles.values { pendingFile.fails(error) }
            }
            isDone.store(true, ordering: .releasing)
        }
    }

    /// Stops showing the progress of the download, because that of the conversion is shown.
    package func hide() { isShown.withLock { $0 = false } }

    /// Waits until all weight files are complete and verified.
    ///
    /// - Throws: `BridgeError` when one is not; what was read of it is then invalid.
    package func confirm() throws {
        for pendingFile in pendingFiles.values { try pendingFile.confirm() }
    }

    /// Waits until the threads have ended after an error elsewhere.
    package func wait() {
        while !isDone.load(ordering: .acquiring) { usleep(2000) }
    }
}
