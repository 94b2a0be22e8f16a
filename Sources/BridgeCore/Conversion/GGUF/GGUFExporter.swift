import BridgeSupport
package import CheckpointFormats
import JSONTree
import ModelPlugins
import ModelSchema
package import Processing
import TensorFiles
import TensorRuntime

/// Plans the export of Megatron parameters to GGUF files, which llama.cpp loads: the language model, and for a model with images
/// its tower and projector.
package struct GGUFExporter {
    private let exporter: Exporter
    private let type: GGUFType?
    private let files: ProcessorFiles

    /// An exporter.
    ///
    /// - Parameters:
    ///   - exporter: The parameters and the model.
    ///   - type: The type of matrices; nil for that of the weights.
    ///   - files: The tokenizer and the processor.
    package init(_ exporter: Exporter, type: GGUFType?, files: ProcessorFiles) {
        (self.exporter, self.type, self.files) = (exporter, type, files)
    }

    /// A tensor of one of the files.
    private struct Line {
        var tensor: GGUFFile.Tensor
        var sources: [String]
        var notes: [String]
        var isProjectors: Bool
    }

    private var model: FamilyModel { exporter.model }

    /// The plan.
    ///
    /// - Throws: `BridgeError` for parameters that are not accounted for, and for settings and tokenizers that llama.cpp cannot
    ///   compute with.
    package func plan() throws -> ConversionPlan {
        let form = try model.gguf(files: files)
        let keys = try form.keys(for: Array(model.megatronFields().keys), plugin: model.bridge.name)
        let decoder = model.provider.decoder
        let tokenizer = try GGUFTokenizer(files.tokenizer, size: decoder.vocabSize, name: files.directory)
        let (parameters, ledger) = try exporter.parameters()
        let type = type ?? Self.type(of: parameters.map(\.view))
        let lines = try lines(form, parameters, type)
        var notes = try exporter.source.notes() + tokenizer.notes
        let others = lines.filter { type.isQuantised && $0.tensor.type == .f16 && !$0.isProjectors }
        if !others.isEmpty {
            notes.append(
                "\(others.count) \(others.count == 1 ? "matrix" : "matrices") of a width that blocks of 32 do not divide are stored as F16: "
                    + others.map(\.tensor.name).prefix(3).joined(separator: ", ") + (others.count > 3 ? ", ..." : "")
            )
        }
        notes += ledger.notes(on: exporter.options.allowMissing)
        var planned = [
            try file(
                "model-\(type.title).gguf",
                general(form.architecture, "model", type) + keys.model + tokenizer.keys,
                lines.filter { !$0.isProjectors }
            )
        ]
        if form.projector != nil {
            let own = Self.projectorType(type)
            planned.append(
                try file(
                    "mmproj-\(own.title).gguf",
                    general("clip", "mmproj", own) + keys.projector,
                    lines.filter(\.isProjectors)
                )
            )
        }
        return ConversionPlan(
            kind: .exporting,
            source: exporter.source.name,
            architecture: model.architecture,
            layout: exporter.source.layout,
            ledger: ledger,
            lines: lines.map { line in
                ConversionPlan.Line(
                    name: line.tensor.name,
                    sources: line.sources,
                    shape: line.tensor.view.shape,
                    elementType: line.tensor.view.elementType,
                    notes: ConversionPlan.Line.notes(on: line.tensor.view) + line.notes
                )
            },
            notes: notes,
            plannedFiles: planned
        )
    }

    private func file(_ name: String, _ metadata: GGUFModel.Keys, _ lines: [Line]) throws -> PlannedFile {
        try GGUFFile(metadata: metadata, tensors: lines.map(\.tensor)).planned(name: name)
    }

    /// The keys that every file has.
    private func general(_ architecture: String, _ kind: String, _ type: GGUFType) -> GGUFModel.Keys {
        [
            ("general.architecture", .text(architecture)), ("general.type", .text(kind)),
            ("general.quantization_version", .count(2)), ("general.file_type", .count(type.fileCode)),
        ]
    }

    /// The type that most of the weights have.
    private static func type(of views: [TensorView]) -> GGUFType {
        let bytes = Dictionary(grouping: views, by: \.elementType).mapValues { $0.reduce(0) { $0 + $1.byteCount } }
        return switch bytes.max(by: { $0.value < $1.value })?.key {
        case .float16: .f16
        case .float32, .float64: .f32
        default: .bf16
        }
    }

    /// The type of a tower, whose weights are not quantised.
    private static func projectorType(_ type: GGUFType) -> GGUFType { type.isQuantised ? .f16 : type }

    // MARK: Tensors

    /// The tensors of both files, each from one tensor of the model.
    private func lines(
        _ form: GGUFModel,
        _ parameters: [(entry: ParameterTable.Entry, view: TensorView)],
        _ type: GGUFType
    ) throws -> [Line] {
        let rules = form.tensors.map { ($0, false) } + (form.projector?.tensors ?? []).map { ($0, true) }
        var problems: [String] = []
        var lines: [Line] = []
        for (entry, view) in parameters {
            let views = entry.mapping.transform.toHuggingFace(view)
            for (name, view) in zip(entry.huggingFace, views) {
                let found = rules.compactMap { rule, isProjectors in
                    rule.huggingFace.match(name).map { (rule, $0, isProjectors) }
                }
                guard found.count == 1, let (rule, captures, isProjectors) = found.first else {
                    problems.append("\(name): \(found.isEmpty ? "no tensor takes it" : "several tensors take it")")
                    continue
                }
                for (row, index, tensor) in form.projector?.rows ?? [] where tensor == name {
                    guard index < view.height else {
                        problems.append("\(name): has \(view.height) rows, expected a row \(index) for \(row)")
                        continue
                    }
                    let part = view.rows(index..<index + 1).reshaped([view.width])
                    let copy = GGUFFile.Tensor(name: row, view: part, type: .f32)
                    lines.append(
                        Line(tensor: copy, sources: [entry.megatron], notes: ["row \(index)"], isProjectors: true)
                    )
                }
                guard let target = rule.name?.filled(with: captures) else { continue }
                guard view.elementType.isFloatingPoint else {
                    let type = view.elementType.rawValue
                    problems.append("\(name): has elements of \(type), expected floating-point ones")
                    continue
                }
                let own = isProjectors ? Self.projectorType(type) : type
                lines.append(line(rule, target, view, own, source: entry.megatron, isProjectors: isProjectors))
            }
        }
        guard problems.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                "\(problems.count) tensors of \(exporter.source.name) have no place in a GGUF file, so nothing was written",
                names: problems
            )
        }
        return lines
    }

    private func line(
        _ rule: GGUFTensor,
        _ name: String,
        _ view: TensorView,
        _ type: GGUFType,
        source: String,
        isProjectors: Bool
    ) -> Line {
        var (view, notes) = (view, [String]())
        if let width = rule.pairedHeads {
            view = RotaryPairing(headWidth: width).joined(view)
            notes.append("rotary pairs joined")
        }
        let own = Self.type(of: view, by: rule, in: type)
        if rule.offset != 0 { notes.append("plus \(rule.offset)") }
        switch own {
        case .f32: view = view.cast(to: .float32)
        case .f16: view = view.cast(to: .float16)
        case .bf16: view = view.cast(to: .bfloat16)
        case .q8, .q4: notes.append("stored as \(own.title)")
        }
        let tensor = GGUFFile.Tensor(name: name, view: view, type: own, offset: rule.offset)
        return Line(tensor: tensor, sources: [source], notes: notes, isProjectors: isProjectors)
    }

    /// The type of a tensor in a file of a type.
    private static func type(of view: TensorView, by rule: GGUFTensor, in type: GGUFType) -> GGUFType {
        guard view.shape.count > 1, rule.offset == 0 else { return .f32 }
        let wanted: GGUFType =
            switch rule.precision {
            case .file: type
            case .table: type == .q4 ? .q8 : type
            case .convolution: type == .f16 ? .f16 : .f32
            case .single: .f32
            case .half: .f16
            }
        return wanted.isQuantised && view.width % 32 != 0 ? .f16 : wanted
    }
}
