import CheckpointFormats
public import JSONTree
import Recipes

extension PEFTConfiguration {
    /// The configuration of adapters, with patterns for those whose rank or scale is not that of most of them.
    ///
    /// - Parameters:
    ///   - adapters: The adapters.
    ///   - layers: The layers that have one, with the names that the patterns are to have.
    ///   - baseModel: The model that they are for.
    /// - Throws: `BridgeError` for a name that is not an expression.
    package init(_ adapters: AdapterSet, layers: [(name: String, shape: AdapterShape)], baseModel: String?) throws {
        let section = adapters.configuration
        let byRoot = section.usesRSLoRA
        func alpha(_ shape: AdapterShape) -> Double {
            let product = shape.scale * (byRoot ? Double(shape.rank).squareRoot() : Double(shape.rank))
            // Dividing by the rank and multiplying by it again may have cost the last digit.
            return abs(product - product.rounded()) <= 1e-9 * abs(product) ? product.rounded() : product
        }
        let own = AdapterShape(rank: section.dim, scale: Self.scale(section.alpha, section.dim, byRoot: byRoot))
        let counts = Dictionary(grouping: layers, by: \.shape).mapValues(\.count)
        let most = counts.max { ($0.value, $1.key.rank) < ($1.value, $0.key.rank) }?.key
        let main = counts[own] != nil ? own : most ?? own
        self.init(
            rank: main.rank,
            alpha: main == own ? section.alpha : alpha(main),
            dropout: section.dropout,
            usesDoRA: section.scheme == .dora,
            scalesByRoot: byRoot,
            savedModules: section.modulesToSave,
            baseModel: baseModel
        )
        let name = AdapterFiles.configuration
        for (layer, shape) in layers where shape != main {
            if shape.rank != main.rank {
                rankPatterns.append(try PEFTPattern(layer, Double(shape.rank), of: "rank_pattern", name: name))
            }
            if alpha(shape) != self.alpha {
                alphaPatterns.append(try PEFTPattern(layer, alpha(shape), of: "alpha_pattern", name: name))
            }
        }
    }

    /// The configuration for PEFT.
    ///
    /// - Parameters:
    ///   - modules: The names of the adapted modules, of which PEFT gets the list.
    ///   - taskType: `CAUSAL_LM` for a model of PEFT's own class for it; nil for others.
    /// - Returns: The content of the file.
    public func json(modules: [String], taskType: String?) -> JSON {
        let repository = baseModel.flatMap { HubRepository(meantBy: $0) }
        let revision = repository.flatMap { $0.revision == HubRepository.standardRevision ? nil : $0.revision }
        func number(_ value: Double) -> JSON {
            let isWhole = value == value.rounded() && abs(value) < 1e15
            return .number(isWhole ? JSONNumber(Int(saturating: value)) : JSONNumber(value))
        }
        func object(_ patterns: [PEFTPattern]) -> JSON {
            .object(JSONObject(patterns.map { ($0.key, number($0.value)) }))
        }
        return [
            "alpha_pattern": object(alphaPatterns), "auto_mapping": nil,
            "base_model_name_or_path": (repository?.id ?? baseModel).map { .string($0) } ?? .null, "bias": "none",
            "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
            "lora_alpha": number(alpha),
            "lora_dropout": JSON(dropout),
            "modules_to_save": savedModules.isEmpty ? .null : .array(savedModules.map { .string($0) }),
            "peft_type": "LORA",
            "r": JSON(rank), "rank_pattern": object(rankPatterns),
            "revision": revision.map { .string($0) } ?? .null,
            "target_modules": .array(modules.map { .string($0) }), "task_type": taskType.map { .string($0) } ?? .null,
            "use_dora": .bool(usesDoRA), "use_rslora": .bool(scalesByRoot),
        ]
    }
}

extension PEFTConfiguration: Equatable {
    /// Whether two configurations mean the same adapter.
    public static func == (left: Self, right: Self) -> Bool {
        left.json(modules: [], taskType: nil) == right.json(modules: [], taskType: nil) && left.start == right.start
            && left.tiesWeights == right.tiesWeights
            && left.tokenIndices.elementsEqual(right.tokenIndices) {
                $0.module == $1.module && $0.indices == $1.indices
            }
    }
}
