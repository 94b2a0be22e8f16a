import Communication
import ModelSchema
import Models
import Recipes
import TensorRuntime

/// The parameters of one tensor-parallel rank: those of a layer, and those at the two ends of the model.
///
/// They are those of models with one layer in each stage, created without weights by the code that training uses, so that
/// they have its shards, frozen parts and adapters. All layers have the same shapes.
struct StageParameters {
    /// The size of a parameter on this rank.
    struct Size {
        /// The number of rows, of which a distributed optimizer gives some to each rank.
        var height: Int
        /// The number of elements of a row.
        var width: Int
        /// The number of bytes of an element.
        var elementByteCount: Int
        /// The number of bytes of all of it: fewer than its elements have if it is quantized.
        var byteCount: Int
        var isTrainable: Bool
        /// Whether this rank counts it: each parameter once over all ranks.
        var isOwner: Bool
        /// Whether each token is multiplied by it.
        var isMatrixOfTokens: Bool
        /// The part of the model for reports.
        var part: String

        var count: Int { height * width }
    }

    /// Those of a layer.
    private(set) var layer: [Size] = []
    /// Those of the first stage besides its layers.
    private(set) var first: [Size] = []
    /// Those of the last stage besides its layers.
    private(set) var last: [Size] = []
    /// Those of the only stage besides its layers.
    private(set) var only: [Size] = []
    /// The architecture of the decoder.
    let form: DecoderArchitecture

    /// The parameters of a rank.
    ///
    /// - Throws: `BridgeError` for adapters that the model cannot have.
    init(_ bridge: AutoBridge, _ recipe: Recipe, tensorRank: Int, on engine: any TensorEngine) throws {
        let size = recipe.model.tensorModelParallelSize
        func parameters(stage: Int, of stages: Int) throws -> (layer: [Size], ends: [Size], form: DecoderArchitecture) {
            let layout = ParallelLayout(tensor: size, pipeline: stages)
            let world = PlannedWorld(rank: tensorRank + stage * size, size: layout.rankCount)
            let parallelism = ModelParallelism(
                try ProcessGroupCollection(layout, in: world),
                sequenceParallel: false,
                stageLayers: [Int](repeating: 1, count: stages)
            )
            let type: ElementType = recipe.mixedPrecision == .bf16Mixed ? .bfloat16 : .float32
            let model = try bridge.shapeOnlyModel(elementType: type, on: engine, parallelism: parallelism)
            try model.freeze(by: recipe)
            let parts = model.parts(with: try AdapterSet.added(by: recipe, to: model, isShapeOnly: true))
            let sizes = parts.flatMap { part in
                part.parameters.map {
                    (isOfLayer: Self.isOfLayer($0), size: Size($0, part: part.name, in: model, recipe.quantization))
                }
            }
            return (
                sizes.filter(\.isOfLayer).map(\.size), sizes.filter { !$0.isOfLayer }.map(\.size), model.decoder.form
            )
        }
        let whole = try parameters(stage: 0, of: 1)
        (layer, only, form) = (whole.layer, whole.ends, whole.form)
        guard bridge.layerCount > 1 else { return }
        first = try parameters(stage: 0, of: 2).ends
        last = try parameters(stage: 1, of: 2).ends
    }

    private static func isOfLayer(_ parameter: Parameter) -> Bool { parameter.name.contains("decoder.layers.") }

    /// Those of a stage besides its layers.
    func ends(ofStage stage: Int, of stages: Int) -> [Size] {
        stages == 1 ? only : stage == 0 ? first : stage == stages - 1 ? last : []
    }
}

extension StageParameters.Size {
    fileprivate init(
        _ parameter: Parameter,
        part: String,
        in model: any CausalModel,
        _ quantization: WeightQuantization?
    ) {
        let shape = parameter.tensor.shape
        let format = parameter.isTrainable ? nil : quantization?.format(of: parameter.name, shape: shape)
        let isOfDecoder = part == "language_model" || (part == "adapters" && parameter.name.contains("decoder."))
        self.init(
            height: shape.first ?? 1,
            width: shape.dropFirst().reduce(1, *),
            elementByteCount: parameter.tensor.elementType.byteCount,
            byteCount: format?.byteCount(rows: shape[0], columns: shape[1]) ?? parameter.tensor.byteCount,
            isTrainable: parameter.isTrainable,
            isOwner: parameter.isOwner,
            isMatrixOfTokens: isOfDecoder && shape.count > 1
                && (parameter !== model.decoder.embedding
                    || (model.decoder.isTied && model.decoder.parallelism.postProcess)),
            part: part
        )
    }
}
