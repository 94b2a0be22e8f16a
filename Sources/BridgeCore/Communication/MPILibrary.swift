import BridgeSupport
import CMPI
import CSystem
import Glibc
import Synchronization

/// The MPI library: `libBridgeMPI.so` in the core's directory, loaded when a run has more than one rank.
///
/// Everything else works on a machine without MPI.
struct MPILibrary: @unchecked Sendable {
    /// The C functions, which may be called from any thread.
    let functions: bridge_mpi_functions

    private static let loaded = Mutex<MPILibrary?>(nil)

    /// The library.
    ///
    /// - Throws: `BridgeError` when it or MPI is missing, or it is another version's.
    static func shared() throws -> MPILibrary {
        try loaded.withLock { loaded in
            let library = try loaded ?? load()
            loaded = library
            return library
        }
    }

    private static func load() throws -> MPILibrary {
        let directory = csys_own_library().map { Files.parent(of: String(cString: $0)) } ?? "."
        let path = Files.join(directory, "libBridgeMPI.so")
        // Open MPI loads its components with dlopen, and they look for its symbols in the program.
        guard let handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL), let symbol = dlsym(handle, "bridge_mpi") else {
            let reason = dlerror().map { String(cString: $0) } ?? "no reason given"
            throw BridgeError(
                .fileSystem,
                "a run with several ranks needs Open MPI, and \(path) cannot be loaded (\(reason)); "
                    + "install openmpi-bin and libopenmpi-dev, and build the product BridgeMPI of the package bridge"
            )
        }
        let entry = unsafeBitCast(symbol, to: bridge_mpi_entry.self)
        guard let functions = entry()?.pointee, functions.version == BRIDGE_MPI_VERSION else {
            throw BridgeError(.fileSystem, "\(path) belongs to another version of Bridge; build it again")
        }
        return MPILibrary(functions: functions)
    }

    /// Turns an error of MPI into one of ours.
    func check(_ status: Int32, _ action: String) throws {
        guard status != 0 else { return }
        var text = [CChar](repeating: 0, count: 512)
        functions.error(status, &text, text.count)
        throw BridgeError(
            .rankFailed,
            "MPI cannot \(action): \(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))"
        )
    }

    /// The texts of all ranks, in the order of the ranks.
    ///
    /// - Parameters:
    ///   - text: That of this rank, without spaces at its end.
    ///   - byteCount: The most bytes of a text.
    ///   - world: The group of all ranks.
    ///   - size: The number of ranks.
    ///   - timeout: The longest wait.
    /// - Returns: The texts.
    /// - Throws: `BridgeError` when a rank does not arrive in time.
    func gather(
        _ text: String,
        byteCount: Int,
        _ world: OpaquePointer,
        size: Int,
        within timeout: RankTimeout
    ) throws -> [String] {
        let own = Array(text.utf8.prefix(byteCount))
        let given = own + Array(repeating: UInt8(ascii: " "), count: byteCount - own.count)
        let taken = UnsafeMutablePointer<UInt8>.allocate(capacity: size * byteCount)
        defer { taken.deallocate() }
        var request: OpaquePointer?
        try given.withUnsafeBytes { bytes in
            try check(
                functions.all_gather(world, bytes.baseAddress, taken, byteCount, &request),
                "gather from \(size) ranks"
            )
            try wait(for: request, within: timeout) { "one of the \(size) ranks did not start" }
        }
        return (0..<size).map { rank in
            let bytes = UnsafeBufferPointer(start: taken + rank * byteCount, count: byteCount)
            let end = bytes.lastIndex { $0 != UInt8(ascii: " ") } ?? -1
            return String(decoding: bytes[...end], as: UTF8.self)
        }
    }
}
