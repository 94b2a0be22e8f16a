public import BridgeSupport
public import Imaging
public import JinjaTemplates
public import ModelSchema
public import Tokenizers

/// Converts conversations and images to the inputs of a model.
///
/// A family defines how one image is processed; the rest is the same for all of them.
public protocol ModelProcessor: Sendable {
    /// The tokenizer, with the model's chat templates.
    var tokenizer: Tokenizer { get }
    /// The language model, whose vocabulary and longest sequence are the bounds of a prompt.
    var decoder: DecoderConfiguration { get }
    /// The text of images in a prompt; nil for a text-only model.
    var imageTokens: ImageTokens? { get }
    /// Whether images can be cropped by pan-and-scan.
    var cropsImages: Bool { get }
    /// Whether `token_type_ids` decides which tokens are of an image and see each other, as in Gemma 3.
    var readsTokenTypes: Bool { get }

    /// The pixels of an image without alpha, and its text in the prompt.
    ///
    /// - Throws: `BridgeError` or `ImageError` for an image that the model cannot take.
    func prepared(_ image: Image, options: ProcessingOptions) throws -> PreparedImage
}

/// The text of images in a prompt.
public struct ImageTokens: Sendable, Equatable {
    /// The special token of a whole image, as users and chat templates write it.
    public var marker: String
    /// The token whose embedding is replaced by a feature.
    public var feature: String
    /// Its id.
    public var featureID: Int

    /// The tokens of a family.
    public init(marker: String, feature: String, featureID: Int) {
        self.marker = marker
        self.feature = feature
        self.featureID = featureID
    }
}

/// An image as a model takes it.
public struct PreparedImage: Sendable {
    /// One set of planes for each pass through the vision tower.
    public var passes: [PixelPlanes]
    /// The text that replaces the marker in the prompt.
    public var text: String
    /// The number of features of the passes, which is the number of feature tokens in the text.
    public var featureCount: Int

    /// An image from its parts.
    public init(passes: [PixelPlanes], text: String, featureCount: Int) {
        self.passes = passes
        self.text = text
        self.featureCount = featureCount
    }
}

extension ModelProcessor {
    /// Reads text only.
    public var imageTokens: ImageTokens? { nil }
    /// Images are not cropped.
    public var cropsImages: Bool { false }
    /// Token types have no effect.
    public var readsTokenTypes: Bool { false }

    /// Reads text only.
    public func prepared(_ image: Image, options: ProcessingOptions) throws -> PreparedImage {
        throw BridgeError(.badArgument, "the model is text-only; remove the images")
    }

    /// The inputs of a conversation under the model's chat template.
    ///
    /// Equal to `apply_chat_template(tokenize=True)` of transformers' processor where the model sees images, and of its
    /// tokenizer where it does not.
    ///
    /// - Throws: `BridgeError` with one sentence when the template refuses the conversation, an image cannot be had, or the
    ///   result is more than the model takes.
    public func inputs(
        _ conversation: Conversation,
        options: ProcessingOptions = ProcessingOptions()
    ) throws -> ModelInputs {
        try inputs(of: rendered(conversation, options: options), images: conversation.images, options: options)
    }

    /// The text of a conversation under the model's chat template, with markers where images belong.
    ///
    /// - Throws: `BridgeError` with one sentence when the template refuses the conversation, or it has images and the model
    ///   reads text only.
    public func rendered(_ conversation: Conversation, options: ProcessingOptions) throws -> RenderedChat {
        try checkSeesImages(conversation.images.count)
        var template = options.template
        if template.tools == nil { template.tools = conversation.tools }
        if tokenizer.framesConversations {
            return try BridgeError.ofTokenizer { () throws(TokenizerError) in
                try tokenizer.render(conversation.messages, options: template)
            }
        }
        let messages =
            imageTokens == nil ? conversation.messages : conversation.messages.map(\.withPartsForNoContent)
        return try BridgeError.ofTokenizer { () throws(TokenizerError) in
            // A tokenizer of transformers takes the template for tools where there is one; a processor does not look.
            let chatTemplate = try tokenizer.chatTemplate(
                named: imageTokens == nil ? nil : "default",
                usingTools: template.tools != nil
            )
            let specialTokens = tokenizer.settings.specialTokens
            do throws(TemplateError) {
                return try chatTemplate.render(messages, specialTokens: specialTokens, options: template)
            } catch {
                // Reasoning comes as a text or as a list of texts, and most templates know the text only.
                guard let plain = messages.withPlainReasoning,
                    let chat = try? chatTemplate.render(plain, specialTokens: specialTokens, options: template)
                else { throw TokenizerError(error) }
                return chat
            }
        }
    }

