import BridgeSupport
import TensorFiles

/// The tensors of a file of inputs, with the names of transformers.
public enum InputTensors {
    /// The treatment of a tensor.
    public enum Verdict: Sendable, Equatable {
        /// It is used.
        case honoured
        /// It changes nothing, for the reason given.
        case noEffect(String)
        /// A file that has it is refused, with what to do.
        case refused(String)
    }

    /// A name with its verdict.
    public typealias Entry = (name: String, verdict: Verdict)

    /// The tensors that have a verdict; any other is reported.
    public static let all: [Entry] =
        [
            "input_ids", "attention_mask", "position_ids", "token_type_ids", "pixel_values", "image_sizes", "labels",
            "num_items_in_batch",
        ].map { ($0, .honoured) }
        + [
            ("mm_token_type_ids", .noEffect("no forward pass of these families reads it")),
            ("use_cache", .noEffect("selects an implementation; results do not change")),
            ("return_dict", .noEffect("selects an implementation; results do not change")),
            ("inputs_embeds", .refused("give the tokens as input_ids and the images as pixel_values")),
            ("logits_to_keep", .refused("give the number of positions with --last")),
            ("loss_mask", .refused("write -100 into labels where there is no loss")),
            ("loss_weights", .refused("write -100 into labels where there is no loss")),
            ("shift_labels", .refused("give labels, which are not shifted")),
            ("past_key_values", .refused("give all tokens as input_ids")),
            ("cache_position", .refused("give the positions as position_ids")),
            ("image_hidden_states", .refused("give the images as pixel_values")),
            ("image_features", .refused("give the images as pixel_values")),
        ]
        + ["cu_seq_lens_q", "cu_seq_lens_k", "cu_seqlens", "seq_idx", "seq_start_id", "segment_ids"].map {
            ($0, .refused("give each sequence as a row of input_ids, with attention_mask for the padding"))
        }

    private static let verdicts = Dictionary(all.map { ($0.name, $0.verdict) }) { first, _ in first }

    /// Refuses tensors that would change the result and are not supported.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - names: The names of its tensors.
    /// - Throws: `BridgeError` with what to give in their place.
    static func check(_ path: String, names: some Sequence<String>) throws {
        for name in names.sorted() {
            guard case .refused(let advice)? = verdicts[name] else { continue }
            throw BridgeError(
                .badArgument,
                "\(path) has \(name), which is not supported; \(advice), and remove \(name)"
            )
        }
    }

    /// The tensors of a file that are not used, because their names are unknown.
    ///
    /// - Parameter path: The file.
    /// - Returns: Their names, in alphabetical order.
    /// - Throws: `BridgeError` for a file that cannot be read.
    public static func unknown(in path: String) throws -> [String] {
        try SafetensorsFile(path: path).tensors.map(\.name).filter { verdicts[$0] == nil }.sorted()
    }
}
