public import JinjaTemplates
import Tokenizers

/// Messages with the images that belong to them.
public struct Conversation: Sendable, Equatable {
    /// The turns, with a part `{"type": "image"}` where an image belongs.
    public var messages: [ChatMessage]
    /// The images, in the order of those parts.
    public var images: [ImageSource]
    /// The tools that came with the messages.
    public var tools: [ChatValue]?

    /// For each message whether training may supervise it, as marks of a row such as `"weight": 0` say; nil where nothing is
    /// marked, which is the same as true for all of them.
    public var supervised: [Bool]?

    /// Keys beside the messages that are not read.
    package var unreadKeys: [String] = []

    /// A conversation from its parts.
    public init(
        messages: [ChatMessage],
        images: [ImageSource] = [],
        tools: [ChatValue]? = nil,
        supervised: [Bool]? = nil
    ) {
        self.messages = messages
        self.images = images
        self.tools = tools
        self.supervised = supervised
    }

    /// One question, with its images before the text.
    public init(prompt: String, images: [ImageSource] = [], system: String? = nil) {
        let parts = images.map { _ in ChatPart.image } + [.text(prompt)]
        let question =
            images.isEmpty ? ChatMessage(role: "user", content: prompt) : ChatMessage(role: "user", parts: parts)
        let preface = system.map { [ChatMessage(role: "system", content: $0)] } ?? []
        self.init(messages: preface + [question], images: images)
    }
}
