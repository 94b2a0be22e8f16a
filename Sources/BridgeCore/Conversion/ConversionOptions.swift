public import BridgeSupport
public import CheckpointFormats
public import ModelSchema
public import TensorRuntime

/// The options of a conversion.
public struct ConversionOptions: Sendable {
    /// The layout of the parameters of a Megatron checkpoint over files.
    public var layout: RankLayout
    /// The type that every floating-point tensor gets; nil keeps the tensors' own.
    public var elementType: ElementType?
    /// Tensors and parameters that may be missing or left over.
    public var allowMissing: [NameGlob]
    /// Whether an existing destination is replaced.
    public var overwrite: Bool
    /// A vocabulary is padded to a multiple of this times the tensor size; nil pads only where it does not divide evenly.
    public var vocabularyMultiple: Int?
    /// The container of a Megatron checkpoint that is written.
    public var container: NativeCheckpoint.Container
    /// The number of files that each rank writes in Megatron-Core's container.
    public var writers: Int
    /// Whether Megatron-Core's container gets `integrity.json`, the SHA-256 of its files.
    public var writesIntegrity: Bool
    /// Whether an export writes GGUF files, which llama.cpp loads, instead of a Hugging Face directory.
    public var writesGGUF = false
    /// The type of matrices in GGUF files; nil for that of the weights.
    public var ggufType: GGUFType?
    /// Threads, progress and cancellation.
    public var context: RunContext
    /// Whether a `quantization_config` goes though the source's weights were not quantised, as of weights that were changed.
    package var dropsQuantisation = false

    /// Options; without arguments: one rank, the tensors' own types, nothing allowed to be missing, nothing
    /// overwritten, Bridge's own container.
    public init(
        layout: RankLayout = .single,
        elementType: ElementType? = nil,
        allowMissing: [NameGlob] = [],
        overwrite: Bool = false,
        vocabularyMultiple: Int? = nil,
        container: NativeCheckpoint.Container = .native,
        writers: Int = 2,
        writesIntegrity: Bool = false,
        context: RunContext = RunContext()
    ) {
        self.layout = layout
        self.elementType = elementType
        self.allowMissing = allowMissing
        self.overwrite = overwrite
        self.vocabularyMultiple = vocabularyMultiple
        self.container = container
        self.writers = writers
        self.writesIntegrity = writesIntegrity
        self.context = context
    }
}
