import BridgeCore
public import Imaging

/// Samples side by side in rows of one length: plain values, made off the step's path.
public struct CollatedBatch: Sendable, Equatable {
    /// The tokens, row by row: B x T.
    public private(set) var tokens: [Int32] = []
    /// For every token the one that follows it in its sample where that is supervised, -100 elsewhere: B x T.
    public private(set) var targets: [Int32] = []
    /// The place of every token in its sample, 0 for padding: B x T.
    public private(set) var positions: [Int32] = []
    /// Which tokens are not padding, B x T; nil when all are.
    public private(set) var isPresent: [Bool]?
    /// Which sample of its row each token belongs to, -1 for padding, B x T; nil when no row has two.
    public private(set) var segments: [Int32]?
    /// The images, in the order in which their features take the place of image tokens.
    public private(set) var images: [PixelPlanes] = []
    /// B.
    public let batch: Int
    /// T.
    public let length: Int
    /// How many targets are supervised.
    public private(set) var supervisedCount = 0

    /// How samples are put into rows.
    public struct Options: Sendable, Equatable {
        /// What stands behind the end of a row.
        public var paddingToken: Int32 = 0
        /// What the length of rows is a multiple of.
        public var padToMultipleOf = 1
        /// How long a row with several samples may be; nil for one sample a row.
        public var packedLength: Int?

        /// One sample a row, as long as the longest.
        public init() {}
    }

    /// Puts samples into rows, padded on the right.
    ///
    /// With `packedLength` each sample goes into the first row that has room for it, in the order of the samples.
    ///
    /// - Throws: `BridgeError` when there is no sample, one is empty or longer than a packed row, or labels and tokens are
    ///   not as many.
    public init(_ samples: [TrainingSample], options: Options = Options()) throws {
        guard !samples.isEmpty, options.padToMultipleOf > 0 else {
            throw BridgeError(
                .badArgument,
                "a batch of \(samples.count) samples padded to a multiple of \(options.padToMultipleOf); both are at least 1"
            )
        }
        for sample in samples where sample.tokens.isEmpty || sample.labels.count != sample.tokens.count {
            throw BridgeError(
                .corruptInput,
                "a sample has \(sample.tokens.count) tokens and \(sample.labels.count) labels, expected as many and some"
            )
        }
        let rows = try Self.rows(samples.map(\.tokens.count), packedLength: options.packedLength)
        let longest = rows.map { $0.reduce(0) { $0 + samples[$1].tokens.count } }.max() ?? 0
        let (rounded, overflow) = longest.addingReportingOverflow(options.padToMultipleOf - 1)
        guard !overflow, rounded <= 1 << 24 else {
            throw BridgeError(
                .badArgument,
                "dataset.pad_to_multiple_of is \(options.padToMultipleOf), which no row can be"
            )
        }
        batch = rows.count
        length = rounded / options.padToMultipleOf * options.padToMultipleOf
        let isPadded = rows.contains { $0.reduce(0) { $0 + samples[$1].tokens.count } < length }
        if isPadded { isPresent = [] }
        if rows.contains(where: { $0.count > 1 }) { segments = [] }
        for row in rows {
            for (segment, index) in row.enumerated() { append(samples[index], segment: Int32(segment)) }
            pad(to: length, count: row.reduce(0) { $0 + samples[$1].tokens.count }, options.paddingToken)
        }
    }

    /// The samples of each row.
    private static func rows(_ counts: [Int], packedLength: Int?) throws -> [[Int]] {
        guard let packedLength else { return counts.indices.map { [$0] } }
        var rows: [(samples: [Int], room: Int)] = []
        for (index, count) in counts.enumerated() {
            guard count <= packedLength else {
                throw BridgeError(
                    .corruptInput,
                    "a sample has \(count) tokens and a packed row at most \(packedLength); raise dataset.seq_length"
                )
            }
            if let row = rows.firstIndex(where: { $0.room >= count }) {
                rows[row].samples.append(index)
                rows[row].room -= count
            } else {
                rows.append(([index], packedLength - count))
            }
        }
        return rows.map(\.samples)
    }

    private mutating func append(_ sample: TrainingSample, segment: Int32) {
        let count = sample.tokens.count
        tokens += sample.tokens
        let shifted = sample.labels.dropFirst() + [TrainingSample.ignoredLabel]
        targets += shifted
        supervisedCount += shifted.count { $0 != TrainingSample.ignoredLabel }
        positions += (0..<count).map { Int32($0) }
        isPresent?.append(contentsOf: repeatElement(true, count: count))
        segments?.append(contentsOf: repeatElement(segment, count: count))
        images += sample.images
    }

    private mutating func pad(to length: Int, count: Int, _ token: Int32) {
        let missing = length - count
        tokens += repeatElement(token, count: missing)
        targets += repeatElement(TrainingSample.ignoredLabel, count: missing)
        positions += repeatElement(0, count: missing)
        isPresent?.append(contentsOf: repeatElement(false, count: missing))
        segments?.append(contentsOf: repeatElement(-1, count: missing))
    }
}
