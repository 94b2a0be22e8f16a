import BridgeSupport
import Glibc
import Synchronization

/// The content of a file that is on its way: bytes are read as soon as they have come, and a reader waits for them.
///
/// The checksum is known at the very end, so what was read before counts only when ``HubStream/confirm()`` has gone well.
package final class PendingFile: ByteStorage, UncachedReadable {
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

    /// Says that it has begun to come.
    func begins(_ transfer: HubTransfer) { state.withLock { $0 = .coming(transfer) } }

    /// Says that it is whole, checked, and in its place.
    func isComplete(at path: String) throws {
        let file = try FileStorage(path: path)
        state.withLock { if case .failed = $0 {} else { $0 = .whole(file) } }
    }

    /// Says that it does not come, or was not what it should be.
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
            throw BridgeError(.corruptInput, "\(name) has \(byteCount) bytes, \(end) were asked for")
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

    /// Waits until it is whole and checked.
    func confirm() throws {
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

/// A model that is read while its weights still come.
package final class HubStream: Sendable {
    /// The directory of the snapshot; the weights appear in it as they become whole.
    package let directory: String
    /// The weights that are on their way, by their names in the directory.
    package let pendingFiles: [String: PendingFile]

    private let isDone = Atomic(false)
    /// Whether the download's progress is shown; it stays so until somebody else has something to show.
    private let isShown = Mutex(true)

    /// Fetches what a model needs besides its weights, and starts to fetch those.
    ///
    /// - Throws: `BridgeError` when the hub does not give them.
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

    /// Shows no more of the download, since what is made of it has begun.
    package func hide() { isShown.withLock { $0 = false } }

    /// Waits until all weights are here and their checksums are right.
    ///
    /// - Throws: `BridgeError` when one is not; what was read of it is then worth nothing.
    package func confirm() throws {
        for pendingFile in pendingFiles.values { try pendingFile.confirm() }
    }

    /// Waits until no thread is at it any more, which an error elsewhere has stopped.
    package func wait() {
        while !isDone.load(ordering: .acquiring) { usleep(2000) }
    }
}
