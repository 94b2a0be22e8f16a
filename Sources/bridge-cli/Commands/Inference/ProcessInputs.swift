import ArgumentParser
import BridgeCore
import Foundation
import Imaging
import JSONTree
import Tokenizers

/// The inputs of a model for text and images, for comparisons with other programs.
struct ProcessInputs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "process",
        abstract: "Show the token ids and pixel values of text and images.",
        discussion: """
            The keys are those of transformers: input_ids, pixel_values, image_sizes.

            EXAMPLES:
              bridge process prompt toy --prompt 'What is it?' --image photo.png \\
                --output inputs.safetensors
              bridge process strings toy strings.json
              bridge process requests toy requests.json inputs.safetensors
            """,
        shouldDisplay: false,
        subcommands: [Prompt.self, Strings.self, Requests.self]
    )

    /// One prompt or conversation.
    struct Prompt: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Process a prompt or a conversation.")

        @Argument(help: "A Hugging Face directory, a hub id, or a Megatron checkpoint.", completion: .directory)
        var model: String

        @OptionGroup var prompt: PromptOptions
        @OptionGroup var plugins: ModelPluginOptions

        @Flag(name: .customLong("no-generation-prompt"), help: "Do not add the generation prompt.")
        var noGenerationPrompt = false

        @Option(
            name: .long,
            help: ArgumentHelp(
                "The safetensors file to write; without it JSON without pixel values is printed.",
                valueName: "file"
            )
        )
        var output: String?

        @Flag(name: .long, help: "Replace --output even if this command has not written it.")
        var overwrite = false

        func validate() throws {
            guard prompt.isGiven else { throw ValidationError("give either --prompt or --messages") }
        }

        func run() throws {
            if let output {
                try Destination.check(output, against: [model, prompt.messages, prompt.tools] + prompt.images)
                try OutputFile.check(output, of: "process", overwrite: overwrite)
            }
            let processor = try HubDirectory.processor(model, plugins.catalog())
            let inputs = try prompt.inputs(processor, asksForAnswer: !noGenerationPrompt)
            if let output {
                var file = InputsFile()
                try file.add(inputs, prefix: "")
                return try Interrupt.withGracefulInterrupt { try file.write(to: output) }
            }
            Output.json([
                "prompt": .string(inputs.prompt), "input_ids": inputs.tokenIDs.json,
                "image_sizes": .array(inputs.images.map { [$0.height, $0.width].json }),
            ])
        }
    }

    /// Tokenizes a list of strings.
    struct Strings: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print the token ids of each string of a list.")

        @Argument(help: "A Hugging Face directory, a hub id, or a Megatron checkpoint.", completion: .directory)
        var model: String

        @Argument(help: "A JSON file with a list of strings.", completion: .file(extensions: ["json"]))
        var strings: String

        @Flag(name: .customLong("no-special-tokens"), help: "Do not add special tokens.")
        var noSpecialTokens = false

        @OptionGroup var plugins: ModelPluginOptions

        func run() throws {
            let tokenizer = try HubDirectory.processor(model, plugins.catalog()).tokenizer
            let texts = try JSON(contentsOf: strings).array?.map(\.string) ?? [nil]
            let lists = try texts.map { text in
                guard let text else {
                    throw BridgeError(.corruptInput, "\(strings) is not a list of strings, which is expected")
                }
                return try BridgeError.ofTokenizer(in: strings) { () throws(TokenizerError) in
                    try tokenizer.encode(text, addingSpecialTokens: !noSpecialTokens)
                }
            }
            Output.json(.array(lists.map { $0.map(Int.init).json }))
        }
    }

    /// Processes a list of requests; errors are in the metadata of the file.
    struct Requests: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Process each request of a list.",
            discussion: """
                A request has "messages" or "text", and optionally "images", "tools", "date", "add_generation_prompt", \
                "continue_final_message" and "pan_and_scan" (true, or the three values of transformers' pan_and_scan_*). \
                The keys of request 3 begin with "3."; the metadata has its text as "3.prompt" and its error as "3.error".
                """
        )

        @Argument(help: "A Hugging Face directory, a hub id, or a Megatron checkpoint.", completion: .directory)
        var model: String

        @Argument(help: "A JSON file with a list of requests.", completion: .file(extensions: ["json"]))
        var requests: String

        @Argument(help: "The safetensors file to write.", completion: .file(extensions: ["safetensors"]))
        var output: String

        @Flag(name: .long, help: "Replace the output even if this command has not written it.")
        var overwrite = false

        @OptionGroup var plugins: ModelPluginOptions

        func run() throws {
            try Destination.check(output, against: [model, requests])
            try OutputFile.check(output, of: "process", overwrite: overwrite)
            let processor = try HubDirectory.processor(model, plugins.catalog())
            guard let list = try JSON(contentsOf: requests).array else {
                throw BridgeError(.corruptInput, "\(requests) is not a list of requests, which is expected")
            }
            var file = InputsFile()
            for (index, request) in list.enumerated() {
                do {
                    try file.add(Self.inputs(request, processor, name: "request \(index)"), prefix: "\(index).")
                } catch let error as BridgeError where error.code != .cancelled {
                    file.note(error.message, as: "\(index).error")
                }
            }
            try Interrupt.withGracefulInterrupt { try file.write(to: output) }
        }

        private static func inputs(_ request: JSON, _ processor: any ModelProcessor, name: String) throws -> ModelInputs
        {
            var options = ProcessingOptions()
            options.cancellation = Interrupt.cancellation
            options.template.addsGenerationPrompt = request["add_generation_prompt"]?.bool ?? false
            options.template.continuesFinalMessage = request["continue_final_message"]?.bool ?? false
            options.template.tools = request["tools"]?.array?.map { ChatValue($0) }
            do throws(TemplateError) {
                if let date = request["date"]?.string { options.template.date = try ChatDate(date) }
            } catch {
                throw BridgeError(.badArgument, "\(name): \(error)")
            }
            if let pan = request["pan_and_scan"], pan.bool != false {
                var numbers = PanAndScan()
                numbers.smallestSide = pan["min_crop_size"]?.integer ?? numbers.smallestSide
                numbers.mostCrops = pan["max_num_crops"]?.integer ?? numbers.mostCrops
                numbers.smallestRatio = pan["min_ratio_to_activate"]?.double ?? numbers.smallestRatio
                options.panAndScan = numbers
            }
            let images = try (request["images"]?.array ?? []).map { try ImageSource($0.string ?? "") }
            if let text = request["text"]?.string {
                return try processor.inputs(rawText: text, images: images, options: options)
            }
            return try processor.inputs(Conversation(json: request, name: name, images: images), options: options)
        }
    }
}

extension [Int] {
    /// A list of numbers.
    var json: JSON { .array(map { JSON($0) }) }
}
