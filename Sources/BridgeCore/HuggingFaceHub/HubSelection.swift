import BridgeSupport
import CheckpointFormats
import ModelSchema

/// The purpose of a download.
public enum HubPurpose: Sendable, Hashable {
    /// A model: configuration, tokenizer, processor, weights.
    case model
    /// A model without its weights.
    case processor
    /// Adapters in the format of PEFT.
    case adapter
    /// All files.
    case everything
}

/// The files of a repository that a purpose needs.
struct HubSelection {
    /// The files besides weights.
    var small: [HubFile]
    /// The index with the names of the weight files; nil where there is none.
    var index: String?
    /// The weight files if there is no index.
    var weights: [HubFile] = []

    /// Endings of files that describe a model: configurations, tokenizers, templates and documentation.
    private static let endings = [".json", ".txt", ".model", ".jinja", ".md", ".tiktoken"]

    /// The files.
    ///
    /// - Throws: `BridgeError` when the repository does not have what the purpose needs.
    init(_ purpose: HubPurpose, in listing: HubListing, of repository: HubRepository) throws {
        if purpose == .everything {
            small = listing.files
            return
        }
        let styles = HuggingFaceDirectory.Style.allCases
        small = listing.files.filter { file in
            let parts = file.path.split(separator: "/")
            let name = parts.last.map(String.init) ?? ""
            let isInPlace = parts.count == 1 || (parts.count == 2 && parts[0] == "additional_chat_templates")
            let isKnown = Self.endings.contains { name.hasSuffix($0) } || !name.contains(".")
            let isIndex = name.hasSuffix(".index.json")
            return isInPlace && isKnown && !isIndex
        }
        switch purpose {
        case .processor, .everything: return
        case .adapter:
            weights = listing.files.filter { $0.path == AdapterFiles.weights }
            if listing.file(AdapterFiles.configuration) != nil, !weights.isEmpty { return }
            weights = listing.files.filter { $0.path == AdapterFiles.lora }
            guard !weights.isEmpty else {
                let isPickled = listing.file("adapter_model.bin") != nil
                throw BridgeError(
                    .badArgument,
                    "\(repository) has no \(AdapterFiles.configuration) with \(AdapterFiles.weights), and no \(AdapterFiles.lora), so it "
                        + "has no supported adapter"
                        + (isPickled
                            ? "; its adapter_model.bin is pickled: write it with peft's save_pretrained(safe_serialization=True)"
                            : "")
                )
            }
        case .model:
            let names = listing.files.map(\.path)
            guard let style = styles.first(where: { !Self.weights(of: $0, names).isEmpty }) else {
                guard !names.contains(AdapterFiles.configuration), !names.contains(AdapterFiles.lora) else {
                    throw BridgeError(
                        .badArgument,
                        "\(repository) holds an adapter and not a model; give the model that it was trained on, and "
                            + "\(repository) with --adapter"
                    )
                }
                throw BridgeError(
                    .badArgument,
                    "\(repository) has no config.json with model*.safetensors, so it has no supported model; "
                        + (names.contains { $0.hasSuffix(".gguf") || $0.hasSuffix(".bin") }
                            ? "choose a repository with safetensors weights"
                            : "check the name")
                )
            }
            if Self.weights(of: style, names) == [style.indexName], let file = listing.file(style.indexName) {
                small.append(file)
                index = style.indexName
            } else {
                let wanted = Set(Self.weights(of: style, names))
                weights = listing.files.filter { wanted.contains($0.path) }
            }
        }
    }

    /// The weight files of a style, as a directory with these names would be read; empty if the style has none.
    private static func weights(of style: HuggingFaceDirectory.Style, _ names: [String]) -> [String] {
        guard names.contains(style.configurationName) else { return [] }
        let single = "\(style.weightsPrefix).safetensors"
        if names.contains(single) { return [single] }
        if names.contains(style.indexName) { return [style.indexName] }
        return names.filter { NamePattern("\(style.weightsPrefix)-*-of-*.safetensors").match($0) != nil }
    }
}
