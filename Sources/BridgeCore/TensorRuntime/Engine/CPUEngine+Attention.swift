import CTensorKernels

extension CPUEngine {
    /// Each thread turns the heads of some tokens.
    public func rotate(_ x: Tensor, cosines: Tensor, sines: Tensor, inverse: Bool, into out: Tensor) {
        guard x.count > 0 else { return }
        let x = x.strides[3] == 1 ? x : dense(x)
        let (cosines, sines) = (dense(cosines), dense(sines))
        let (tokens, half) = (x.shape[1], x.shape[3] / 2)
        let perSample = cosines.shape[0] > 1 ? tokens * half : 0
        pool.split(x.shape[0] * tokens, grain: max(1, 8192 / (x.shape[2] * x.shape[3]))) { range in
            var first = range.lowerBound
            while first < range.upperBound {
                let (sample, token) = (first / tokens, first % tokens)
                let count = min(range.upperBound - first, tokens - token)
                ctk_rotate(
                    isa,
                    out.pointer(to: sample, token),
                    Array(out.strides[1...2]),
                    x.pointer(to: sample, token),
                    Array(x.strides[1...2]),
                    x.kernelType,
                    cosines.floatPointer + sample * perSample + token * half,
                    sines.floatPointer + sample * perSample + token * half,
                    inverse,
                    count,
                    x.shape[2],
                    half
                )
                first += count
            }
        }
    }

    /// Each thread takes blocks of query rows, or parts of the keys where there are few.
    public func attention(_ operands: AttentionOperands, into out: Tensor, logSumExp: Tensor?) {
        guard out.count > 0 else { return }
        let (query, key) = (operands.query, operands.key)
        let masks = operands.mask.kernelMasks(samples: query.shape[0])
        func work(on sample: Int) -> ctk_attention {
            var work = ctk_attention(operands, out, sample, masks[sample])
            work.log_sum_exp = logSumExp.map { $0.floatPointer + sample * $0.strides[0] }
            return work
        }
        if let tiles = AMXAttention(operands, on: self) { return tiles.run(work) }
        let blocks = AttentionBlocks(query, key, threadCount: pool.threadCount)
        let width = query.shape[3]
        let partialSize = blocks.height * (width + 2)
        let partials =
            blocks.parts > 1
            ? Tensor(uninitialized: [blocks.partialCount * partialSize], .float32, on: self) : nil
        let scratchSize = ctk_attention_scratch(width)
        func withWork(_ block: Int, _ body: (inout ctk_attention, AttentionBlocks.Block, Tensor) -> Void) {
            let position = blocks[block]
            var work = work(on: position.sample)
            body(&work, position, Tensor(uninitialized: [scratchSize], .float32, on: self))
        }
        pool.run(blocks.count * blocks.parts) { piece in
            withWork(piece / blocks.parts) { work, block, scratch in
                let keys = blocks.keys(ofPart: piece % blocks.parts)
                ctk_attend(
                    isa,
                    &work,
                    block.groups.lowerBound,
                    block.groups.count,
                    block.rows.lowerBound,
                    block.rows.count,
                    keys.lowerBound,
                    keys.count,
                    partials.map {
                        $0.floatPointer + blocks.place(of: block, part: piece % blocks.parts) * partialSize
                    },
                    blocks.parts * partialSize,
                    scratch.floatPointer
                )
            }
        }
        guard let partials else { return }
        pool.run(blocks.count) { number in
            withWork(number) { work, block, scratch in
                for (index, group) in block.groups.enumerated() {
                    ctk_attend_merge(
                        isa,
                        &work,
                        group,
                        block.rows.lowerBound,
                        block.rows.count,
                        partials.floatPointer + (blocks.place(of: block, part: 0) + index * blocks.parts)
                            * partialSize,
                        blocks.parts,
                        partialSize,
                        scratch.floatPointer
                    )
                }
            }
        }
    }

