extension Tensor {
    /// A function of each element.
    public func applying(_ function: ElementFunction) -> Tensor {
        let out = makeTensor(shape)
        let x = detached
        engine.apply(function, x, into: out)
        return out.tracked([self]) { gradient in
            let result = x.makeTensor(x.shape)
            x.engine.applyBackward(function, x, gradient, into: result)
            return [result]
        }
    }

    /// `f(self) * up`: the middle of a gated MLP.
    public func gatedActivation(_ up: Tensor, by function: ElementFunction) -> Tensor {
        guard shape == up.shape, elementType == up.elementType else {
            Tensor.fail("gatedActivation", "gate and up differ", self, up)
        }
        let (gate, plain) = (detached, up.detached)
        func product() -> Tensor {
            let out = gate.makeTensor(gate.shape)
            gate.engine.gated(function, gate: gate, up: plain, into: out)
            return out
        }
        return product().tracked([self, up], recompute: product) { gradient in
            let (intoGate, intoUp) = (gate.makeTensor(gate.shape), gate.makeTensor(gate.shape))
            gate.engine.gatedBackward(
                function,
                gate: gate,
                up: plain,
                gradient: gradient,
                intoGate: intoGate,
                intoUp: intoUp
            )
            return [intoGate, intoUp]
        }
    }
}
