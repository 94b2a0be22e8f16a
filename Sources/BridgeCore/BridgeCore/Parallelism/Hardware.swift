/// A kind of device that ranks run on, one device for each rank.
public enum Hardware: String, Sendable, CaseIterable {
    /// NVIDIA H100 SXM.
    case h100
    /// NVIDIA H200 SXM.
    case h200
    /// A socket of a server with AMX.
    case cpu

    /// The memory in bytes that a run may use: without a tenth for the driver, libraries and fragmentation.
    public var usableMemory: Int { Int(0.9 * memory) }

    private var memory: Double {
        switch self {
        case .h100: 80e9
        case .h200: 141e9
        case .cpu: 256e9
        }
    }

    /// Bfloat16 operations per second at best.
    public var peakOperations: Double {
        switch self {
        // NVIDIA's data sheets, without sparsity.
        case .h100, .h200: 989e12
        case .cpu: 10e12
        }
    }

    /// The part of the peak that training reaches.
    ///
    /// 0.35 to 0.39 was measured with torch on an H100, for a model of 3.4 billion parameters.
    public var efficiency: Double {
        switch self {
        case .h100, .h200: 0.37
        case .cpu: 0.3
        }
    }

    /// The number of devices of a host.
    public var devicesPerHost: Int { self == .cpu ? 2 : 8 }

    /// The bytes per second that a device sends to others.
    ///
    /// - Parameter isWithinHost: Whether they are in the same host: NVLink 4, or shared memory; otherwise InfiniBand at 400
    ///   Gbit/s for each GPU, or Ethernet at 100 Gbit/s.
    /// - Returns: Seven tenths of the line rate.
    public func bandwidth(isWithinHost: Bool) -> Double {
        switch (self, isWithinHost) {
        case (.cpu, true): 0.7 * 40e9
        case (.cpu, false): 0.7 * 12.5e9
        case (_, true): 0.7 * 450e9
        case (_, false): 0.7 * 50e9
        }
    }
}