    /// Blocks of query rows and blocks of keys, each with a separate pass over the other side.
    public func attentionBackward(
        _ operands: AttentionOperands,
        out: Tensor,
        logSumExp: Tensor,
        gradient: Tensor,
        into gradients: AttentionGradients
    ) {
        let (query, key) = (operands.query, operands.key)
        let gradient = dense(gradient, as: query.elementType)
        let delta = Tensor(uninitialized: logSumExp.shape, .float32, on: self)
        let (samples, queries, heads, keys, groups) = (
            query.shape[0], query.shape[1], query.shape[2], key.shape[1], key.shape[2]
        )
        let masks = operands.mask.kernelMasks(samples: samples)
        func work(on sample: Int) -> ctk_attention {
            var work = ctk_attention(operands, out, sample, masks[sample])
            work.setGradients(gradients, logSumExp, gradient, delta, sample)
            return work
        }
        pool.run(samples * heads) { piece in
            var work = work(on: piece / heads)
            ctk_attend_delta(isa, &work, piece % heads, 0, queries)
        }
        if let tiles = AMXAttention(operands, on: self) { return tiles.runBackward(work) }
        let (rows, tile) = (queries * heads / groups, Int(CTK_ATTENTION_TILE))
        let (rowTiles, keyTiles) = ((rows + tile - 1) / tile, (keys + tile - 1) / tile)
        let scratchSize = ctk_attention_scratch(query.shape[3])
        pool.run(samples * groups * (rowTiles + keyTiles)) { piece in
            let (position, number) = (piece / (rowTiles + keyTiles), piece % (rowTiles + keyTiles))
            let scratch = Tensor(uninitialized: [scratchSize], .float32, on: self)
            var work = work(on: position / groups)
            let group = position % groups
            if number < rowTiles {
                let first = number * tile
                let count = min(tile, rows - first)
                ctk_attend_query_gradients(isa, &work, group, first, count, scratch.floatPointer)
            } else {
                let first = (number - rowTiles) * tile
                let count = min(tile, keys - first)
                ctk_attend_key_gradients(isa, &work, group, first, count, scratch.floatPointer)
            }
        }
    }
}

extension Tensor {
    /// The address of a token's heads in a tensor [B, T, H, K].
    fileprivate func pointer(to sample: Int, _ token: Int) -> UnsafeMutableRawPointer {
        pointer + (sample * strides[0] + token * strides[1]) * elementType.byteCount
    }

    /// The heads of a sample of a tensor [B, T, H, K].
    fileprivate func heads(of sample: Int) -> ctk_rows {
        ctk_rows(data: pointer(to: sample, 0), token_stride: strides[1], head_stride: strides[2])
    }
}

extension ctk_attention {
    /// The work on one sample.
    init(_ operands: AttentionOperands, _ out: Tensor, _ sample: Int, _ mask: ctk_mask) {
        let (query, key) = (operands.query, operands.key)
        self.init()
        type = query.kernelType
        queries = query.shape[1]
        keys = key.shape[1]
        groups = key.shape[2]
        heads_per_group = query.shape[2] / key.shape[2]
        width = query.shape[3]
        scale = operands.scale
        self.mask = mask
        self.query = query.heads(of: sample)
        self.key = key.heads(of: sample)
        value = operands.value.heads(of: sample)
        self.out = out.heads(of: sample)
    }

    /// What the backward pass needs besides.
    mutating func setGradients(
        _ gradients: AttentionGradients,
        _ logSumExp: Tensor,
        _ gradient: Tensor,
        _ delta: Tensor,
        _ sample: Int
    ) {
        log_sum_exp = logSumExp.floatPointer + sample * logSumExp.strides[0]
        self.delta = delta.floatPointer + sample * delta.strides[0]
        self.gradient = gradient.heads(of: sample)
        into_query = gradients.query.heads(of: sample)
        into_key = gradients.key.heads(of: sample)
        into_value = gradients.value.heads(of: sample)
    }
}

extension AttentionMask {
    /// The mask of each sample as the C kernels take it.
    func kernelMasks(samples: Int) -> [ctk_mask] {
        let (perQuery, perKey) = (queries.positions.count / samples, keys.positions.count / samples)
        let (query, key) = (queries.pointers, keys.pointers)
        return (0..<samples).map { sample in
            ctk_mask(
                causal: isCausal,
                window: window.map(Int64.init) ?? -1,
                query_positions: query.positions + sample * perQuery,
                query_segments: query.segments.map { $0 + sample * perQuery },
                query_blocks: query.blocks.map { $0 + sample * perQuery },
                key_positions: key.positions + sample * perKey,
                key_segments: key.segments.map { $0 + sample * perKey },
                key_blocks: key.blocks.map { $0 + sample * perKey }
            )
        }
    }
}

extension AttentionMask.Labels {
    fileprivate typealias Pointer = UnsafePointer<Int32>

    fileprivate var pointers: (positions: Pointer, segments: Pointer?, blocks: Pointer?) {
        (positions.indexPointer, segments?.indexPointer, blocks?.indexPointer)
    }
}
