extension Tensor {
    /// The root-mean-square norm over the last dimension.
    ///
    /// - Parameters:
    ///   - weight: [width].
    ///   - form: How the weight is applied.
    ///   - outputType: The type of the result; nil for that of `self`.
    /// - Returns: The same shape.
    public func rmsNorm(weight: Tensor, _ form: RMSNormOptions, outputType: ElementType? = nil) -> Tensor {
        let width = size(ofDimension: -1)
        guard weight.shape == [width] else { Tensor.fail("rmsNorm", "the weight has another width", self, weight) }
        if outputType == .float32, elementType != .float32 { return cast(to: .float32).rmsNorm(weight: weight, form) }
        let (x, g) = (detached.contiguous(), weight.detached)
        let inverseRoot = makeTensor([x.count / max(width, 1)], .float32)
        func normalized() -> Tensor {
            let out = x.makeTensor(x.shape, outputType)
            x.engine.rmsNorm(x, weight: g, form, into: out, inverseRoot: inverseRoot)
            return out
        }
        return normalized().tracked([self, weight], recompute: normalized) { gradient in
            let result = x.makeTensor(x.shape)
            let gainGradient = weight.isTracked ? x.makeTensor([width], .float32) : nil
            x.engine.rmsNormBackward(
                x,
                weight: g,
                form,
                inverseRoot: inverseRoot,
                gradient: gradient.contiguous(),
                into: result,
                intoGain: gainGradient
            )
            return [result, gainGradient]
        }
    }

    /// The layer norm over the last dimension, with weight and bias [width], as `outputType` or that of `self`.
    public func layerNorm(weight: Tensor, bias: Tensor, epsilon: Float, outputType: ElementType? = nil) -> Tensor {
        let width = size(ofDimension: -1)
        guard weight.shape == [width], bias.shape == [width] else {
            Tensor.fail("layerNorm", "weight or bias have another width", self, weight, bias)
        }
        if outputType == .float32, elementType != .float32 {
            return cast(to: .float32).layerNorm(weight: weight, bias: bias, epsilon: epsilon)
        }
        let (x, g) = (detached.contiguous(), weight.detached)
        let (b, moments) = (bias.detached, makeTensor([x.count / max(width, 1), 2], .float32))
        func normalized() -> Tensor {
            let out = x.makeTensor(x.shape, outputType)
            x.engine.layerNorm(x, weight: g, bias: b, epsilon: epsilon, into: out, moments: moments)
            return out
        }
        return normalized().tracked([self, weight, bias], recompute: normalized) { gradient in
            let result = x.makeTensor(x.shape)
            let gainGradient = weight.isTracked ? x.makeTensor([width], .float32) : nil
            let biasGradient = bias.isTracked ? x.makeTensor([width], .float32) : nil
            x.engine.layerNormBackward(
                x,
                weight: g,
                moments: moments,
                gradient: gradient.contiguous(),
                into: result,
                intoGain: gainGradient,
                intoBias: biasGradient
            )
            return [result, gainGradient, biasGradient]
        }
    }
}
