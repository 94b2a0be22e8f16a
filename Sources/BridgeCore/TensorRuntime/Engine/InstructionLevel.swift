import COneDNN
import CTensorKernels
import Synchronization

/// The instruction sets that there are kernels for, from the least to the most.
///
/// Results of two levels differ in the last bits, since sums are added up in another order.
public enum InstructionLevel: Int, Sendable, CaseIterable, Comparable {
    /// The baseline of every processor.
    case portable
    /// AVX2 with FMA and F16C.
    case avx2
    /// AVX-512 F, BW, DQ and VL.
    case avx512
    /// The same with products of bfloat16.
    case avx512BF16
    /// The same with tiles of bfloat16.
    case amx

    /// The name, spelled as oneDNN spells the levels of `ONEDNN_MAX_CPU_ISA`.
    public var name: String {
        switch self {
        case .portable: "PORTABLE"
        case .avx2: "AVX2"
        case .avx512: "AVX512"
        case .avx512BF16: "AVX512_BF16"
        case .amx: "AMX"
        }
    }

    /// The level of a name, in large or small letters; nil for another text.
    public init?(named name: String) {
        guard let level = Self.allCases.first(where: { $0.name == name.uppercased() }) else { return nil }
        self = level
    }

    /// Whether a level has fewer instructions.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// The best level of this processor.
    public static var ofProcessor: InstructionLevel { InstructionLevel(ctk_processor_isa()) }

    /// The level that engines use: the processor's, or the limit where that is less.
    public static var inUse: InstructionLevel { InstructionLevel(ctk_best_isa()) }

    /// The features by which kernels are chosen, and whether this processor has them.
    public static var features: [(name: String, isPresent: Bool)] {
        var features: [(name: String, isPresent: Bool)] = []
        var isPresent = false
        while let name = ctk_feature(features.count, &isPresent) {
            features.append((String(cString: name), isPresent))
        }
        return features
    }

    /// Sets the highest level that this process uses, in its own kernels and in oneDNN.
    ///
    /// oneDNN chooses its instructions once, so this comes before the first engine. OpenBLAS chooses when it is loaded, by
    /// its own `OPENBLAS_CORETYPE`. A level that the processor does not have changes nothing.
    ///
    /// - Throws: ``LimitError`` when oneDNN has already chosen.
    public static func limit(to level: InstructionLevel) throws(LimitError) {
        let isDone = limited.withLock { limited in
            // What the processor's own level allows is left to oneDNN, which has levels between these.
            if level < ofProcessor, limited != level {
                guard cdnn_limit(cdnn_level(UInt32(level.rawValue))) else { return false }
            }
            limited = level
            ctk_limit_isa(ctk_isa(UInt32(level.rawValue)))
            return true
        }
        guard isDone else { throw LimitError() }
    }

    /// A limit that comes too late.
    public struct LimitError: Error, CustomStringConvertible {
        /// The advice for the user.
        public var description: String {
            "oneDNN has chosen its instructions already; limit the level before the first engine is made"
        }
    }

    private static let limited = Mutex<InstructionLevel?>(nil)

    private init(_ isa: ctk_isa) { self = InstructionLevel(rawValue: Int(isa.rawValue)) ?? .portable }
}
