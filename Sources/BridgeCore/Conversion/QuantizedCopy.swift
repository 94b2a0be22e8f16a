import BridgeSupport
package import CheckpointFormats
import JSONTree
package import ModelPlugins
package import ModelSchema
import TensorFiles
import TensorRuntime

/// Plans a Hugging Face directory with the weights of another one in 8 or 4 bits, in the layout of compressed-tensors.
///
/// Every file and every tensor that is not quantized keeps its bytes, and each tensor its shard.
package struct QuantizedCopy {
    private let directory: HuggingFaceDirectory
    private let model: FamilyModel
    private let quantization: WeightQuantization

    /// A copy of a model.
    package init(_ directory: HuggingFaceDirectory, _ model: FamilyModel, _ quantization: WeightQuantization) {
        (self.directory, self.model, self.quantization) = (directory, model, quantization)
    }

    /// A weight and its format.
    private struct Weight {
        var name: String
        var view: TensorView
        var format: QuantizedFormat

        /// The tensors that it becomes.
        var tensors: [Stored] {
            let base = name.hasSuffix(".weight") ? name : "\(name).weight"
            let (rows, columns) = (view.height, view.width)
            func encoded(_ format: EncodedTensor.Format) -> PlannedFile.Part {
                .encoded(EncodedTensor(view, as: format))
            }
            return [
                Stored(
                    name: "\(base)_packed",
                    elementType: .int32,
                    shape: [rows, format.rowByteCount(columns) / ElementType.int32.byteCount],
                    part: encoded(.packedNumbers(format, columns: columns))
                ),
                Stored(
                    name: "\(base)_scale",
                    elementType: .bfloat16,
                    shape: [rows, format.groupCount(columns)],
                    part: encoded(.packedFactors(format, columns: columns))
                ),
                Stored(
                    name: "\(base)_shape",
                    elementType: .int64,
                    shape: [2],
                    part: .bytes([Int64(rows), Int64(columns)].withUnsafeBytes { Array($0) })
                ),
            ]
        }
    }

    /// A tensor of the copy.
    private struct Stored {
        var name: String
        var elementType: ElementType
        var shape: [Int]
        var part: PlannedFile.Part
    }

    /// The plan.
    ///
    /// - Throws: `BridgeError` for tensors that are not accounted for, for a model that is quantized already, and for one without
    ///   any matrix that is quantized.
    package func plan() throws -> ConversionPlan {
        let source = directory.path
        let resolved = try TensorResolver(directory, model).resolve(model.table(directory.style), source: source)
        guard resolved.ledger.dequantised.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(source) is quantized already; quantize the 16-bit model that it was made from"
            )
        }
        try quantization.checkExceptions(resolved.parameters.map(\.entry.megatron))
        var weights: [String: Weight] = [:]
        var unfitting: [String] = []
        for parameter in resolved.parameters {
            for name in parameter.huggingFace {
                // Neither transformers nor vLLM computes with an embedding that is quantized.
                guard !parameter.entry.megatron.contains("embedding.word_embeddings."),
                    let tensor = directory.tensors[name],
                    let format = quantization.chosenFormat(of: parameter.entry.megatron)
                else { continue }
                guard tensor.shape.count == 2, format.divides(tensor.width) else {
                    unfitting.append(name)
                    continue
                }
                weights[name] = Weight(name: name, view: TensorView(tensor), format: format)
            }
        }
        guard !weights.isEmpty else {
            throw BridgeError(
                .badArgument,
                "no matrix of \(source) was quantized; expected rows with a multiple of the group size. Choose another group size"
            )
        }
        var lines: [ConversionPlan.Line] = []
        var files: [PlannedFile] = []
        var homes: [(tensor: String, file: String)] = []
        var total = 0
        for shard in directory.shards {
            var tensors: [Stored] = []
            for entry in shard.header.entries {
                guard let view = directory.tensors[entry.name].map({ TensorView($0) }) else { continue }
                let weight = weights[entry.name]
                let kept = Stored(
                    name: entry.name,
                    elementType: view.elementType,
                    shape: view.shape,
                    part: .tensor(view)
                )
                let made = weight?.tensors ?? [kept]
                tensors += made
                lines += made.map {
                    ConversionPlan.Line(
                        name: $0.name,
                        sources: [entry.name],
                        shape: $0.shape,
                        elementType: $0.elementType,
                        notes: weight.map { ["quantized to \($0.format.bits) bits"] } ?? []
                    )
                }
            }
            let header = SafetensorsHeader(
                tensors: tensors.map { ($0.name, $0.elementType, $0.shape) },
                metadata: shard.header.metadata
            )
            total += header.dataByteCount
            homes += tensors.map { ($0.name, shard.name) }
            files.append(.safetensors(name: shard.name, header: header, parts: tensors.map(\.part)))
        }
        var notes = [
            "\(weights.count) matrices quantized, \(ByteFormat.text(total)) instead of "
                + ByteFormat.text(directory.shards.reduce(0) { $0 + $1.header.dataByteCount })
        ]
        if let first = unfitting.first {
            notes.append(
                "\(unfitting.count) matrices keep their type, because their rows have no multiple of the group size, such as \(first)"
            )
        }
        var ledger = resolved.ledger
        ledger.mapped = lines.map(\.name)
        return ConversionPlan(
            kind: .quantizing,
            source: source,
            architecture: model.architecture,
            layout: .single,
            ledger: ledger,
            lines: lines,
            notes: notes,
            plannedFiles: try files + sideFiles(homes, total, weights.mapValues(\.format))
        )
    }

    private func sideFiles(
        _ homes: [(tensor: String, file: String)],
        _ total: Int,
        _ formats: [String: QuantizedFormat]
    ) throws
        -> [PlannedFile]
    {
        let style = directory.style
        let others = directory.sideFiles.filter { $0 != style.configurationName && $0 != style.indexName }
        var files = try others.map { PlannedFile.copy(name: $0, of: try CarriedFiles.open($0, in: directory.path)) }
        var configuration = directory.configuration
        let matrices = directory.tensors.values.filter { $0.shape.count >= 2 }.map(\.name)
        // transformers has a module for an output layer that shares the embedding.
        let output = try model.table(style).entries.filter(\.mapping.isOutputLayer).flatMap(\.huggingFace)
        let kept = Set(matrices + output).filter { formats[$0] == nil }
        configuration.set(PackedSettings.json(formats, kept: kept.sorted()), at: "quantization_config")
        files.append(.literal(name: style.configurationName, configuration.text()))
        guard directory.shards.count > 1 else { return files }
        return files + [.literal(name: style.indexName, ShardIndex.json(homes, byteCount: total).text())]
    }
}
