import JSONTree

/// The sizes of a configuration under the expressions that a drafted table has for them.
struct DraftSizes {
    static let hidden = "decoder.hiddenSize"
    static let ffn = "decoder.ffnHiddenSize"
    static let vocabulary = "decoder.vocabSize"
    static let head = "decoder.kvChannels"
    static let queries = "decoder.numAttentionHeads * decoder.kvChannels"
    static let keys = "decoder.numQueryGroups * decoder.kvChannels"
    /// The rows of query, key and value in one matrix.
    private static let fused = "(decoder.numAttentionHeads + 2 * decoder.numQueryGroups) * decoder.kvChannels"
    /// The rows of gate and up in one matrix.
    private static let gated = "2 * decoder.ffnHiddenSize"

    private let sizes: [(expression: String, value: Int)]

    /// No sizes, of a model without a file.
    init() { sizes = [] }

    init(_ json: JSON) {
        func size(_ key: String) -> Int? { json[key]?.integer.flatMap { (1...1 << 28).contains($0) ? $0 : nil } }
        let (hidden, heads) = (size("hidden_size"), size("num_attention_heads"))
        let groups = size("num_key_value_heads") ?? heads
        let width = size("head_dim") ?? (hidden.flatMap { hidden in heads.map { hidden / $0 } })
        func product(_ count: Int?) -> Int? { count.flatMap { count in width.map { count * $0 } } }
        let found: [(String, Int?)] = [
            (Self.hidden, hidden), (Self.ffn, size("intermediate_size")), (Self.vocabulary, size("vocab_size")),
            (Self.head, width), (Self.queries, product(heads)), (Self.keys, product(groups)),
            (Self.fused, product(heads.flatMap { heads in groups.map { heads + 2 * $0 } })),
            (Self.gated, size("intermediate_size").map { 2 * $0 }),
        ]
        sizes = found.compactMap { expression, value in value.map { (expression, $0) } }
    }

    /// The values of expressions; nil where a configuration does not tell one.
    func values(_ expressions: [String]) -> [Int]? {
        let found = expressions.compactMap { expression in sizes.first { $0.expression == expression }?.value }
        return found.count == expressions.count ? found : nil
    }

    /// The first expressions that have the values, and the numbers themselves where none has.
    func expressions(_ shape: [Int]) -> [String] {
        shape.map { value in sizes.first { $0.value == value }?.expression ?? "\(value)" }
    }
}
