import BridgeCore
import Foundation
import Imaging
import JSONTree
import TestSupport
import Testing
import Tokenizers

/// What cannot become the inputs of a model is refused in one sentence.
@Suite struct ProcessorFaultTests {
    private func processor(_ checkpoint: String) throws -> any ModelProcessor {
        try AutoBridge.fromHF(Fixtures.checkpoint(checkpoint)).processor()
    }

    /// The processor of a copy in which files are changed by key; nil removes the file.
    private func processor(_ checkpoint: String, _ file: String, _ changes: [(String, JSON?)]?) throws
        -> any ModelProcessor
    {
        let scratch = try TemporaryDirectory()
        let copy = try scratch.copy(ofCheckpoint: checkpoint)
        let path = "\(copy)/\(file)"
        if let changes {
            var json = try JSON(contentsOf: path)
            for (key, value) in changes { json.set(value, at: key) }
            try Data(json.text()).write(to: URL(filePath: path))
        } else {
            try FileManager.default.removeItem(atPath: path)
        }
        return try AutoBridge.fromHF(copy).processor()
    }

    private func image(_ width: Int, _ height: Int) throws -> ImageSource { .image(try noise(width, height, seed: 1)) }

    private func expectSentence(
        _ words: String...,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: () throws -> Void
    ) {
        let error = #expect(throws: BridgeError.self, sourceLocation: sourceLocation, performing: body)
        let message = error?.message ?? ""
        for word in words { #expect(message.contains(word), "\(message)", sourceLocation: sourceLocation) }
        #expect(!message.contains("\n") && error?.cause == nil, "\(message)", sourceLocation: sourceLocation)
    }

    @Test(arguments: [("ministral3", "[IMG]"), ("gemma3", "<start_of_image>")])
    func imagesAndPlaceholdersHaveToBeEqual(_ checkpoint: String, _ marker: String) throws {
        let processor = try processor(checkpoint)
        let one = try image(20, 20)
        expectSentence("1 image", "0 placeholders", marker) { _ = try processor.inputs(rawText: "text", images: [one]) }
        expectSentence("0 images", "1 placeholder", marker) { _ = try processor.inputs(rawText: "a \(marker)") }
        expectSentence("1 image", "2 placeholders") {
            _ = try processor.inputs(rawText: marker + marker, images: [one])
        }
        expectSentence("2 images", "1 placeholder") {
            _ = try processor.inputs(
                Conversation(messages: [.init(role: "user", parts: [.image])], images: [one, one])
            )
        }
    }

    @Test func aFeatureThatThePromptSpellsOutIsRefused() throws {
        expectSentence("17 tokens <image_soft_token>", "16 features") {
            _ = try processor("gemma3").inputs(
                rawText: "<image_soft_token><start_of_image>",
                images: [image(9, 9)]
            )
        }
        expectSentence("1 tokens", "0 features") { _ = try processor("gemma3").inputs(rawText: "<image_soft_token>") }
    }

    @Test func aModelOfTextTakesNoImage() throws {
        expectSentence("1 image", "text-only") {
            _ = try processor("mistral").inputs(Conversation(prompt: "?", images: [image(9, 9)]))
        }
        expectSentence("text-only") { _ = try processor("mistral").inputs(rawText: "?", images: [image(9, 9)]) }
    }

    @Test func anImageTooNarrowOrTooLargeIsRefused() throws {
        expectSentence("2000x1", "crop it") {
            _ = try processor("ministral3").inputs(rawText: "[IMG]", images: [image(2000, 1)])
        }
        let large = try processor("ministral3", "processor_config.json", [("image_processor.size.longest_edge", 200)])
        expectSentence("120x120", "96 a side", "longest_edge to 96") {
            _ = try large.inputs(rawText: "[IMG]", images: [image(111, 111)])
        }
        var options = ProcessingOptions()
        options.imageLimits = ImageLimits(bytes: 1 << 20, side: 100, pixels: 500)
        expectSentence("rgb.png", "37x29", "make it smaller") {
            let path = "\(Fixtures.root)/images/rgb.png"
            _ = try processor("gemma3").inputs(rawText: "<start_of_image>", images: [.file(path)], options: options)
        }
    }

    @Test func aPromptLongerThanTheModelIsRefused() throws {
        let processor = try processor("mistral")
        let text = String(repeating: "§ ", count: 2000)
        let limit = processor.decoder.seqLength
        expectSentence("at most \(limit)") { _ = try processor.inputs(rawText: text) }
    }

    @Test func panAndScanIsForThoseWhoDoIt() throws {
        var options = ProcessingOptions()
        options.panAndScan = PanAndScan()
        expectSentence("pan-and-scan") {
            _ = try processor("ministral3").inputs(rawText: "[IMG]", images: [image(9, 9)], options: options)
        }
        options.panAndScan?.smallestSide = 0
        expectSentence("smallest side of 0") {
            _ = try processor("gemma3").inputs(rawText: "<start_of_image>", images: [image(9, 9)], options: options)
        }
    }

    @Test func filesThatDoNotFitTheModelAreRefused() throws {
        let file = "processor_config.json"
        for (key, value, words) in [
            ("image_token", "[NOBODY]", "does not know [NOBODY]"),
            ("image_break_token", "[ROW]", "does not know [ROW]"),
            ("image_token", "[IMG_END]", "the placeholder of images in the model is token 10"),
            ("image_token", 3, "expected a text"),
            ("patch_size", 7, "patch_size of 7"), ("spatial_merge_size", 1, "spatial_merge_size of 1"),
            ("patch_size", "six", "expected a whole number"), ("image_processor.resample", 1, "2 (bilinear) or 3"),
            ("image_processor.do_resize", false, "expected true"), ("image_processor.image_mean", [1], "3 means"),
            ("image_processor.rescale_factor", "x", "expected a number"),
            ("image_processor.do_center_crop", true, "expected false"), ("image_processor", "x", "expected an object"),
            ("image_processor.image_std", [1, 0, 1], "deviations other than 0"),
            ("image_processor.size", [:], "without longest_edge"), ("image_processor.size.longest_edge", -1, "0 to"),
        ] as [(String, JSON, String)] {
            expectSentence(words) { _ = try processor("ministral3", file, [(key, value)]) }
        }
        expectSentence("image_seq_length of 256", "16 tokens") {
            _ = try processor("gemma3", file, [("image_seq_length", nil)])
        }
        expectSentence("64x32", "32x32 only") {
            _ = try processor("gemma3", "preprocessor_config.json", [("size.width", 64)])
        }
        expectSentence("no tokenizer.json") { _ = try processor("mistral", "tokenizer.json", nil) }
        expectSentence("id 638") { _ = try processor("gemma3", "config.json", [("boi_token_index", 7)]) }
    }

    @Test func aSettingOfNullIsAsGoodAsNone() throws {
        let image = try image(40, 30)
        let plain = try processor("ministral3").inputs(rawText: "[IMG]", images: [image])
        let keys = ["do_center_crop", "crop_size", "do_convert_rgb", "do_pad", "data_format", "default_to_square"]
        let nulls = try processor(
            "ministral3",
            "processor_config.json",
            keys.map { ("image_processor.\($0)", JSON.null) }
        )
        #expect(try nulls.inputs(rawText: "[IMG]", images: [image]).tokenIDs == plain.tokenIDs)
    }

    /// In transformers 5.23 null skips a step, and is a ValueError for what a step needs.
    @Test(
        arguments: [
            ("ministral3", "processor_config.json", "image_processor."), ("gemma3", "preprocessor_config.json", ""),
        ],
        [
            "do_resize", "do_rescale", "do_normalize", "size", "resample", "rescale_factor", "image_mean", "image_std",
        ]
    )
    func nullIsNotTheDefaultOfAStep(_ model: (checkpoint: String, file: String, prefix: String), _ key: String) throws {
        expectSentence("\(key) is null, expected", "remove the key") {
            _ = try processor(model.checkpoint, model.file, [(model.prefix + key, JSON.null)])
        }
    }

    @Test func aModelWithoutATemplateIsAnError() throws {
        let bare = try processor("mistral", "chat_template.jinja", nil)
        expectSentence("no chat template") { _ = try bare.inputs(Conversation(prompt: "?")) }
        #expect(try !bare.inputs(rawText: "?").tokenIDs.isEmpty)
    }

    /// Whatever stands in a file beside the model, there are inputs or a sentence.
    @Test(arguments: [
        ("ministral3", "processor_config.json", "[IMG]"), ("gemma3", "preprocessor_config.json", "<start_of_image>"),
    ])
    func anyValueInAFileIsTakenOrRefused(_ checkpoint: String, _ file: String, _ marker: String) throws {
        let scratch = try TemporaryDirectory()
        let path = "\(try scratch.copy(ofCheckpoint: checkpoint))/\(file)"
        let original = try JSON(contentsOf: path)
        func keys(_ json: JSON, _ prefix: String) -> [String] {
            (json.object ?? JSONObject()).flatMap { [prefix + $0.key] + keys($0.value, "\(prefix)\($0.key).") }
        }
        let values: [JSON?] = [
            nil, true, 0, .number(JSONNumber(Int.max)), "x", [[:]], ["height": 1_048_576, "width": 3],
        ]
        let image = try image(31, 57)
        let catalog = try PluginCatalog.standard()
        var (taken, refused) = (0, 0)
        for key in keys(original, "") {
            for value in values {
                var changed = original
                changed.set(value, at: key)
                try Data(changed.text()).write(to: URL(filePath: path))
                do {
                    let processor = try AutoBridge.fromHF(scratch.path("source"), catalog: catalog).processor()
                    let inputs = try processor.inputs(rawText: "a\(marker)b", images: [image])
                    #expect(inputs.images.count == 1)
                    taken += 1
                } catch let error as BridgeError {
                    #expect(!error.message.contains("\n"), "\(key): \(error.message)")
                    refused += 1
                }
            }
        }
        #expect(taken > 10 && refused > 10, "\(taken) taken, \(refused) refused")
    }
}
