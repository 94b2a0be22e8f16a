import CTensorKernels

extension CPUEngine {
    /// The fewest elements of rows per thread.
    private static let grain = 8192
    /// Into how many blocks of rows the sums for a weight are cut, whatever the number of threads.
    private static let blockLimit = 32

    /// Each thread takes some rows.
    public func rmsNorm(_ x: Tensor, weight: Tensor, _ form: RMSNormOptions, into out: Tensor, inverseRoot: Tensor) {
        let (x, weight) = (dense(x), shifted(weight, by: form.gainOffset))
        let width = x.size(ofDimension: -1)
        guard x.count > 0 else { return }
        pool.split(x.count / width, grain: max(1, Self.grain / width)) { rows in
            ctk_rms_norm(
                isa,
                out.pointer(toRow: rows.lowerBound, of: width),
                x.pointer(toRow: rows.lowerBound, of: width),
                x.kernelType,
                out.kernelType,
                weight.floatPointer,
                form.epsilon,
                form.roundsBeforeGain,
                rows.count,
                width,
                inverseRoot.floatPointer + rows.lowerBound
            )
        }
    }

    /// Blocks of rows, whose shares of the weight are added up in the end.
    public func rmsNormBackward(
        _ x: Tensor,
        weight: Tensor,
        _ form: RMSNormOptions,
        inverseRoot: Tensor,
        gradient: Tensor,
        into out: Tensor,
        intoGain: Tensor?
    ) {
        let (x, gradient) = (dense(x), dense(gradient))
        let weight = shifted(weight, by: form.gainOffset)
        let width = x.size(ofDimension: -1)
        overBlocks(x, addingInto: [intoGain]) { rows, sums in
            ctk_rms_norm_backward(
                isa,
                out.pointer(toRow: rows.lowerBound, of: width),
                sums[0],
                x.pointer(toRow: rows.lowerBound, of: width),
                gradient.pointer(toRow: rows.lowerBound, of: width),
                x.kernelType,
                gradient.kernelType,
                weight.floatPointer,
                inverseRoot.floatPointer + rows.lowerBound,
                rows.count,
                width
            )
        }
    }

    /// Each thread takes some rows.
    public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into out: Tensor, moments: Tensor)
    {
        let (x, weight, bias) = (dense(x), shifted(weight, by: 0), shifted(bias, by: 0))
        let width = x.size(ofDimension: -1)
        guard x.count > 0 else { return }
        pool.split(x.count / width, grain: max(1, Self.grain / width)) { rows in
            ctk_layer_norm(
                isa,
                out.pointer(toRow: rows.lowerBound, of: width),
                x.pointer(toRow: rows.lowerBound, of: width),
                x.kernelType,
                out.kernelType,
                weight.floatPointer,
                bias.floatPointer,
                epsilon,
                rows.count,
                width,
                moments.floatPointer + 2 * rows.lowerBound
            )
        }
    }

    /// Blocks of rows, whose shares of weight and bias are added up in the end.
    public func layerNormBackward(
        _ x: Tensor,
        weight: Tensor,
        moments: Tensor,
        gradient: Tensor,
        into out: Tensor,
        intoGain: Tensor?,
        intoBias: Tensor?
    ) {
        let (x, gradient) = (dense(x), dense(gradient))
        let weight = shifted(weight, by: 0)
        let width = x.size(ofDimension: -1)
        overBlocks(x, addingInto: [intoGain, intoBias]) { rows, sums in
            ctk_layer_norm_backward(
                isa,
                out.pointer(toRow: rows.lowerBound, of: width),
                sums[0],
                sums[1],
                x.pointer(toRow: rows.lowerBound, of: width),
                gradient.pointer(toRow: rows.lowerBound, of: width),
                x.kernelType,
                gradient.kernelType,
                weight.floatPointer,
                moments.floatPointer + 2 * rows.lowerBound,
                rows.count,
                width
            )
        }
    }

    /// A weight or a bias as the kernels take them: float32 without gaps, with its offset added.
    private func shifted(_ vector: Tensor, by offset: Float) -> Tensor {
        if offset == 0, vector.elementType == .float32, vector.isContiguous { return vector }
        let result = Tensor(uninitialized: vector.shape, .float32, on: self)
        affine(vector, scale: 1, shift: offset, into: result)
        return result
    }

    /// Calls `body` for blocks of rows with memory, zeros at first, for the block's share of each sum over rows.
    private func overBlocks(
        _ x: Tensor,
        addingInto targets: [Tensor?],
        _ body: (Range<Int>, [UnsafeMutablePointer<Float>?]) -> Void
    ) {
        let width = x.size(ofDimension: -1)
        let rows = width > 0 ? x.count / width : 0
        guard rows > 0 else { return targets.forEach { if let target = $0 { fill(target, with: 0) } } }
        let height = max(max(1, Self.grain / width), (rows + Self.blockLimit - 1) / Self.blockLimit)
        let blocks = (rows + height - 1) / height
        let shares = targets.map { $0.map { _ in Tensor.zeros([blocks, width], .float32, on: self) } }
        pool.run(blocks) { block in
            let range = block * height..<min((block + 1) * height, rows)
            body(range, shares.map { $0.map { $0.floatPointer + block * width } })
        }
        for case let (target?, share?) in zip(targets, shares) {
            sum(share, scale: 1, into: target.reshaped([1, width]))
        }
    }
}

extension Tensor {
    /// The address of a row of a tensor without gaps.
    fileprivate func pointer(toRow row: Int, of width: Int) -> UnsafeMutableRawPointer {
        pointer + row * width * elementType.byteCount
    }
}
