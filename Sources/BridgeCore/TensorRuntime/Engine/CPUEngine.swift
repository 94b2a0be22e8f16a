import CTensorKernels

/// Computes on the processor: C kernels for what moves memory, libraries for large matrix products, one pool of threads.
public final class CPUEngine: TensorEngine, @unchecked Sendable {
    /// The threads.
    public let pool: ThreadPool
    /// The libraries for large products, the preferred first.
    public let libraries: [any MatrixLibrary]
    /// The instructions that the C kernels may use.
    let isa: ctk_isa
    let memory: MemoryPool

    /// The most unused bytes that are kept for new tensors.
    private static let keptByteCount = 2 << 30

    /// An engine.
    ///
    /// - Parameters:
    ///   - threadCount: How many threads work at once.
    ///   - libraries: The libraries for large products, the preferred first; nil for ``standardLibraries``.
    public convenience init(threadCount: Int, libraries: [any MatrixLibrary]? = nil) {
        self.init(threadCount: threadCount, libraries: libraries, isa: ctk_best_isa())
    }

    init(threadCount: Int, libraries: [any MatrixLibrary]?, isa: ctk_isa) {
        pool = ThreadPool(threadCount: threadCount)
        self.libraries = libraries ?? Self.standardLibraries
        self.isa = isa
        memory = MemoryPool(limit: Self.keptByteCount)
    }

    /// For each type the fastest library that the processor has.
    ///
    /// OpenBLAS falls back to AVX2 on processors that are younger than it, which halves its speed where there is AVX-512;
    /// oneDNN looks at the instructions alone.
    public static var standardLibraries: [any MatrixLibrary] {
        let openBLAS = OpenBLASLibrary()
        let candidates: [(any MatrixLibrary)?] = [
            openBLAS.usesAVX512 ? nil : OneDNNLibrary(.float32), openBLAS, AMXLibrary(), OneDNNLibrary(.bfloat16),
        ]
        return candidates.compactMap { $0 }
    }

    /// Instructions and libraries.
    public var name: String {
        "\(String(cString: ctk_isa_name(isa))), \(libraries.map(\.name).joined(separator: ", ")), \(pool.threadCount) threads"
    }
}
