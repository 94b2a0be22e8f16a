import BridgeCore
import Foundation
import Imaging
import JSONTree
import TestSupport
import Testing
import Tokenizers
import Trainer

/// What the tests of samples share.
enum DataSupport {
    /// The processor of a committed checkpoint.
    static func processor(_ name: String) throws -> any ModelProcessor {
        try AutoBridge.fromHF(Fixtures.checkpoint(name)).processor()
    }

    /// An encoder with the date of the fixtures.
    static func encoder(_ processor: any ModelProcessor, _ mode: Recipe.LossMode = .assistant) throws -> SampleEncoder {
        var options = ProcessingOptions()
        options.template.date = try ChatDate("2025-03-09")
        return SampleEncoder(processor: processor, lossMode: mode, options: options)
    }

    /// A image that is committed.
    static var image: String { "\(Fixtures.root)/images/rgb.png" }

    /// What stands in the labels, as the texts of neighbouring tokens.
    static func trained(_ sample: TrainingSample, _ processor: any ModelProcessor) throws -> [String] {
        var runs: [[Int32]] = []
        var isOpen = false
        for label in sample.labels {
            if label != -100, isOpen { runs[runs.count - 1].append(label) }
            if label != -100, !isOpen { runs.append([label]) }
            isOpen = label != -100
        }
        return try runs.map { try processor.tokenizer.decode($0, skippingSpecialTokens: false) }
    }

    /// Noise from the generator of `Tests/Fixtures/make_image_fixtures.py`.
    static func noise(_ width: Int, _ height: Int, seed: Int) throws -> Image {
        var state = UInt32(seed)
        let bytes = (0..<width * height * 3).map { _ in
            state = state &* 1_664_525 &+ 1_013_904_223
            return UInt8(state >> 24)
        }
        return try Image(width: width, height: height, channels: 3, bytes: bytes)
    }
}

/// Checks that something throws an error that mentions all of `words`.
func expectError<Result>(
    mentioning words: String...,
    sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Result
) {
    let error = #expect(throws: BridgeError.self, sourceLocation: sourceLocation) { _ = try body() }
    for word in words {
        let message = error?.message ?? ""
        #expect(message.contains(word), "\(message) does not mention \(word)", sourceLocation: sourceLocation)
    }
}
