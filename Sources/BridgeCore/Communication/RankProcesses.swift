import BridgeSupport
import CMPI
import Glibc

/// The processes of the ranks on this host, to see when one has ended.
struct RankProcesses: Sendable {
    /// The process of each rank in the world; nil for one on another host, or in another container.
    private let processes: [pid_t?]

    /// Collects the processes; all ranks of the world do so together.
    init(_ library: MPILibrary, _ world: OpaquePointer, size: Int, timeout: RankTimeout) throws {
        // A process number has a meaning where a host, or a container, has it: in a namespace of processes.
        let own = Array("\(getpid()) \(Self.namespace)".utf8.prefix(Self.byteCount))
        let given = own + Array(repeating: UInt8(ascii: " "), count: Self.byteCount - own.count)
        let taken = UnsafeMutablePointer<UInt8>.allocate(capacity: size * Self.byteCount)
        defer { taken.deallocate() }
        var request: OpaquePointer?
        try given.withUnsafeBytes { bytes in
            try library.check(
                library.functions.all_gather(world, bytes.baseAddress, taken, Self.byteCount, &request),
                "gather the processes"
            )
            try library.wait(for: request, within: timeout) { "one of the \(size) ranks did not start" }
        }
        processes = (0..<size).map { rank in
            let bytes = UnsafeBufferPointer(start: taken + rank * Self.byteCount, count: Self.byteCount)
            let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
            return words.count > 1 && words[1] == Self.namespace ? pid_t(words[0]) : nil
        }
    }

    private static let byteCount = 128

    /// The start of the host, and the namespace of processes on it.
    private static let namespace: String = {
        var bytes = [UInt8](repeating: 0, count: 64)
        let file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        let count = max(read(file, &bytes, bytes.count), 0)
        let boot = bytes.prefix(count).filter { $0 > 32 }
        close(file)
        var status = stat()
        _ = stat("/proc/self/ns/pid", &status)
        return String(decoding: boot, as: UTF8.self) + "-\(status.st_ino)"
    }()

    /// The ranks on this host whose processes are stopped.
    var stopped: [Int] {
        processes.indices.filter { rank in processes[rank].map(Self.isStopped) ?? false }
    }

    private static func isStopped(_ process: pid_t) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 256)
        let file = open("/proc/\(process)/stat", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        let count = max(read(file, &bytes, bytes.count), 0)
        // The state follows the name, which is in parentheses and may contain any character.
        guard let end = bytes.prefix(count).lastIndex(of: UInt8(ascii: ")")), end + 2 < count else { return false }
        return bytes[end + 2] == UInt8(ascii: "T")
    }

    /// Throws when the process of a rank has ended.
    func check(_ rank: Int) throws {
        guard let process = processes[rank], kill(process, 0) != 0, errno == ESRCH else { return }
        throw BridgeError(
            .rankFailed,
            "rank \(rank) has ended (process \(process)), so the run cannot continue; it may have been killed, for example "
                + "when the memory was full"
        )
    }
}
