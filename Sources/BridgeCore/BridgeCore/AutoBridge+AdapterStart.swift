public import Adapters
import BridgeSupport
import CheckpointFormats
import Communication
import ModelSchema
public import Models
public import Recipes
import TensorRuntime

extension AutoBridge {
    /// The settings of adapters with those of the adapter that training begins with: kind, rank, scale and form.
    ///
    /// - Parameter section: The settings, with ``Recipe/PEFTSection/adapterNameOrPath`` as a directory.
    /// - Returns: The settings; those of ``Recipe/PEFTSection/adapterNameOrPath`` empty are unchanged.
    /// - Throws: `BridgeError` for a directory without an adapter, and for an adapter of another kind.
    public func settings(continuing section: Recipe.PEFTSection) throws -> Recipe.PEFTSection {
        let path = section.adapterNameOrPath
        guard !path.isEmpty else { return section }
        let own: Recipe.PEFTSection
        if Self.isOfPEFT(path) {
            own = try PEFTConfiguration(directory: path).section(isCanonical: true)
        } else {
            let checkpoint = try adapterCheckpoint(path)
            own = try adapterConfiguration(checkpoint).section(
                isCanonical: Self.isCanonical(checkpoint.parameters.lazy.map(\.name))
            )
        }
        guard own.scheme == section.scheme else {
            throw BridgeError(
                .badArgument,
                "peft.scheme is \(section.scheme.rawValue), but the adapter \(path) is \(own.scheme.rawValue); set "
                    + "peft.scheme=\(own.scheme.rawValue)"
            )
        }
        var section = section
        (section.dim, section.alpha, section.usesRSLoRA) = (own.dim, own.alpha, own.usesRSLoRA)
        section.canonical = own.canonical
        // The adapter has the values, and its start if it has one.
        section.initLoRAWeights = .standard
        return section
    }

    /// The adapters that training begins with, on their layers: new ones, or those of
    /// ``Recipe/PEFTSection/adapterNameOrPath``.
    ///
    /// - Parameters:
    ///   - recipe: The recipe, with the settings of ``settings(continuing:)``.
    ///   - model: A model of this bridge, or the part of it that this rank has.
    ///   - isShapeOnly: Whether parameters are only counted.
    ///   - isRestored: Whether the values of new adapters are then read from a checkpoint.
    /// - Returns: The adapters, trainable; nil for full training.
    /// - Throws: `BridgeError` for an adapter that does not fit the model or the layout.
    public func startAdapters(
        by recipe: Recipe,
        on model: any CausalModel,
        isShapeOnly: Bool = false,
        isRestored: Bool = false
    ) throws -> AdapterSet? {
        let (path, groups) = (recipe.peft.adapterNameOrPath, model.decoder.parallelism.groups)
        guard !path.isEmpty else {
            return try AdapterSet.added(by: recipe, to: model, isShapeOnly: isShapeOnly, isRestored: isRestored)
        }
        if Self.isOfPEFT(path) {
            guard groups.mp.size == 1 else {
                throw BridgeError(
                    .badLayout,
                    "peft.adapter_name_or_path is an adapter in PEFT's format, which is loaded without tensor and pipeline parallelism only; "
                        + "convert it with 'bridge adapter import' and give the checkpoint that it writes"
                )
            }
            // Weights that are not there cannot be decomposed.
            if isShapeOnly, try PEFTConfiguration(directory: path).decomposesWeights {
                return try AdapterSet.added(by: recipe, to: model, isShapeOnly: true)
            }
        }
        let adapters = try loadAdapters(from: path, on: model, dropout: recipe.peft.dropout)
        guard adapters.wholeParameters.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "the adapter \(path) has modules that were trained in full, which no new run continues: "
                    + "\(adapters.configuration.modulesToSave.joined(separator: ", ")); merge it with 'bridge adapter merge' and train the "
                    + "result",
                names: adapters.wholeParameters.map(\.name)
            )
        }
        for parameter in adapters.trainedParameters { parameter.isTrainable = true }
        return adapters
    }
}
