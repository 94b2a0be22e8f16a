import BridgeCore
import ModelSchema
import TensorRuntime
import TestSupport
import Testing

/// Models whose weights are quantized while they are loaded.
@Suite struct QuantizedModelTests {
    private static let engine = TestEngine.cpu(threadCount: 2)

    /// A model whose rows have whole groups, which those of the fixtures do not have.
    private func toy(_ family: String, in directory: TemporaryDirectory) throws -> AutoBridge {
        let path = directory.path("toy")
        let made = try BridgeProcess.run("toy", "--family", family, "--output", path, "--hidden-size", "128")
        try #require(made.status == 0, "\(made.errors)")
        return try .fromHF(path)
    }

    private func choice(_ bits: Int, exceptions: [WeightQuantization.Exception] = []) throws -> WeightQuantization {
        WeightQuantization(
            layers: try #require(QuantizedFormat(bits: bits, groupSize: 32)),
            tables: QuantizedFormat(bits: 8, groupSize: 32),
            exceptions: exceptions
        )
    }

    @Test(arguments: ["mistral", "ministral3", "gemma3"], [4, 8])
    func logitsAreThoseOfTheModelWithTheRoundedWeights(_ family: String, _ bits: Int) throws {
        let directory = try TemporaryDirectory()
        let bridge = try toy(family, in: directory)
        let quantized = try bridge.toModel(elementType: .float32, on: Self.engine, quantization: choice(bits))
        let dense = try bridge.toModel(elementType: .float32, on: Self.engine)
        var changed = 0
        for (own, other) in zip(quantized.parameters, dense.parameters) {
            try #require(own.name == other.name && own.tensor.shape == other.tensor.shape)
            guard own.tensor.quantized != nil else { continue }
            changed += 1
            other.replace(with: Tensor(own.tensor.floats(), shape: own.tensor.shape, on: Self.engine))
        }
        try #require(changed > 10)
        // Few rows and many, then a token at a time.
        for count in [3, 40] {
            let tokens = (0..<count).map { Int32(20 + $0 * $0 % 379) }
            let expected = try dense.forward(TokenBatch(tokens: tokens)).logits.floats()
            let (difference, scale) = gap(try quantized.forward(TokenBatch(tokens: tokens)).logits.floats(), expected)
            // Activations of few rows are rounded to 1/65534 of the largest of their block.
            #expect(difference <= 3e-4 * scale)
            let cache = quantized.makeCache(capacity: count)
            for (place, token) in tokens.enumerated() {
                let batch = TokenBatch(tokens: [token], positions: [Int32(place)])
                let step = try quantized.forward(batch, cache: cache).logits.floats()
                let width = expected.count / count
                let (difference, scale) = gap(step, Array(expected[place * width..<(place + 1) * width]))
                #expect(difference <= 3e-4 * scale)
            }
        }
    }

    @Test func whatIsQuantizedIsTheLanguageModel() throws {
        let directory = try TemporaryDirectory()
        let bridge = try toy("gemma3", in: directory)
        let exceptions = [
            WeightQuantization.Exception(names: NameGlob("*layers.0.*linear_qkv*"), format: nil),
            WeightQuantization.Exception(
                names: NameGlob("*linear_qkv*"),
                format: QuantizedFormat(bits: 8, groupSize: 64)
            ),
        ]
        let model = try bridge.toModel(on: Self.engine, quantization: choice(4, exceptions: exceptions))
        var kept: [String] = []
        for parameter in model.parameters {
            let format = parameter.tensor.quantized?.format
            let (name, shape) = (parameter.name, parameter.tensor.shape)
            let isPlain = name.contains("vision") || name.contains("multi_modal") || name.contains("norm")
            let isExcepted = name.contains("layers.0.") && name.contains("linear_qkv")
            let (bits, group) =
                name.contains("linear_qkv") ? (8, 64) : name.contains("embedding") ? (8, 32) : (4, 32)
            if isPlain || isExcepted {
                #expect(format == nil, "\(name)")
            } else if shape[1] % group != 0 {
                // Some rows of this toy have no whole groups.
                kept.append(name)
                #expect(format == nil, "\(name)")
            } else {
                #expect(format == QuantizedFormat(bits: bits, groupSize: group), "\(name)")
            }
        }
        let summary = QuantizationSummary(model.parameters, try choice(4, exceptions: exceptions))
        #expect(summary.matrices.keys.sorted() == [4, 8] && summary.byteCount < summary.denseByteCount / 2)
        #expect(!kept.isEmpty && summary.unfitting == kept)
    }
}
