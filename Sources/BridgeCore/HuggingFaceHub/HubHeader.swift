import BridgeSupport
import Network
import Synchronization
import TensorFiles

/// The header of a remote weight file: enough for a plan, which reads no weights.
package final class HubHeader: ByteStorage {
    let name: String
    let byteCount: Int
    private let head: [UInt8]

    /// The bytes of the first request; most headers are shorter.
    static let firstByteCount = 256 << 10

    /// Downloads the header of a file: by one request, and a second one if it is longer.
    ///
    /// - Throws: `HTTPFailure`, `BridgeError`.
    init(_ file: HubFile, of snapshot: HubSnapshot, by client: HubClient) throws {
        name = Files.join(snapshot.directory, file.path)
        byteCount = file.byteCount
        func bytes(_ range: Range<Int>) throws -> [UInt8] {
            try client.bytes(range, of: file, snapshot.listing.commit, in: snapshot.repository)
        }
        var head = try bytes(0..<min(Self.firstByteCount, byteCount))
        let length = head.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        // The caller, which parses the header, reports an invalid length.
        let most = UInt64(min(byteCount - min(8, byteCount), SafetensorsHeader.largestHeader))
        if length <= most, 8 + Int(length) > head.count { head += try bytes(head.count..<8 + Int(length)) }
        self.head = head
    }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        guard offset >= 0, offset + buffer.count <= head.count else {
            throw BridgeError(
                .badArgument,
                "only the header of \(name) was downloaded, for a plan; open the model with AutoBridge.fromHF to read its weights"
            )
        }
        head.withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + buffer.count]))
        }
    }
}

extension HubSnapshot {
    /// Downloads what a model needs besides its weights, and the headers of weight files that are not cached.
    ///
    /// - Returns: The headers by the paths of their files.
    /// - Throws: `BridgeError` when a request fails.
    package func fetchHeaders() throws -> [String: HubHeader] {
        let missing = try fetchAllButWeights().filter { !holds($0) }
        let found = Mutex<[String: HubHeader]>([:])
        do {
            try Workers.run(
                items: missing.count,
                workers: min(HubDownload.mostConnections, missing.count),
                makeState: { nil },
                body: { (client: inout HubClient?, index) in
                    let asking = try client ?? hub.client()
                    client = asking
                    let header = try HubHeader(missing[index], of: self, by: asking)
                    found.withLock { $0[missing[index].path] = header }
                }
            )
        } catch let failure as HTTPFailure {
            throw failure.error("\(repository)", hub.environment)
        }
        return found.withLock { $0 }
    }
}
