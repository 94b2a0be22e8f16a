import BridgeCore

/// Truncates samples to the maximum sequence length, and counts the results.
public struct SampleTruncation: Sendable {
    /// The treatment of a sample that cannot be truncated.
    public enum OverlongPolicy: String, Sendable, CaseIterable {
        /// An error that ends the run.
        case refuse
        /// It is skipped and counted.
        case skip
    }

    /// The maximum length of a sample, in tokens.
    public let seqLength: Int
    /// The treatment of a longer sample that cannot be truncated.
    public let tooLong: OverlongPolicy
    private let imageTokenID: Int32?

    /// A rule for lengths.
    ///
    /// - Parameters:
    ///   - seqLength: The maximum length of a sample, in tokens.
    ///   - imageTokenID: The token that image features replace; nil for text.
    ///   - tooLong: The treatment of a longer sample that cannot be truncated.
    /// - Throws: `BridgeError` for a length below 2.
    public init(seqLength: Int, imageTokenID: Int?, tooLong: OverlongPolicy = .refuse) throws {
        guard seqLength >= 2 else {
            throw BridgeError(.badArgument, "dataset.seq_length is \(seqLength), expected at least 2")
        }
        self.seqLength = seqLength
        self.tooLong = tooLong
        self.imageTokenID = imageTokenID.map { Int32(clamping: $0) }
    }

    /// The result of fitting a sample.
    public enum Outcome: Sendable, Equatable {
        /// It fits.
        case whole
        /// This number of tokens at its end was truncated.
        case cut(Int)
        /// It is too long and was skipped.
        case skipped
    }

    /// The sample, truncated to the length.
    ///
    /// It is truncated on the right, never inside an image. A skipped sample becomes one unsupervised token
    /// so that batches keep their size.
    ///
    /// - Throws: `BridgeError` when truncation would split an image and such samples are refused.
    public func fit(_ sample: TrainingSample) throws -> (sample: TrainingSample, outcome: Outcome) {
        guard sample.tokens.count > seqLength else { return (sample, .whole) }
        // The token after the last feature ends the image, so it is kept too.
        let lastFeature = imageTokenID.flatMap { id in sample.tokens.lastIndex(of: id) }
        if (lastFeature ?? -1) <= seqLength - 2 {
            var cut = sample
            cut.tokens.removeSubrange(seqLength...)
            cut.labels.removeSubrange(min(seqLength, cut.labels.count)...)
            cut.answer = cut.answer.map { Array($0.prefix(seqLength)) }
            return (cut, .cut(sample.tokens.count - seqLength))
        }
        guard tooLong == .skip else {
            throw BridgeError(
                .corruptInput,
                "the sample has \(sample.tokens.count) tokens with an image up to token \(lastFeature ?? 0), and at most "
                    + "\(seqLength) fit; raise dataset.seq_length, make the image smaller, or remove the sample"
            )
        }
        let first = Array(sample.tokens.prefix(1).map { $0 == imageTokenID ? 0 : $0 })
        return (TrainingSample(tokens: first, labels: first.map { _ in TrainingSample.ignoredLabel }), .skipped)
    }
}

/// Counts of samples, including skipped and truncated ones.
public struct SampleStatistics: Sendable, Equatable {
    /// Samples that were read.
    public var sampleCount = 0
    /// Tokens of the samples that were kept, after truncation.
    public var tokenCount = 0
    /// Tokens that are supervised.
    public var supervisedCount = 0
    /// Samples without a supervised token, not counting skipped ones.
    public var withoutTrainedToken = 0
    /// Samples that were skipped because they are too long.
    public var tooLong = 0
    /// Samples that were truncated.
    public var cut = 0
    /// Tokens that were truncated.
    public var cutTokens = 0
    /// Images.
    public var imageCount = 0

    /// Zero counts.
    public init() {}

    /// Counts a sample after ``SampleTruncation/fit(_:)``.
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

    /// Adds other counts.
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
