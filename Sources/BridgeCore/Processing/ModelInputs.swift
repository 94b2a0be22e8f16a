public import BridgeSupport
public import Imaging
public import JinjaTemplates
import Tokenizers

/// What goes into a model's forward pass.
public struct ModelInputs: Sendable, Equatable {
    /// The tokens, with the place of every image feature taken by the model's image token.
    public var tokenIDs: [Int]
    /// The pixels of each pass through the vision tower, not padded, in the order in which their features take the place
    /// of image tokens.
    public var images: [PixelPlanes]
    /// For each token whether the assistant says it; false everywhere where the template does not mark that.
    public var isAssistant: [Bool]
    /// The text before images were put in: what the chat template made, or the raw prompt.
    public var prompt: String

    /// Inputs from their parts; without `isAssistant` nothing is said by the assistant.
    public init(tokenIDs: [Int], images: [PixelPlanes] = [], isAssistant: [Bool]? = nil, prompt: String = "") {
        self.tokenIDs = tokenIDs
        self.images = images
        self.isAssistant = isAssistant ?? tokenIDs.map { _ in false }
        self.prompt = prompt
    }
}

/// How text and images become the inputs of a model.
public struct ProcessingOptions: Sendable {
    /// What the chat template is given beside the messages.
    public var template = ChatTemplate.Options()
    /// Looks at long images also in pieces, for families that do that; nil for whole images alone.
    public var panAndScan: PanAndScan?
    /// How large an image may be.
    public var imageLimits = ImageLimits.standard
    /// Stops a download.
    public var cancellation = Cancellation()
    /// Whether more tokens than the model takes are an error; training cuts them or leaves the sample out.
    public var limitsLength = true

    /// An answer is asked for, images are seen whole.
    public init() { template.addsGenerationPrompt = true }
}

/// How a long image is cut into pieces that the vision tower sees besides the whole.
public struct PanAndScan: Sendable, Equatable {
    /// The smallest side that a piece may have, in pixels.
    public var smallestSide = 256
    /// The most pieces.
    public var mostCrops = 4
    /// The ratio of the sides from which on an image is cut.
    public var smallestRatio = 1.2

    /// The numbers of transformers' processors.
    public init() {}
}
