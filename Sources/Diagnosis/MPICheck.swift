import BridgeCore
import Glibc
import JSONTree

/// Open MPI, which runs with several ranks need: its library, its launcher and shared memory.
struct MPICheck {
    /// The directory of the core's library.
    let directory: String
    /// The variable `PATH`.
    let path: String
    /// Where the ranks of a host exchange tensors.
    var sharedMemory = "/dev/shm"
    /// The time for the launcher's version.
    var limit: Duration = .milliseconds(1500)

    private static let install = "install openmpi-bin, or run with one rank"
    /// Containers have 64 MB by default, with which ranks exchange small pieces only.
    private static let leastSharedMemory = 256 << 20

    func run() -> Finding {
        let library = Files.join(directory, "libBridgeMPI.so")
        guard let handle = dlopen(library, RTLD_NOW | RTLD_LOCAL) else {
            let reason = dlerror().map { String(cString: $0) } ?? "no reason given"
            return Finding(.warning, "\(library) cannot be loaded (\(reason))", advice: Self.install)
        }
        let version = Self.version(handle)
        let launcher = path.split(separator: ":").map { "\($0)/mpirun" }.first(where: Files.isExecutable)
        guard let launcher else {
            return Finding(.warning, "Open MPI \(version ?? "") has no mpirun in PATH", advice: Self.install)
        }
        let launched = CommandOutput.of(launcher, ["--version"], atMost: limit)
            .flatMap { Self.number(in: $0) }
        let free = Files.freeSpace(at: sharedMemory) ?? 0
        var finding = Finding(
            .ok,
            "Open MPI \(version ?? "of unknown version"), \(launcher), \(ByteFormat.text(free)) of shared memory",
            facts: [
                "library": version.map { .string($0) } ?? .null, "mpirun": .string(launcher),
                "mpirun_version": launched.map { .string($0) } ?? .null, "shared_memory": JSON(free),
            ]
        )
        if launched == nil {
            finding.text += ", but '\(launcher) --version' prints no version"
            finding.lower(to: .warning, advice: Self.install)
        } else if let version, launched != version {
            finding.text += ", but mpirun is of \(launched ?? "")"
            finding.lower(to: .warning, advice: "put the mpirun of Open MPI \(version) first in PATH")
        }
        if free < Self.leastSharedMemory {
            finding.lower(to: .warning, advice: "start the container with more shared memory, such as --shm-size=1g")
        }
        return finding
    }

    /// The version of the library of MPI, which has this function before a world is made too.
    private static func version(_ handle: UnsafeMutableRawPointer) -> String? {
        typealias Version = @convention(c) (UnsafeMutablePointer<CChar>, UnsafeMutablePointer<Int32>) -> Int32
        guard let symbol = dlsym(handle, "MPI_Get_library_version") else { return nil }
        // More than MPI_MAX_LIBRARY_VERSION_STRING of every MPI.
        var text = [CChar](repeating: 0, count: 16384)
        var count: Int32 = 0
        guard unsafeBitCast(symbol, to: Version.self)(&text, &count) == 0 else { return nil }
        return number(in: String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    /// The first version in a text, such as `4.1.4` of `mpirun (Open MPI) 4.1.4`.
    static func number(in text: String) -> String? { text.firstMatch(of: #/\d+\.\d+\.\d+/#).map { String($0.output) } }
}
