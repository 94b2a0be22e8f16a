/// All parameters of a model with their Hugging Face tensors, read in both directions.
public struct ParameterTable: Sendable {
    /// The lines of the table.
    public var mappings: [ParameterMapping]

    /// A table of the given mappings.
    public init(@Builder _ mappings: () -> [ParameterMapping]) { self.mappings = mappings() }

    /// A table of the given lines.
    public init(mappings: [ParameterMapping]) { self.mappings = mappings }

    /// Collects the lines of a table.
    @resultBuilder
    public enum Builder {
        /// One line.
        public static func buildExpression(_ mapping: ParameterMapping) -> [ParameterMapping] { [mapping] }
        /// Several lines.
        public static func buildExpression(_ mappings: [ParameterMapping]) -> [ParameterMapping] { mappings }
        /// Lines one after the other.
        public static func buildBlock(_ parts: [ParameterMapping]...) -> [ParameterMapping] { parts.flatMap { $0 } }
        /// Lines that are there under a condition.
        public static func buildOptional(_ part: [ParameterMapping]?) -> [ParameterMapping] { part ?? [] }
        /// One of two sets of lines.
        public static func buildEither(first part: [ParameterMapping]) -> [ParameterMapping] { part }
        /// One of two sets of lines.
        public static func buildEither(second part: [ParameterMapping]) -> [ParameterMapping] { part }
        /// The lines of a loop.
        public static func buildArray(_ parts: [[ParameterMapping]]) -> [ParameterMapping] { parts.flatMap { $0 } }
    }

    /// One parameter of the model, with the wildcards filled in.
    package struct Entry: Sendable {
        package var megatron: String
        package var huggingFace: [String]
        package var shapes: [[Int]]
        package var mapping: ParameterMapping
        /// The decoder layer; nil outside the layers.
        package var layer: Int?

        /// The name of a tensor's matrix among a loaded model's parameters: fused ones are numbered.
        package func pieceName(_ index: Int) -> String {
            huggingFace.count > 1 ? "\(megatron)[\(index)]" : megatron
        }
    }

    /// Every parameter, in the order of the table, layer by layer.
    package var entries: [Entry] {
        var entries: [Entry] = []
        var index = 0
        while index < mappings.count {
            // Rows over the same layers are grouped, so that a layer's parameters are adjacent.
            let first = mappings[index]
            var end = index + 1
            while end < mappings.count, first.repetitions > 1, mappings[end].repetitions == first.repetitions,
                mappings[end].stage == first.stage, mappings[end].megatron.wildcardCount == first.megatron.wildcardCount
            {
                end += 1
            }
            for layer in 0..<first.repetitions {
                for mapping in mappings[index..<end] { entries += Self.entries(of: mapping, layer: layer) }
            }
            index = end
        }
        return entries
    }

    private static func entries(of mapping: ParameterMapping, layer: Int) -> [Entry] {
        guard mapping.megatron.holdsPath else {
            let captures = [String](repeating: String(layer), count: mapping.megatron.wildcardCount)
            return [
                Entry(
                    megatron: mapping.megatron.filled(with: captures),
                    huggingFace: mapping.huggingFace.map { $0.filled(with: captures) },
                    shapes: mapping.shapes,
                    mapping: mapping,
                    layer: mapping.stage == .layer ? layer : nil
                )
            ]
        }
        return mapping.paths.map { path, shape in
            Entry(
                megatron: mapping.megatron.filled(with: [path]),
                huggingFace: mapping.huggingFace.map { $0.filled(with: [path]) },
                shapes: [shape],
                mapping: mapping
            )
        }
    }
}
