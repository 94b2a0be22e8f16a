import BridgeSupport
import CMPI
import CSystem
import Glibc

/// The processes of the ranks on this host, to see when one has ended.
struct RankProcesses: Sendable {
    /// The process of each rank in the world; nil for one on another host, or in another container.
    private let processes: [pid_t?]

    /// Collects the processes; all ranks of the world do so together.
    init(_ library: MPILibrary, _ world: OpaquePointer, size: Int, timeout: RankTimeout) throws {
        // A process number has a meaning where a host, or a container, has it: in a namespace of processes.
        let all = try library.gather(
            "\(getpid()) \(Self.namespace)",
            byteCount: 256,
            world,
            size: size,
            within: timeout
        )
        processes = all.map { text in
            let words = text.split(separator: " ")
            return words.count > 1 && words[1] == Self.namespace ? pid_t(words[0]) : nil
        }
    }

    /// The machine, and the namespace of processes on it.
    private static let namespace: String = {
        var status = stat()
        _ = stat("/proc/self/ns/pid", &status)
        return "\(Machine.identifier)-\(status.st_ino)"
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

/// The process that started this one.
public enum ParentProcess {
    /// Has the system send this process a signal when its parent ends, in whatever way; also after an `exec`.
    ///
    /// - Parameters:
    ///   - signal: The signal.
    ///   - parent: The process that should be the parent; nil where it is not known.
    /// - Returns: False when the parent has ended before.
    public static func endsThisOne(with signal: Int32, parent: Int32?) -> Bool {
        _ = csys_end_with_parent(signal)
        return parent.map { getppid() == $0 } ?? true
    }

    /// Makes this process the parent of processes whose own parent, a child of this one, has ended.
    public static func adoptsOrphans() { _ = csys_adopt_orphans() }

    /// Ends all children of this process.
    public static func endChildren() {
        let own = "\(getpid())"
        for entry in (try? Files.list("/proc")) ?? [] {
            guard let process = pid_t(entry), let text = try? Files.contents(of: "/proc/\(entry)/stat", limit: 4096)
            else { continue }
            // 1234 (name) S 1200 ...: the name may have spaces and parentheses.
            let words = String(decoding: text, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
            if words.count > 1, words[1] == own { kill(process, SIGKILL) }
        }
    }
}
