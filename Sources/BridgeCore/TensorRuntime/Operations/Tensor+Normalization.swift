extension Tensor {
    /// The root-mean-square norm over the last dimension.
    ///
    /// - Parameters:
    ///   - gain: [width].
    ///   - form: How the gain is applied.
    ///   - outputType: The type of the result; nil for that of `self`.
    /// - Returns: The same shape.
    public func rmsNorm(gain: Tensor, _ form: RMSNormForm, outputType: ElementType? = nil) -> Tensor {
        let width = size(ofDimension: -1)
        guard gain.shape == [width] else { Tensor.fail("rmsNorm", "the gain has another width", self, gain) }
        if outputType == .float32, elementType != .float32 { return cast(to: .float32).rmsNorm(gain: gain, form) }
        let (x, g) = (detached.contiguous(), gain.detached)
        let inverseRoot = makeTensor([x.count / max(width, 1)], .float32)
        func normalized() -> Tensor {
            let out = x.makeTensor(x.shape, outputType)
            x.engine.rmsNorm(x, gain: g, form, into: out, inverseRoot: inverseRoot)
            return out
        }
        return normalized().tracked([self, gain], remake: normalized) { gradient in
            let result = x.makeTensor(x.shape)
            let gainGradient = gain.isTracked ? x.makeTensor([width], .float32) : nil
            x.engine.rmsNormBackward(
                x,
                gain: g,
                form,
                inverseRoot: inverseRoot,
                gradient: gradient.contiguous(),
                into: result,
                intoGain: gainGradient
            )
            return [result, gainGradient]
        }
    }

    /// The layer norm over the last dimension, with gain and bias [width], as `outputType` or that of `self`.
    public func layerNorm(gain: Tensor, bias: Tensor, epsilon: Float, outputType: ElementType? = nil) -> Tensor {
        let width = size(ofDimension: -1)
        guard gain.shape == [width], bias.shape == [width] else {
            Tensor.fail("layerNorm", "gain or bias have another width", self, gain, bias)
        }
        if outputType == .float32, elementType != .float32 {
            return cast(to: .float32).layerNorm(gain: gain, bias: bias, epsilon: epsilon)
        }
        let (x, g) = (detached.contiguous(), gain.detached)
        let (b, moments) = (bias.detached, makeTensor([x.count / max(width, 1), 2], .float32))
        func normalized() -> Tensor {
            let out = x.makeTensor(x.shape, outputType)
            x.engine.layerNorm(x, gain: g, bias: b, epsilon: epsilon, into: out, moments: moments)
            return out
        }
        return normalized().tracked([self, gain, bias], remake: normalized) { gradient in
            let result = x.makeTensor(x.shape)
            let gainGradient = gain.isTracked ? x.makeTensor([width], .float32) : nil
            let biasGradient = bias.isTracked ? x.makeTensor([width], .float32) : nil
            x.engine.layerNormBackward(
                x,
                gain: g,
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
