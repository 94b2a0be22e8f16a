import BridgeCore
import Foundation
import JSONTree
import Network
import TensorRuntime

extension CardMeasurement {
    /// Facts about the model and its files.
    ///
    /// - Throws: `BridgeError` for files that cannot be read, and after a cancellation.
    public func facts() throws -> [ModelCard.Figure] {
        let decoder = bridge.toProvider().decoder
        let types = Set(original.tensors.map(\.view.elementType.rawValue)).sorted().joined(separator: ", ")
        let files = try Self.files(of: source)
        return [
            .init("Architecture", "\(bridge.architecture), family \(bridge.bridge.name)"),
            .init("Parameters", "\(original.parameterCount) in \(types)"),
            .init(
                "Decoder",
                "\(decoder.numLayers) layers, hidden size \(decoder.hiddenSize), \(decoder.numAttentionHeads) heads in "
                    + "\(decoder.numQueryGroups) groups of size \(decoder.kvChannels), feed-forward size "
                    + "\(decoder.ffnHiddenSize), \(decoder.vocabSize) tokens, context \(decoder.seqLength)"
            ),
            .init("Reads images", hasImages ? "yes" : "no"),
            .init("Checkpoint", "\(files.count) files, \(ByteFormat.text(original.byteCount)) of weights"),
            .init("SHA-256 of the list of sha256sum", try checksum(of: files)),
        ]
    }

    var hasImages: Bool { (try? bridge.processor())?.imageTokens != nil }

    /// The SHA-256 of the lines that `sha256sum` prints for the sorted files.
    private func checksum(of files: [String]) throws -> String {
        let lines = try files.map { name in
            let hash = try FileHash.sha256(
                of: Files.join(source, name),
                cancellation: options.context.cancellation
            )
            return "\(hash)  \(name)\n"
        }
        return try FileHash.sha256(of: Array(lines.joined().utf8))
    }

    /// The shell command with which transformers writes a file for the check of logits.
    public var referenceCommand: String {
        let type = hasImages ? "AutoModelForImageTextToText" : "AutoModelForCausalLM"
        // Tokens that no family uses for images.
        return """
            python3 -c "import torch, transformers; from safetensors.torch import save_file; \
            model = transformers.\(type).from_pretrained('NAME', dtype=torch.float32); \
            tokens = torch.arange(100, 140)[None]; \
            logits = model(input_ids=tokens, use_cache=False).logits.detach().contiguous(); \
            save_file({'input_ids': tokens, 'logits': logits}, 'logits.safetensors', \
            {'program': 'transformers ' + transformers.__version__})"
            """
    }
}