    /// Whether the chat template that a conversation is rendered by names any of these, such as keys of a message.
    public func chatTemplateMentions(_ names: [String], usingTools: Bool) -> Bool {
        let templates = tokenizer.settings.chatTemplates
        let wanted = imageTokens == nil && usingTools && templates["tool_use"] != nil ? "tool_use" : "default"
        guard let source = templates[wanted] else { return false }
        return names.contains { ByteSearch.containsName($0, in: source) }
    }

    /// Whether rendering a conversation can depend on its date.
    public var writesDate: Bool {
        !tokenizer.framesConversations
            && [false, true].contains {
                chatTemplateMentions(["strftime_now", "{today}", "{yesterday}"], usingTools: $0)
            }
    }

    /// Whether rendering a conversation can depend on its tools.
    public var writesTools: Bool {
        tokenizer.framesConversations || chatTemplateMentions(["tools"], usingTools: true)
    }

    /// The inputs of a rendered conversation, whose spans may have been set by the caller.
    ///
    /// - Parameters:
    ///   - chat: The text, with a marker for each image.
    ///   - images: The images, in the order of the markers.
    ///   - options: How images are prepared, and whether the length is checked.
    /// - Returns: The inputs, with the tokens inside the spans as the assistant's.
    /// - Throws: `BridgeError` with one sentence, as for a conversation.
    public func inputs(of chat: RenderedChat, images: [ImageSource], options: ProcessingOptions) throws -> ModelInputs {
        try checkSeesImages(images.count)
        // A processor adds the token that begins a sequence where the template does not; a tokenizer leaves that to it.
        let begins = tokenizer.settings.beginToken.map { chat.text.utf8.starts(with: $0.utf8) } ?? false
        return try inputs(chat, images, addsSpecialTokens: imageTokens != nil && !begins, options)
    }

    /// The inputs of a text without a template, with the tokens around it that the tokenizer adds by itself.
    ///
    /// Equal to a call of transformers' processor or tokenizer with this text.
    ///
    /// - Throws: `BridgeError` with one sentence, as for a conversation.
    public func inputs(
        rawText text: String,
        images: [ImageSource] = [],
        options: ProcessingOptions = ProcessingOptions()
    ) throws -> ModelInputs {
        try checkSeesImages(images.count)
        return try inputs(RenderedChat(text: text), images, addsSpecialTokens: true, options)
    }

    private func checkSeesImages(_ count: Int) throws {
        guard count == 0 || imageTokens != nil else {
            throw BridgeError(
                .badArgument,
                "there \(count == 1 ? "is 1 image" : "are \(count) images") and the model is text-only; remove the images"
            )
        }
    }

    private func inputs(
        _ chat: RenderedChat,
        _ sources: [ImageSource],
        addsSpecialTokens: Bool,
        _ options: ProcessingOptions
    ) throws -> ModelInputs {
        var expanded = chat
        var passes: [PixelPlanes] = []
        var features = 0
        if let imageTokens {
            let places = chat.places(of: imageTokens.marker)
            try check(places.count, against: sources.count, imageTokens.marker)
            let images = try sources.map { try prepared($0, options: options) }
            expanded = chat.replacing(places, with: images.map(\.text))
            passes = images.flatMap(\.passes)
            features = images.reduce(0) { $0 + $1.featureCount }
        }
        let (tokenIDs, isAssistant) = try tokens(of: expanded, addsSpecialTokens: addsSpecialTokens, options)
        if let imageTokens {
            let count = tokenIDs.count { $0 == imageTokens.featureID }
            guard count == features else {
                throw BridgeError(
                    .badArgument,
                    "the prompt has \(count) tokens \(imageTokens.feature) for \(features) features of images; "
                        + "it must not contain that token itself"
                )
            }
        }
        return ModelInputs(tokenIDs: tokenIDs, images: passes, isAssistant: isAssistant, prompt: chat.text)
    }

