import BridgeSupport
import Communication
package import ModelSchema
package import NativeKernels
import Synchronization
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
    /// Which weights are quantized; nil for none.
    let quantization: WeightQuantization?

    package init(
        engine: any TensorEngine,
        elementType: ElementType,
        verification: WeightVerification? = nil,
        kernels: NativeKernels,
        quantization: WeightQuantization? = nil
    ) {
        self.kernels = kernels
        self.quantization = quantization
        self.engine = engine
        self.elementType = elementType
        self.verification = verification
    }

    private struct Piece: @unchecked Sendable {
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
            let packed = piece.view.packed?.storage.words.storage as? FileStorage
            guard let file = packed ?? location(of: piece.view)?.0, files[ObjectIdentifier(file)] == nil else {
                continue
            }
            files[ObjectIdentifier(file)] = try MappedFile(path: file.name, byteCount: file.byteCount)
        }
        let targets = try read(pieces, files)
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

    /// The values of all pieces, quantized where that was asked for.
    private func read(_ pieces: [Piece], _ files: [ObjectIdentifier: MappedFile]) throws -> [Tensor] {
        let results = Mutex([Tensor?](repeating: nil, count: pieces.count))
        @Sendable func fill(_ reader: inout TensorReader, _ index: Int) throws {
            let piece = pieces[index]
            if let packed = piece.view.packed {
                let matrix = try read(packed, reader, files)
                return results.withLock { $0[index] = matrix.tensor(as: elementType) }
            }
            let mapped = location(of: piece.view).flatMap { file, offset in
                files[ObjectIdentifier(file)].map { (file: $0, range: offset..<offset + piece.view.byteCount) }
            }
            var tensor: Tensor
            if let mapped {
                tensor = map(mapped.file, mapped.range, elementType, piece.view.shape)
            } else {
                tensor = Tensor(uninitialized: piece.view.shape, piece.view.elementType, on: engine)
                try engine.upload(tensor) { try reader.read(piece.view, at: 0, into: $0) }
            }
            if let format = quantization?.format(of: piece.parameter, shape: tensor.shape) {
                tensor = QuantizedMatrix(quantizing: tensor, format).tensor(as: elementType)
                mapped.map { $0.file.release($0.range) }
            }
            results.withLock { $0[index] = tensor }
        }
        try Workers.run(items: pieces.count, workers: Workers.defaultCount, makeState: { TensorReader() }, body: fill)
        return results.withLock { $0.compactMap { $0 } }
    }

    /// A tensor in a mapped file.
    private func map(_ file: MappedFile, _ range: Range<Int>, _ type: ElementType, _ shape: [Int]) -> Tensor {
        file.populate(range)
        let bytes = UnsafeRawBufferPointer(start: file.pointer + range.lowerBound, count: range.count)
        let storage = engine.makeStorage(mapping: bytes, owner: file, for: engine)
        return Tensor(storage: storage, elementType: type, shape: shape)
    }

    /// A packed matrix as it is stored: mapped if it is whole rows of a file.
    private func read(_ packed: TensorView.Packed, _ reader: TensorReader, _ files: [ObjectIdentifier: MappedFile])
        throws -> QuantizedMatrix
    {
        let (storage, format) = (packed.storage, packed.format)
        let (rows, columns) = (packed.rows, packed.columns)
        let rowByteCount = format.rowByteCount(columns.count)
        let stride = storage.words.width * 4
        let start = storage.words.offset + rows.lowerBound * stride + columns.lowerBound * format.bits / 8
        let values: Tensor
        if columns.count == storage.columns, let file = storage.words.storage as? FileStorage,
            let mapped = files[ObjectIdentifier(file)]
        {
            let range = start..<start + rows.count * stride
            values = map(mapped, range, .uint8, [rows.count, rowByteCount])
        } else {
            values = Tensor(uninitialized: [rows.count, rowByteCount], .uint8, on: engine)
            try engine.upload(values) { target in
                for row in 0..<rows.count {
                    let part = target[row * rowByteCount..<(row + 1) * rowByteCount]
                    try storage.words.storage.read(
                        at: start + row * stride,
                        into: UnsafeMutableRawBufferPointer(rebasing: part)
                    )
                }
            }
        }
        let groups = format.groupCount(storage.columns)
        let own = columns.lowerBound * groups / storage.columns..<columns.upperBound * groups / storage.columns
        let factors = TensorView(packed.factors).cast(to: .bfloat16).rows(rows).columns(own)
        let scales = Tensor(uninitialized: factors.shape, .bfloat16, on: engine)
        try reader.read(factors, into: scales)
        return QuantizedMatrix(values: values, scales: scales, columns: columns.count, format: format)
    }
}
