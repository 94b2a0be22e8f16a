import BridgeSupport
import CFetch

/// A checksum of bytes that come one after the other.
package final class StreamingHash {
    /// Which checksum.
    package enum Kind: String {
        case sha1 = "SHA1"
        case sha256 = "SHA256"
    }

    private let library: FetchLibrary
    private var state: UnsafeMutableRawPointer?

    /// A checksum of no bytes yet.
    ///
    /// - Throws: `BridgeError` when the library that makes it is not there.
    package init(_ kind: Kind) throws {
        library = try FetchLibrary.shared()
        state = library.functions.digest(kind.rawValue)
        guard state != nil else {
            throw BridgeError(.fileSystem, "this system's OpenSSL makes no \(kind.rawValue) checksums; install another")
        }
    }

    deinit { _ = hexadecimal() }

    /// Hashes bytes.
    package func update(_ bytes: UnsafeRawBufferPointer) {
        guard let state, bytes.count > 0 else { return }
        library.functions.update(state, bytes.baseAddress, bytes.count)
    }

    /// The checksum in hexadecimal digits; empty after the first call.
    package func hexadecimal() -> String {
        guard let state else { return "" }
        var result = [UInt8](repeating: 0, count: 64)
        let count = library.functions.finish(state, &result)
        self.state = nil
        let digits = Array("0123456789abcdef")
        return String(result.prefix(count).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
