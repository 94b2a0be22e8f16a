import CSystem
import Glibc

/// Fetches something from the network.
///
/// What that takes, libcurl and all it links, would double the time in which the program starts. So it is a library of
/// its own, `libBridgeFetch.so` beside the core's, and is loaded here when the first address comes.
struct Download {
    /// The address.
    var url: String
    /// The most bytes that are taken.
    var mostBytes: Int
    /// The most seconds that it may take.
    var seconds: Double

    /// The types of the C function `bridge_fetch`; `Sources/BridgeFetch` has the same.
    private typealias Receive = @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<UInt8>?, Int) -> Void
    private typealias IsCancelled = @convention(c) (UnsafeMutableRawPointer?) -> Bool
    private typealias Fetch =
        @convention(c) (UnsafePointer<CChar>?, Int, Double, UnsafeMutableRawPointer?, IsCancelled?, Receive?) ->
        UnsafeMutablePointer<CChar>?

    /// What the callbacks reach.
    private final class State {
        let cancellation: Cancellation
        var bytes: [UInt8] = []

        init(_ cancellation: Cancellation) { self.cancellation = cancellation }
    }

    /// The bytes at the address.
    ///
    /// - Throws: `BridgeError` when they cannot be had within the limits, or the caller asks to stop.
    func bytes(cancellation: Cancellation) throws -> [UInt8] {
        let fetch = try Self.library()
        let state = State(cancellation)
        let context = Unmanaged.passUnretained(state)
        let failure = withExtendedLifetime(state) {
            fetch(
                url,
                mostBytes,
                seconds,
                context.toOpaque(),
                { $0.map { Unmanaged<State>.fromOpaque($0).takeUnretainedValue().cancellation.isCancelled } ?? true },
                { context, start, count in
                    guard let context else { return }
                    let chunk = UnsafeBufferPointer(start: start, count: count)
                    Unmanaged<State>.fromOpaque(context).takeUnretainedValue().bytes += chunk
                }
            )
        }
        try cancellation.check()
        guard let failure else { return state.bytes }
        defer { free(failure) }
        throw BridgeError(.fileSystem, "\(url) cannot be fetched: \(String(cString: failure))")
    }

    private static func library() throws -> Fetch {
        let folder = csys_own_library().map { Files.parent(of: String(cString: $0)) } ?? "."
        let path = Files.join(folder, "libBridgeFetch.so")
        guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL), let symbol = dlsym(handle, "bridge_fetch") else {
            let reason = dlerror().map { String(cString: $0) } ?? "no reason given"
            throw BridgeError(
                .fileSystem,
                "\(path) cannot be loaded, and nothing is fetched without it; download the file and give its path (\(reason))"
            )
        }
        return unsafeBitCast(symbol, to: Fetch.self)
    }
}
