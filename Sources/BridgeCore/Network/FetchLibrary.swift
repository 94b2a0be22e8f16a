import BridgeSupport
import CFetch
import CSystem
import Glibc
import Synchronization

/// The HTTP library: `libBridgeFetch.so` in the core's directory, loaded when the first byte comes from a network.
///
/// Its dependencies, libcurl and all that libcurl links, would double the start time of the program.
struct FetchLibrary: @unchecked Sendable {
    /// The C functions, which may be called from any thread.
    let functions: bridge_fetch_functions

    private static let loaded = Mutex<FetchLibrary?>(nil)

    /// The library.
    ///
    /// - Throws: `BridgeError` when it is not there or another version's.
    static func shared() throws -> FetchLibrary {
        try loaded.withLock { loaded in
            let library = try loaded ?? load()
            loaded = library
            return library
        }
    }

    private static func load() throws -> FetchLibrary {
        let directory = csys_own_library().map { Files.parent(of: String(cString: $0)) } ?? "."
        let path = Files.join(directory, "libBridgeFetch.so")
        guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL), let symbol = dlsym(handle, "bridge_fetch") else {
            let reason = dlerror().map { String(cString: $0) } ?? "no reason given"
            throw BridgeError(
                .fileSystem,
                "\(path) cannot be loaded, and downloads need it; build the product BridgeFetch of "
                    + "the package bridge into the directory of the program, or download by other means and give the path (\(reason))"
            )
        }
        let entry = unsafeBitCast(symbol, to: bridge_fetch_entry.self)
        guard let functions = entry()?.pointee, functions.version == BRIDGE_FETCH_VERSION else {
            throw BridgeError(.fileSystem, "\(path) belongs to another version of Bridge; build it again")
        }
        return FetchLibrary(functions: functions)
    }
}
