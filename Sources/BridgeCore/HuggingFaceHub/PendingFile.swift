import BridgeSupport
import Synchronization

/// The content of a file during its download: bytes are read as soon as they are written, and a reader waits for them.
///
/// The checksum is known at the end, so bytes that were read before are valid only after ``HubStream/confirm()``.
package final class PendingFile: ByteStorage, UncachedReadable, Confirmable, @unchecked Sendable {
    private enum State {
        case awaited
        case coming(HubTransfer)
        case whole(FileStorage)
        case failed(any Error)
    }

    let name: String
    let byteCount: Int
    private let lock = ConditionLock()
    /// Used under the lock, which is signalled after each change.
    private var state = State.awaited
    private let cancellation: Cancellation

    init(_ file: HubFile, name: String, cancellation: Cancellation) {
        self.name = name
        byteCount = file.byteCount
        self.cancellation = cancellation
    }

    /// Marks the download as started.
    func begins(_ transfer: HubTransfer) { change { $0 = .coming(transfer) } }

    /// Marks the file as complete, verified and renamed.
    func isComplete(at path: String) throws {
        let file = try FileStorage(path: path)
        change { if case .failed = $0 {} else { $0 = .whole(file) } }
    }

    /// Marks the download as failed.
    func fails(_ error: any Error) {
        change { if case .whole = $0 {} else { $0 = .failed(error) } }
    }

    /// Wakes readers after more bytes were downloaded.
    func advance() { change { _ in } }

    private func change(_ body: (inout State) -> Void) {
        lock.locked {
            body(&state)
            lock.signalAll()
        }
    }

    /// Waits until `result` finds a result in the state.
    private func wait<Result>(for result: (State) throws -> Result?) throws -> Result {
        try lock.locked {
            while true {
                if let found = try result(state) { return found }
                try cancellation.check()
                // Cancellation gives no signal.
                lock.wait(milliseconds: 20)
            }
        }
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
        let source: (file: FileStorage?, transfer: HubTransfer?) = try wait {
            switch $0 {
            case .whole(let file): return (file, nil)
            case .coming(let transfer) where transfer.prefix >= end: return (nil, transfer)
            case .failed(let error): throw error
            case .awaited, .coming: return nil
            }
        }
        try source.file?.readUncached(at: offset, into: buffer, through: &scratch)
        try source.transfer?.readUncached(at: offset, into: buffer, through: &scratch)
    }

    /// Waits until the file is complete and verified.
    package func confirm() throws {
        try wait {
            switch $0 {
            case .whole: return ()
            case .failed(let error): throw error
            case .awaited, .coming: return nil
            }
        }
    }
}

/// A model that is read during the download of its weights.
package final class HubStream: Sendable {
    /// The directory of the snapshot; weight files appear in it as they are completed.
    package let directory: String
    /// The pending weight files, by their names in the directory.
    package let pendingFiles: [String: PendingFile]

    private let download: BackgroundTask
    /// Whether the download's progress is shown, until a conversion shows its own.
    private let display: Display

    private final class Display: Sendable { let isShown = Mutex(true) }

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
        let display = Display()
        self.display = display
        download = BackgroundTask { [pendingFiles, snapshot] in
            var snapshot = snapshot
            if let show = snapshot.hub.context.progress {
                snapshot.hub.context.progress = { progress in display.isShown.withLock { if $0 { show(progress) } } }
            }
            do {
                try snapshot.remember(afterFetching: snapshot.fetch(weights, pending: pendingFiles))
            } catch {
                for pendingFile in pendingFiles.values { pendingFile.fails(error) }
            }
        }
    }

    /// Stops showing the progress of the download, because that of the conversion is shown.
    package func hide() { display.isShown.withLock { $0 = false } }

    /// Waits until all weight files are complete and verified.
    ///
    /// - Throws: `BridgeError` when one is not; what was read of it is then invalid.
    package func confirm() throws {
        for pendingFile in pendingFiles.values { try pendingFile.confirm() }
    }

    /// Waits until the threads have ended after an error elsewhere.
    package func wait() { try? download.wait() }
}
