import BridgeSupport
import Foundation
import Synchronization

/// Compares the weights of a model with the checksums of their checkpoint while the model is already at work.
///
/// Loading a model maps its files, so that the first token needs to read only some of the bytes. Each block is verified
/// on a separate thread; the user of the model requests the result at the end.
public final class WeightVerification: Sendable {
    private let group = DispatchGroup()
    private let failure = Mutex<(any Error)?>(nil)

    /// A verification with nothing to do.
    public init() {}

    /// Waits until every block has been compared.
    ///
    /// - Throws: `BridgeError` with code `corruptInput` for a damaged file.
    public func finish() throws {
        group.wait()
        try check()
    }

    /// Whether all that has been compared so far is well; does not wait.
    ///
    /// - Throws: `BridgeError` with code `corruptInput` for a damaged file.
    public func check() throws {
        if let error = failure.withLock({ $0 }) { throw error }
    }

    func start(_ files: [(storage: VerifiedStorage, mapped: MappedFile, blocks: [Int])]) {
        guard !files.isEmpty else { return }
        group.enter()
        Workers.detach { [self] in
            defer { group.leave() }
            do {
                for (storage, mapped, blocks) in files {
                    for index in blocks {
                        let range = storage.range(of: index)
                        let bytes = UnsafeRawBufferPointer(start: mapped.pointer + range.lowerBound, count: range.count)
                        try storage.compare(index, bytes)
                    }
                }
            } catch {
                failure.withLock { $0 = error }
            }
        }
    }
}
