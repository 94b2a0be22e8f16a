import BridgeSupport
import CheckpointFormats
import Conversion
import ModelPlugins
import ModelSchema
public import Models
import TensorFiles
public import TensorRuntime

extension AutoBridge {
    /// The number of layers of the language model.
    public var layerCount: Int { model.provider.decoder.numLayers }

    /// The model: its parameters in memory and its forward pass.
    ///
    /// Matrices that are stored in the required type and layout are memory-mapped, not copied. The plan and its ledger
    /// are those of a conversion: a tensor that is not accounted for is an error.
    ///
    /// - Parameters:
    ///   - path: A Megatron checkpoint of this model with the weights; nil for those of the Hugging Face directory.
    ///   - elementType: float32 or bfloat16; nil for bfloat16 if the weights are bfloat16, and float32 otherwise.
    ///   - engine: The engine that computes.
    ///   - parallelism: How the model is divided over ranks, of which each reads only its part; nil for one rank.
    ///   - verification: Compares the weights of a checkpoint with their checksums while the model is used; the caller asks
    ///     for the result at the end. Nil to verify before this returns.
    ///   - quantization: Which weights are quantized while they are read; nil for none.
    /// - Returns: The model, with every part frozen.
    /// - Throws: `BridgeError` for tensors that are not accounted for, cannot be read or are damaged, and for a model of which
    ///   nothing is quantized that should be.
    public func toModel(
        weights path: String? = nil,
        elementType: ElementType? = nil,
        on engine: any TensorEngine,
        parallelism: ModelParallelism? = nil,
        verification: WeightVerification? = nil,
        quantization: WeightQuantization? = nil
    ) throws -> any CausalModel {
        try model.checkRuns()
        let parameters = try accountedFor(path)
        try quantization?.checkExceptions(parameters.map(\.entry.megatron))
        let stored = Set(parameters.map(\.view.elementType).filter(\.isFloatingPoint))
        let type = elementType ?? (stored == [.bfloat16] ? .bfloat16 : .float32)
        guard type == .bfloat16 || type == .float32 else {
            throw BridgeError(.badArgument, "the element type is \(type.rawValue), expected float32 or bfloat16")
        }
        let loaded = try provide(
            WeightLoader(
                engine: engine,
                elementType: type,
                verification: verification,
                kernels: catalog.kernels,
                quantization: quantization
            ).load(
                parameters,
                parallelism: parallelism ?? ModelParallelism(layerCount: model.provider.decoder.numLayers)
            )
        )
        guard let quantization, loaded.parameters.allSatisfy({ $0.tensor.quantized == nil }) else { return loaded }
        throw BridgeError(
            .badArgument,
            "no matrix of the model was quantized; expected matrices named as Megatron-Core's, whose rows are a multiple of the "
                + "group size (\(quantization.layers.groupSize.map(String.init) ?? "whole rows")) long. Choose another group size, "
                + "or leave the weights as they are"
        )
    }

    /// Checks that the model runs, without reading a weight.
    ///
    /// - Throws: `BridgeError` with the reason why it can only be converted.
    public func checkRuns() throws { try model.checkRuns() }

    /// The model of weights, all of which it has to read.
    func provide(_ weights: ModelWeights) throws -> any CausalModel {
        let loaded = try model.provider.provide(weights)
        try weights.checkAllRead()
        return loaded
    }

    /// Checks that a model can be loaded: that all tensors it needs are there, and no others; no weight is read.
    ///
    /// Those are the tensors that ``toModel(weights:elementType:on:parallelism:verification:quantization:)`` reads.
    ///
    /// - Parameter path: A Megatron checkpoint of this model; nil for the Hugging Face directory.
    /// - Throws: `BridgeError` for tensors that are not accounted for.
    public func checkWeights(_ path: String? = nil) throws { _ = try accountedFor(path) }

    /// The parameters and the locations of their values; errors about tensors are worded for loading.
    private func accountedFor(_ path: String?) throws -> [(entry: ParameterTable.Entry, view: TensorView)] {
        do {
            guard let path else { return try imported() }
            let exporter = try exporter(path, ConversionOptions())
            let other = exporter.source.architecture
            guard other == model.architecture else {
                throw BridgeError(
                    .badArgument,
                    "\(path) has a \(other), but the configuration describes a \(model.architecture); "
                        + "give the directory that the checkpoint was made from, or the checkpoint alone"
                )
            }
            return try exporter.parameters().parameters
        } catch let error as BridgeError where error.code == .unaccountedTensors {
            // The error about a quantized model is already clear.
            if path == nil, let directory,
                Quantisation.unsupportedScheme(of: directory.configuration, directory.tensors) != nil
            {
                throw error
            }
            throw BridgeError(
                error.code,
                "\(ByteFormat.counted(error.names.count, "tensor")) of \(path ?? directory?.path ?? "the model") do not fit the "
                    + "configuration, so nothing was loaded; expected configuration and weights of the same model",
                names: error.names
            )
        }
    }

    private func imported() throws -> [(entry: ParameterTable.Entry, view: TensorView)] {
        guard let directory else {
            throw BridgeError(.badArgument, "this bridge has a configuration but no weights; name a checkpoint")
        }
        let resolver = TensorResolver(directory, model)
        return try resolver.resolve(model.table(directory.style), source: directory.path).parameters.map {
            ($0.entry, $0.view)
        }
    }
}
