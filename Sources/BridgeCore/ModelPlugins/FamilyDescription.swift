import CheckpointFormats
import ModelSchema
import TensorFiles

/// A family's tables as text, for people.
public struct FamilyDescription: Sendable {
    /// The lines of the configuration table: keys, Megatron's name, what happens without the key.
    public let configuration: [[String]]
    /// The lines of the parameter table: Megatron's name, Hugging Face's names, shapes, split, stage, transform.
    public let parameters: [[String]]

    /// The tables of a family, with the sizes of its toy.
    ///
    /// - Throws: `BridgeError` when the plugin's own toy configuration does not pass its table.
    public init(_ bridge: any ModelBridge) throws { try self.init(opening: bridge) }

    private init<Bridge: ModelBridge>(opening bridge: Bridge) throws {
        configuration = bridge.configuration.fields.map { field in
            [field.paths.joined(separator: " | "), field.megatron ?? "-", field.absence]
        }
        let (provider, _) = try bridge.provider(configuration: bridge.toy.tiny, name: "the toy of \(bridge.name)")
        parameters = bridge.parameters(of: provider, style: .transformers).mappings.map { mapping in
            let shapes =
                mapping.megatron.holdsPath
                ? "\(mapping.paths.count) tensors" : mapping.shapes.map { "\($0)" }.joined(separator: " ")
            let shared = mapping.sharedWith.map { ", shares \($0)" } ?? ""
            return [
                mapping.megatron.description, mapping.huggingFace.map(\.description).joined(separator: " "), shapes,
                mapping.split.rawValue, mapping.stage.rawValue, mapping.transform.summary + shared,
            ]
        }
    }
}
