import BridgeSupport
import ModelSchema
package import Models
import Recipes
import Synchronization
import TensorFiles
package import TensorRuntime

/// Adds the tensors of an adapter's file to a model, as PEFT does.
package struct PEFTImport {
    let configuration: PEFTConfiguration
    let tensors: PEFTTensors
    let names: AdapterNames
    let model: any CausalModel
    /// The file, for messages.
    let file: String
    /// The type of the matrices; nil for that of the weights.
    let elementType: ElementType?
    /// The type of parameters that are replaced in full; nil for their own.
    let partType: ElementType?

    private let reader = TensorReader()
    var decoder: TransformerDecoder { model.decoder }

    package init(
        _ configuration: PEFTConfiguration,
        _ tensors: PEFTTensors,
        _ names: AdapterNames,
        _ model: any CausalModel,
        file: String,
        _ elementType: ElementType?,
        _ partType: ElementType?
    ) {
        (self.configuration, self.tensors, self.names, self.model) = (configuration, tensors, names, model)
        (self.file, self.elementType, self.partType) = (file, elementType, partType)
    }

    /// Adds all tensors.
    ///
    /// - Returns: The adapters.
    /// - Throws: `BridgeError` for tensors that belong nowhere, are missing or have another shape; the model is not to be
    ///   used then.
    package func run() throws -> AdapterSet {
        var problems = tensors.problems
        let (untied, isSharedChanged) = try untieIfNeeded()
        var changed: Set<String> = isSharedChanged ? [decoder.embedding.name, decoder.outputName] : []
        func attempt(_ name: String, _ body: () throws -> Void) {
            do { try body() } catch {
                let reason = (error as? BridgeError)?.message ?? "\(error)"
                problems.append("\(name): \(reason)")
            }
        }
        for (own, whole) in tensors.whole.sorted(by: { $0.key < $1.key }) {
            attempt(whole.tensor.name) {
                if let name = try replace(own, by: whole.tensor) { changed.insert(name) }
            }
        }
        problems += missing()
        let lacking = try targetsWithoutAdapter()
        if configuration.startsAtRandom {
            problems += lacking.map {
                "\($0): has no adapter in the file, and PEFT would use a random one, since init_lora_weights is false"
            }
        }
        let tables = [decoder.embedding] + (decoder.isTied ? [] : [decoder.output.weight])
        for table in tables {
            guard let parts = tensors.parts[table.name] else { continue }
            attempt(table.name) { if try change(table, by: parts) { changed.insert(table.name) } }
        }
        let (words, outputs) = (decoder.embedding.tensor.shape[0], decoder.output.weight.tensor.shape[0])
        if words != outputs {
            problems.append(
                "the embedding has \(words) rows with the adapter and the output layer \(outputs); expected both in the file, or neither"
            )
        }
        var adapters: [String: LowRankAdapter] = [:]
        let linears = model.parameters.filter { $0.linear != nil && $0.linear?.weight === $0 }
        let wanted = linears.filter { parameter in
            tensors.parts[parameter.name].map { $0[.down] != nil || $0[.up] != nil || $0[.magnitude] != nil } ?? false
                && !(parameter === decoder.embedding)
        }
        if problems.isEmpty {
            let starts = try starts(of: wanted)
            for (parameter, start) in zip(wanted, starts) {
                attempt(parameter.name) {
                    adapters[parameter.name] = try adapter(parameter, tensors.parts[parameter.name] ?? [:], start)
                }
            }
        }
        guard problems.isEmpty else {
            throw BridgeError(
                .unaccountedTensors,
                "\(ByteFormat.counted(problems.count, "tensor")) of \(file) do not match the model, so nothing was loaded; "
                    + "give the base model of this adapter",
                names: problems.sorted()
            )
        }
        let notes = lacking.isEmpty ? [] : [note(without: lacking)]
        return try finished(adapters, changed: changed, untied: untied, words: words, notes: notes)
    }

    private func finished(
        _ adapters: [String: LowRankAdapter],
        changed: Set<String>,
        untied: Bool,
        words: Int,
        notes: [String]
    ) throws -> AdapterSet {
        let modules = AdaptedModule.all(in: model.parameters).filter { module in
            module.layers.contains { adapters[$0.weight.name] != nil }
        }
        // An embedding that was changed alone differs from the output layer of a tied model.
        var whole = changed
        if untied, changed.contains(decoder.embedding.name) { whole.insert(decoder.outputName) }
        guard !modules.isEmpty || !whole.isEmpty else { throw BridgeError(.corruptInput, "\(file) holds no adapter") }
        for module in modules {
            for layer in module.layers { layer.adapter = adapters[layer.weight.name] }
        }
        var section = configuration.section(isCanonical: true)
        section.modulesToSave = configuration.savedModules
        section.targetModules = Set(modules.map(\.kind)).sorted()
        var notes = tensors.notes + notes
        if words != decoder.configuration.vocabSize {
            notes.append(
                "the adapter's embeddings have \(words) tokens, the model's \(decoder.configuration.vocabSize); the adapter's are "
                    + "used, with the tokenizer of the model"
            )
        }
        return AdapterSet(
            section,
            modules: modules,
            wholeParameters: model.parameters.filter { whole.contains($0.name) },
            notes: notes
        )
    }

    // MARK: Embedding and output layer

    /// Gives a tied output layer its own parameter where PEFT would change one of the two and not the other.
    ///
    /// - Returns: Whether it did, and whether it has changed the values of both before.
    private func untieIfNeeded() throws -> (untied: Bool, isChanged: Bool) {
        let (embedding, output) = (decoder.embedding.name, decoder.outputName)
        guard decoder.isTied, !configuration.tiesWeights else { return (false, false) }
        func isCopy(_ name: String) -> Bool { tensors.whole[name]?.isSavedModule ?? false }
        func hasAdapter(_ name: String) -> Bool {
            tensors.parts[name].map { parts in parts.keys.contains { $0 != .tokens } } ?? false
        }
        let tokens = (tensors.parts[embedding]?[.tokens], tensors.parts[output]?[.tokens])
        if tokens.0 != nil, hasAdapter(output) {
            throw BridgeError(
                .badConfiguration,
                "the adapter has both trainable_token_indices and an adapter on the output layer, which is tied to the embedding; "
                    + "supported: one of them, or a model whose output layer is not tied"
            )
        }
        guard
            isCopy(embedding) || isCopy(output) || hasAdapter(embedding) || hasAdapter(output) || tokens.1 != nil
        else { return (false, false) }
        var isChanged = false
        // A parameter that PEFT loads into the base model changes both.
        if let shared = [embedding, output].lazy.compactMap({ tensors.whole[$0] }).first(where: { !$0.isSavedModule }),
            isFloating(shared.tensor), shared.tensor.shape.count == 2,
            let tensor = try? read(shared.tensor, as: partType ?? decoder.embedding.tensor.elementType)
        {
            decoder.embedding.replace(with: tensor)
            isChanged = true
        }
        decoder.untie()
        return (true, isChanged)
    }

    /// Replaces a parameter by a tensor of the file.
    ///
    /// - Returns: The name of the parameter that was replaced; nil for one that shares another's tensor.
    private func replace(_ own: String, by stored: StoredTensor) throws -> String? {
        if own == decoder.outputName, decoder.isTied, tensors.whole[decoder.embedding.name] != nil { return nil }
        let name = own == decoder.outputName && decoder.isTied ? decoder.embedding.name : own
        guard let parameter = model.parameters.first(where: { $0.name == name }) else {
            throw BridgeError(.corruptInput, "no parameter of this model takes it")
        }
        let isTransposed = names.isTransposed(own)
        let shape = isTransposed ? Array(stored.shape.reversed()) : stored.shape
        let isTable = parameter === decoder.embedding || parameter === decoder.output.weight
        let expected = parameter.tensor.shape
        // The vocabulary may have been resized.
        let fits =
            isTable
            ? shape.count == 2 && shape[1] == expected[1] && (1...DecoderConfiguration.largestSize).contains(shape[0])
            : shape == expected
        guard fits, isFloating(stored) else {
            throw BridgeError(.corruptInput, "has the shape \(stored.shape), expected \(expected)")
        }
        let type = partType ?? parameter.tensor.elementType
        parameter.replace(with: try read(names.layerWhole(TensorView(stored), of: own), as: type))
        return name
    }

    // MARK: Linear layers

    /// The parts of the weights that the initialization has subtracted; several weights at a time, as each keeps one
    /// core busy.
    private func starts(of parameters: [Parameter]) throws -> [AdapterStart?] {
        guard configuration.start != .unchanged else { return parameters.map { _ in nil } }
        let shapes = try parameters.map { try shape(of: $0.name) }
        let results = Starts(count: parameters.count)
        let (start, weights) = (configuration.start, parameters.map(\.tensor.detached))
        // A weight in the file already has its part subtracted.
        let isStored = parameters.map { tensors.whole[$0.name] != nil }
        @Sendable func body(_ state: inout Void, _ index: Int) throws {
            guard !isStored[index] else { return }
            let result = try AdapterStart(start, of: weights[index], shapes[index])
            results.values.withLock { $0[index] = result }
        }
        try Workers.run(items: parameters.count, workers: Workers.defaultCount, makeState: {}, body: body)
        return results.values.withLock(\.self)
    }

    /// The results of several threads, each at its own index.
    private final class Starts: Sendable {
        let values: Mutex<[AdapterStart?]>

        init(count: Int) { values = Mutex([AdapterStart?](repeating: nil, count: count)) }
    }

    /// Rank and scale of the adapter of a weight.
    func shape(of own: String) throws -> AdapterShape {
        try configuration.shape(of: names.modules[own] ?? "", alsoCalled: names.spellings[own] ?? [])
    }

    private func adapter(
        _ parameter: Parameter,
        _ parts: [PEFTTensors.Kind: StoredTensor],
        _ start: AdapterStart?
    ) throws -> LowRankAdapter {
        guard let linear = parameter.linear else { throw BridgeError(.corruptInput, "is not a linear layer") }
        let size = parameter.tensor.shape
        let name = AdapterSet.canonicalName(of: linear)
        let shape = try shape(of: parameter.name)
        let rank = start == nil ? shape.rank : AdapterStart.rank(shape.rank, of: parameter.tensor)
        let type = elementType ?? parameter.tensor.elementType
        func matrix(_ kind: PEFTTensors.Kind, _ size: [Int], _ type: ElementType) throws -> Tensor {
            guard let stored = parts[kind] else {
                throw BridgeError(.corruptInput, "there is no \(kind.rawValue.dropFirst())")
            }
            guard stored.shape == size, isFloating(stored) else {
                throw BridgeError(.corruptInput, "\(stored.name) has the shape \(stored.shape), expected \(size)")
            }
            // The rows of B and of the magnitude are those of the weight.
            return try kind == .down
                ? read(stored, as: type) : read(names.layerRows(TensorView(stored), of: parameter.name), as: type)
        }
        func trained(_ suffix: String, _ tensor: Tensor) -> Parameter {
            let parameter = Parameter("\(name).\(suffix)", tensor)
            parameter.isTrainable = true
            return parameter
        }
        var down = try matrix(.down, [rank, size[1]], type)
        var up = try matrix(.up, [size[0], rank], type)
        if let start {
            down = .concatenated([down, start.down.cast(to: type)], dimension: 0)
            up = .concatenated([up, (start.up * -1).cast(to: type)], dimension: 1)
        }
        return LowRankAdapter(
            input: LoRADownProjection(weight: trained("linear_in.weight", down), dropout: Float(configuration.dropout)),
            output: trained("linear_out.weight", up),
            magnitude: configuration.usesDoRA
                ? trained("weight_magnitude", try matrix(.magnitude, [size[0]], .float32)) : nil,
            scale: shape.scale
        )
    }

    func isFloating(_ stored: StoredTensor) -> Bool { stored.elementType.isFloatingPoint }

    func read(_ stored: StoredTensor, as type: ElementType) throws -> Tensor {
        try read(TensorView(stored), as: type)
    }

    private func read(_ view: TensorView, as type: ElementType) throws -> Tensor {
        let tensor = Tensor(uninitialized: view.shape, type, on: model.engine)
        try reader.read(view, into: tensor)
        return tensor
    }
}
