import Glibc

/// The machine that this process runs on.
enum Machine {
    /// The identifier of the kernel's start, which containers of one machine share; the name of the host where there is none.
    static let identifier: String = {
        var bytes = [UInt8](repeating: 0, count: 64)
        let file = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)
        defer { close(file) }
        let count = max(read(file, &bytes, bytes.count), 0)
        let text = String(decoding: bytes.prefix(count).filter { $0 > 32 }, as: UTF8.self)
        return text.isEmpty ? hostName : text
    }()

    /// The name of the host.
    static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "unknown" }
        let bytes = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }.filter { $0 > 32 }
        return bytes.isEmpty ? "unknown" : String(decoding: bytes, as: UTF8.self)
    }
}
