public import BridgeSupport
public import Imaging
public import JinjaTemplates
import Tokenizers

/// The inputs of a model's forward pass.
public struct ModelInputs: Sendable, Equatable {
    /// The tokens, with the model's image token for every image feature.
    public var tokenIDs: [Int]
    /// The pixels of each pass through the vision tower, not padded, in the order in which their features replace image
    /// tokens.
    public var images: [PixelPlanes]
    /// For each token whether it is the assistant's; false everywhere if the template does not mark that.
    public var isAssistant: [Bool]
    /// The text before images were put in: what the chat template made, or the raw prompt.
    public var prompt: String

    /// Inputs from their parts; without `isAssistant` no token is the assistant's.
    public init(tokenIDs: [Int], images: [PixelPlanes] = [], isAssistant: [Bool]? = nil, prompt: String = "") {
        self.tokenIDs = tokenIDs
        self.images = images
        self.isAssistant = isAssistant ?? tokenIDs.map { _ in false }
        self.prompt = prompt
    }
}

/// The options of the processor.
public struct ProcessingOptions: Sendable {
    /// Further variables of the chat template.
    public var template = ChatTemplate.Options()
    /// Looks at long images also in pieces, for families that do that; nil for whole images alone.
    public var panAndScan: PanAndScan?
    /// The size limits of images.
    public var imageLimits = ImageLimits.standard
    /// Stops a download.
    public var cancellation = Cancellation()
    /// Whether more tokens than the model takes are an error; training cuts them or leaves the sample out.
    public var limitsLength = true

    /// A generation prompt is added, images are not cropped.
    public init() { template.addsGenerationPrompt = true }
}

/// The crops of a long image that are added to the whole image.
public struct PanAndScan: Sendable, Equatable {
    /// The smallest side that a piece may have, in pixels.
    public var smallestSide = 256
    /// The most pieces.
    public var mostCrops = 4
    /// The ratio of the sides from which on an image is cut.
    public var smallestRatio = 1.2

    /// The defaults of transformers' processors.
    public init() {}
}