    private func check(_ markers: Int, against images: Int, _ marker: String) throws {
        guard markers != images else { return }
        let placeholders = markers == 1 ? "1 placeholder" : "\(markers) placeholders"
        let advice =
            markers == 0
            ? "write \(marker) where an image belongs, or use a chat template that does"
            : "give one image for each \(marker) in the prompt"
        throw BridgeError(
            .badArgument,
            "there \(images == 1 ? "is 1 image" : "are \(images) images") and the prompt has \(placeholders) for images; \(advice)"
        )
    }

    /// The inputs of a model for one image, from any source.
    ///
    /// - Throws: `BridgeError` with one sentence when the image cannot be had or is not one that the model takes.
    public func prepared(_ source: ImageSource, options: ProcessingOptions) throws -> PreparedImage {
        try checkSeesImages(1)
        do {
            let image = try source.load(limits: options.imageLimits, cancellation: options.cancellation)
            return try prepared(image, options: options)
        } catch let error as ImageError {
            throw BridgeError(.corruptInput, "\(source) cannot be used: \(error.message)", cause: nil)
        }
    }

    /// The tokens of a text, within what the model takes.
    private func tokens(
        of chat: RenderedChat,
        addsSpecialTokens: Bool,
        _ options: ProcessingOptions
    ) throws -> (ids: [Int], isAssistant: [Bool]) {
        let (ids, isAssistant) = try BridgeError.ofTokenizer { () throws(TokenizerError) -> ([Int], [Bool]) in
            guard chat.literals.isEmpty else {
                let (encoding, isAssistant) = try tokenizer.encode(chat)
                return (encoding.ids.map(Int.init), isAssistant)
            }
            // Offsets cost time, and only spans need them.
            guard !chat.assistantSpans.isEmpty else {
                let ids = try tokenizer.encode(chat.text, addingSpecialTokens: addsSpecialTokens).map(Int.init)
                return (ids, ids.map { _ in false })
            }
            let encoding = try tokenizer.encodeWithOffsets(chat.text, addingSpecialTokens: addsSpecialTokens)
            return (encoding.ids.map(Int.init), encoding.mask(of: chat.assistantSpans))
        }
        guard !options.limitsLength || ids.count <= decoder.seqLength else {
            throw BridgeError(
                .badArgument,
                "the prompt has \(ids.count) tokens and the model takes at most \(decoder.seqLength); make it shorter"
            )
        }
        if let large = ids.first(where: { $0 >= decoder.vocabSize }) {
            throw BridgeError(
                .badConfiguration,
                "the tokenizer gives the id \(large) and the model has \(decoder.vocabSize) words; "
                    + "the tokenizer's files are not this model's"
            )
        }
        return (ids, isAssistant)
    }
}

extension ChatMessage {
    /// The message as transformers' processors, unlike its tokenizers, show it to a template: content that is missing or
    /// empty is a list without parts.
    fileprivate var withPartsForNoContent: ChatMessage {
        let content = fields.last { $0.name == "content" }?.value
        guard content == nil || content == .text("") else { return self }
        var message = self
        message.fields.removeAll { $0.name == "content" }
        message.fields.append(.init("content", .list([])))
        return message
    }
}

extension BridgeError {
    /// Runs something of the tokenizer's and turns what it throws into the error of this module.
    ///
    /// - Parameters:
    ///   - location: The file, or the row of one, that the text comes from; nil where the error names it itself.
    ///   - body: What is run.
    /// - Returns: What `body` returns.
    /// - Throws: `BridgeError`.
    public static func ofTokenizer<Result>(
        in location: String? = nil,
        _ body: () throws(TokenizerError) -> Result
    ) throws -> Result {
        do throws(TokenizerError) {
            return try body()
        } catch {
            let isOfTheRequest = error.code == .templateRefusal || error.code == .unsupported
            let message = location.map { "\($0): \(error)" } ?? error.description
            let code: BridgeError.Code = error.code == .unreadableFile ? .fileSystem : .corruptInput
            throw BridgeError(isOfTheRequest ? .badArgument : code, message)
        }
    }
}
