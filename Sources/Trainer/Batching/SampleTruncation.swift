import BridgeCore

/// Makes samples fit the longest sequence, and counts what becomes of them.
public struct SampleTruncation: Sendable {
    /// What is done with a sample that cannot be cut.
    public enum OverlongPolicy: String, Sendable, CaseIterable {
        /// An error that ends the run.
        case refuse
        /// It is left out and counted.
        case skip
    }

    /// The longest sample, in tokens.
    public let seqLength: Int
    /// What is done with a sample that is longer and cannot be cut.
    public let tooLong: OverlongPolicy
    private let imageTokenID: Int32?

    /// A rule for lengths.
    ///
    /// - Parameters:
    ///   - seqLength: The longest sample, in tokens.
    ///   - imageTokenID: The token in whose place features of images come; nil for text.
    ///   - tooLong: What is done with a sample that is longer and cannot be cut.
    /// - Throws: `BridgeError` for a length that holds no pair of tokens.
    public init(seqLength: Int, imageTokenID: Int?, tooLong: OverlongPolicy = .refuse) throws {
        guard seqLength >= 2 else {
            throw BridgeError(.badArgument, "dataset.seq_length is \(seqLength), expected at least 2")
        }
        self.seqLength = seqLength
        self.tooLong = tooLong
        self.imageTokenID = imageTokenID.map { Int32(clamping: $0) }
    }

    /// What became of a sample.
    public enum Outcome: Sendable, Equatable {
        /// It fits as it is.
        case whole
        /// So many tokens at its end were cut off.
        case cut(Int)
        /// It is too long and was left out.
        case skipped
    }

    /// The sample within the length.
    ///
    /// It is cut from the right, where no image is cut. A sample that is left out becomes one token from which nothing is
    /// supervised, so that batches keep their size.
    ///
    /// - Throws: `BridgeError` when the cut would go through an image and such samples are refused.
    public func fit(_ sample: TrainingSample) throws -> (sample: TrainingSample, outcome: Outcome) {
        guard sample.tokens.count > seqLength else { return (sample, .whole) }
        // The token behind the last feature ends the image, so it has to stay too.
        let lastFeature = imageTokenID.flatMap { id in sample.tokens.lastIndex(of: id) }
        if (lastFeature ?? -1) <= seqLength - 2 {
            var cut = sample
            cut.tokens.removeSubrange(seqLength...)
            cut.labels.removeSubrange(min(seqLength, cut.labels.count)...)
            return (cut, .cut(sample.tokens.count - seqLength))
        }
        guard tooLong == .skip else {
            throw BridgeError(
                .corruptInput,
                "the sample has \(sample.tokens.count) tokens with an image up to token \(lastFeature ?? 0), and at most "
                    + "\(seqLength) fit; raise dataset.seq_length, make the image smaller, or leave the sample out"
            )
        }
        let first = Array(sample.tokens.prefix(1).map { $0 == imageTokenID ? 0 : $0 })
        return (TrainingSample(tokens: first, labels: first.map { _ in TrainingSample.ignoredLabel }), .skipped)
    }
}

/// What was seen in samples: nothing that is left out or cut stays unsaid.
public struct SampleStatistics: Sendable, Equatable {
    /// Samples that were looked at.
    public var sampleCount = 0
    /// Tokens of the samples that were kept, behind the cuts.
    public var tokenCount = 0
    /// Tokens that are supervised.
    public var supervisedCount = 0
    /// Samples from which nothing is supervised, the ones left out not counted.
    public var withoutTrainedToken = 0
    /// Samples that were left out because they are too long.
    public var tooLong = 0
    /// Samples that were cut.
    public var cut = 0
    /// Tokens that were cut off.
    public var cutTokens = 0
    /// Pictures.
    public var imageCount = 0

    /// Nothing yet.
    public init() {}

    /// Adds what was seen in other samples.
    public mutating func add(_ other: SampleStatistics) {
        sampleCount += other.sampleCount
        tokenCount += other.tokenCount
        supervisedCount += other.supervisedCount
        withoutTrainedToken += other.withoutTrainedToken
        tooLong += other.tooLong
        cut += other.cut
        cutTokens += other.cutTokens
        imageCount += other.imageCount
    }

    /// Counts a sample as it came out of ``SampleTruncation/fit(_:)``.
    public mutating func count(_ sample: TrainingSample, _ outcome: SampleTruncation.Outcome) {
        sampleCount += 1
        switch outcome {
        case .skipped:
            tooLong += 1
            return
        case .cut(let tokens):
            cut += 1
            cutTokens += tokens
        case .whole: break
        }
        tokenCount += sample.tokens.count
        supervisedCount += sample.supervisedCount
        imageCount += sample.images.count
        if sample.supervisedCount == 0 { withoutTrainedToken += 1 }
    }

    /// Adds what was counted elsewhere.
    public static func += (left: inout SampleStatistics, right: SampleStatistics) {
        left.sampleCount += right.sampleCount
        left.tokenCount += right.tokenCount
        left.supervisedCount += right.supervisedCount
        left.withoutTrainedToken += right.withoutTrainedToken
        left.tooLong += right.tooLong
        left.cut += right.cut
        left.cutTokens += right.cutTokens
        left.imageCount += right.imageCount
    }
}
