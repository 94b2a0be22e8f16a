import BridgeCore
import BridgeSupport
import Imaging

/// Finds samples that are too long or that are there already, before a run begins.
///
/// Every sample is made once for it, by several threads.
struct SampleFilter {
    /// The samples that remain of a source, and the numbers of those that do not.
    struct Result {
        var rows: [Int] = []
        var overlong = 0
        var repeated = 0

        /// Sentences about what was dropped.
        func sentences(_ section: Recipe.DatasetSection) -> [String] {
            func sentence(_ count: Int, _ reason: String) -> String? {
                guard count > 0 else { return nil }
                return
                    "\(ByteFormat.counted(count, "sample")) of \(rows.count + overlong + repeated) dropped, \(reason)"
            }
            return [
                sentence(overlong, "longer than dataset.seq_length=\(section.seqLength) tokens"),
                sentence(repeated, "equal to an earlier one"),
            ].compactMap(\.self)
        }
    }

    private let section: Recipe.DatasetSection
    private var known: Set<String> = []

    /// A filter with the settings of a section.
    init(_ section: Recipe.DatasetSection) { self.section = section }

    /// Whether the settings ask for a look at every sample.
    var isNeeded: Bool { section.exactDeduplication || section.excessLengthStrategy != .truncate }

    /// Looks at all samples of a source; those of earlier sources count as there already.
    ///
    /// - Throws: `BridgeError` for samples that are too long where that is an error, and for rows that cannot be used.
    mutating func rows(of source: any SampleSource) throws -> Result {
        let workers = max(1, section.numWorkers)
        let (limit, hashes) = (section.seqLength, section.exactDeduplication)
        let facts = Prefetcher(count: source.count, depth: 8 * workers, workers: workers) { row in
            guard hashes else { return (length: try source.lengths(at: row).max() ?? 0, fingerprint: String?.none) }
            let samples = try source.samples(at: row)
            let fingerprint: String? = samples.map(\.fingerprint).joined()
            return (length: samples.map(\.tokens.count).max() ?? 0, fingerprint: fingerprint)
        }
        var result = Result()
        var refused: [String] = []
        var row = 0
        while let fact = try facts.next() {
            defer { row += 1 }
            if fact.length > limit, section.excessLengthStrategy != .truncate {
                result.overlong += 1
                if section.excessLengthStrategy == .error, refused.count < Self.mostNamed {
                    refused.append("\(source.location(of: row)): \(fact.length) tokens")
                }
                continue
            }
            if let fingerprint = fact.fingerprint, !known.insert(fingerprint).inserted {
                result.repeated += 1
                continue
            }
            result.rows.append(row)
        }
        guard refused.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(result.overlong) of \(source.count) samples have more than dataset.seq_length=\(limit) tokens; raise it, or set "
                    + "dataset.excess_length_strategy to truncate or drop",
                names: refused
            )
        }
        return result
    }

    private static let mostNamed = 20
}

extension TrainingSample {
    /// A checksum of everything that is trained: the tokens, the labels and the images.
    fileprivate var fingerprint: String {
        ContentFingerprint.of { add in
            // Lengths first, so that no two samples have the same bytes.
            for count in [tokens.count, labels.count] + images.flatMap({ [$0.width, $0.height] }) {
                withUnsafeBytes(of: UInt64(count).littleEndian, add)
            }
            for values in [tokens, labels] { values.withUnsafeBytes(add) }
            for image in images { image.values.withUnsafeBytes(add) }
        }
    }
}
