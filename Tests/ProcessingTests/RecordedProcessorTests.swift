import BridgeCore
import Imaging
import TestSupport
import Testing
import Tokenizers

/// Text and images become what transformers' processors made of them.
@Suite struct RecordedProcessorTests {
    @Test func thereAreCasesOfEveryFamily() throws {
        let cases = try RecordedCase.all.get()
        let checkpoints = Set(cases.map(\.checkpoint))
        #expect(cases.count > 80 && checkpoints.count == 5)
    }

    @Test(arguments: try RecordedCase.all.get()) func idsAndPixelsEqualThoseOfTransformers(_ recorded: RecordedCase)
        throws
    {
        let inputs = try recorded.inputs()
        #expect(inputs.tokenIDs == recorded.tokenIDs)
        let planes = inputs.images.map {
            RecordedCase.Planes(height: $0.height, width: $0.width, hash: fixtureHash($0.values))
        }
        #expect(planes == recorded.planes)
        if let rendered = recorded.rendered { #expect(inputs.prompt == rendered) }
        #expect(inputs.isAssistant == recorded.masks ?? recorded.tokenIDs.map { _ in false })
    }

    @Test(arguments: ["gemma3", "ministral3", "mistral"])
    func aMegatronCheckpointCarriesItsProcessor(_ checkpoint: String) throws {
        let scratch = try TemporaryDirectory()
        let bridge = try AutoBridge.fromHF(Fixtures.checkpoint(checkpoint))
        try bridge.importCheckpoint(to: scratch.path("megatron"))
        let images = checkpoint == "mistral" ? [] : [ImageSource.image(try noise(50, 30, seed: 4))]
        let conversation = Conversation(prompt: "What is it?", images: images)
        var options = ProcessingOptions()
        options.template.date = try ChatDate("2025-03-09")
        let expected = try bridge.processor().inputs(conversation, options: options)
        let carried = try AutoBridge.fromMegatron(scratch.path("megatron")).processor()
        #expect(try carried.inputs(conversation, options: options) == expected)
        #expect(expected.images.count == images.count && !expected.tokenIDs.isEmpty)
    }

    /// Mistral's own files hold no settings of a processor, so those of the model count.
    @Test func mistralsOwnFilesGiveTheSameRawInputs() throws {
        let image = ImageSource.image(try noise(50, 30, seed: 4))
        let own = try AutoBridge.fromHF(Fixtures.checkpoint("ministral3-native")).processor()
        let twin = try AutoBridge.fromHF(Fixtures.checkpoint("ministral3")).processor()
        let text = "Look at [IMG] this."
        let inputs = try own.inputs(rawText: text, images: [image])
        #expect(try twin.inputs(rawText: text, images: [image]).images == inputs.images)
        // 36 x 60 pixels in squares of 12: three rows of five.
        let row = [10, 10, 10, 10, 10]
        #expect(Array(inputs.tokenIDs.filter { (10...13).contains($0) }) == row + [12] + row + [12] + row + [13])
    }
}
