import BridgeSupport
import Communication
package import ModelSchema
package import NativeKernels
package import TensorFiles
package import TensorRuntime

/// Carries out a plan with memory as its destination: the parameters of a live model.
package struct WeightLoader {
    let engine: any TensorEngine
    /// The floating-point type.
    let elementType: ElementType
    /// The verification of mapped weights in the background; nil to verify them during loading.
    var verification: WeightVerification?

    /// The kernels of plugins, which a model may use.
    let kernels: NativeKernels

    package init(
        engine: any TensorEngine,
        elementType: ElementType,
        verification: WeightVerification? = nil,
        kernels: NativeKernels
    ) {
        self.kernels = kernels
        self.engine = engine
        self.elementType = elementType
        self.verification = verification
    }

    private struct Piece {
        var parameter: String
        var name: String
        var view: TensorView
        var shard: ParameterShard?
        var reduction: GradientReduction?
    }

    /// Loads the weights of resolved parameters.
    ///
    /// A matrix that is stored in the needed form is mapped; all others are read, converted and concatenated.
    ///
    /// - Throws: `BridgeError` when something cannot be read.
    package func load(
        _ parameters: [(entry: ParameterTable.Entry, view: TensorView)],
        parallelism: ModelParallelism
    ) throws -> ModelWeights {
        let isTied = !parameters.contains { $0.entry.mapping.isOutputLayer }
        let own = parameters.filter { parallelism.has($0.entry, isTied: isTied) }
        let pieces = own.flatMap { entry, view in
            // Quantised weights are rounded to the type that a conversion gives them before they are widened.
            let view = view.isDequantised ? view : view.cast(to: elementType)
            return entry.mapping.transform.toLayers(view).enumerated().map { index, view in
                let (shard, reduction) = parallelism.shard(of: view.shape, entry, piece: index)
                return Piece(
                    parameter: entry.megatron,
                    name: entry.pieceName(index),
                    view: shard?.part(of: view) ?? view,
                    shard: shard,
                    reduction: reduction
                )
            }
        }
        var files: [ObjectIdentifier: MappedFile] = [:]
        for piece in pieces {
            guard let (file, _) = location(of: piece.view), files[ObjectIdentifier(file)] == nil else { continue }
            files[ObjectIdentifier(file)] = try MappedFile(path: file.name, byteCount: file.byteCount)
        }
        let targets = pieces.map { piece -> Tensor in
            guard let (file, offset) = location(of: piece.view), let mapped = files[ObjectIdentifier(file)] else {
                return Tensor(uninitialized: piece.view.shape, piece.view.elementType, on: engine)
            }
            let bytes = UnsafeRawBufferPointer(start: mapped.pointer + offset, count: piece.view.byteCount)
            let storage = engine.makeStorage(mapping: bytes, owner: mapped, for: engine)
            return Tensor(storage: storage, elementType: elementType, shape: piece.view.shape)
        }
        try fill(targets, with: pieces.map(\.view), files)
        try verify(pieces.map(\.view), files, isPart: parallelism.groups.mp.size > 1)
        var found: [String: [Parameter]] = [:]
        for (piece, tensor) in zip(pieces, targets) {
            let parameter = Parameter(piece.name, tensor.cast(to: elementType), shard: piece.shard)
            parameter.gradientReduction = piece.reduction
            found[piece.parameter, default: []].append(parameter)
        }
        return ModelWeights(
            pieces: found,
            elementType: elementType,
            engine: engine,
            isTied: isTied,
            parallelism: parallelism,
            kernels: kernels
        )
    }

    /// Verifies the checksums of mapped files, because mapped bytes are not verified by the reader.
    ///
    /// - Parameters:
    ///   - views: What the model has.
    ///   - files: The mapped files.
    ///   - isPart: Whether only the blocks with the views are verified: other ranks have the rest of the files.
    /// - Throws: `BridgeError` with code `corruptInput` for a damaged file.
    private func verify(_ views: [TensorView], _ files: [ObjectIdentifier: MappedFile], isPart: Bool) throws {
        var mapped: [ObjectIdentifier: (storage: VerifiedStorage, file: MappedFile, blocks: Set<Int>)] = [:]
        for view in views {
            guard let (_, offset) = location(of: view),
                let storage = view.blocks.first?.content?.tensor.storage as? VerifiedStorage,
                let file = files[ObjectIdentifier(storage.file)]
            else { continue }
            let size = BlockChecksum.blockByteCount
            let blocks = isPart ? offset / size..<(offset + view.byteCount - 1) / size + 1 : 0..<storage.blockCount
            mapped[ObjectIdentifier(storage), default: (storage, file, [])].blocks.formUnion(blocks)
        }
        let verification = verification ?? WeightVerification()
        verification.start(mapped.values.map { ($0.storage, $0.file, $0.blocks.sorted()) })
        if self.verification == nil { try verification.finish() }
    }

    /// The file and offset of a view that is stored as it is; nil when its elements have to be moved or changed.
    private func location(of view: TensorView) -> (FileStorage, Int)? {
        guard view.blocks.count == 1, let content = view.blocks[0].content, !content.isTransposed, content.scale == nil,
            content.tensor.elementType == elementType, content.column == 0, content.tensor.width == view.width,
            view.byteCount > 0,
            let file = content.tensor.storage as? FileStorage ?? (content.tensor.storage as? VerifiedStorage)?.file
        else { return nil }
        let offset = content.tensor.offset + content.row * view.width * elementType.byteCount
        // Half a number's width off its boundary would be too much even for kernels that take any alignment.
        guard offset % elementType.byteCount == 0 else { return nil }
        return (file, offset)
    }

    private func fill(_ targets: [Tensor], with views: [TensorView], _ files: [ObjectIdentifier: MappedFile]) throws {
        struct Job: @unchecked Sendable {
            var tensor: Tensor
            var view: TensorView
            var mapped: (MappedFile, Range<Int>)?
        }
        let jobs = zip(targets, views).map { tensor, view in
            Job(
                tensor: tensor,
                view: view,
                mapped: location(of: view).flatMap { file, offset in
                    files[ObjectIdentifier(file)].map { ($0, offset..<offset + view.byteCount) }
                }
            )
        }
        @Sendable func fill(_ reader: inout TensorReader, _ index: Int) throws {
            let job = jobs[index]
            if let (file, range) = job.mapped {
                file.populate(range)
            } else {
                try engine.upload(job.tensor) { try reader.read(job.view, at: 0, into: $0) }
            }
        }
        try Workers.run(items: jobs.count, workers: Workers.defaultCount, makeState: { TensorReader() }, body: fill)
    }
}
