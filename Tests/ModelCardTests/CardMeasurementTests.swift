import BridgeCore
import Foundation
import ModelCards
import TensorRuntime
import TestSupport
import Testing

/// What a verification card measures, and that it finds what is wrong.
@Suite struct CardMeasurementTests {
    private let scratch: TemporaryDirectory

    init() throws { scratch = try TemporaryDirectory() }

    private func rows(
        _ model: String,
        _ layouts: [CardLayout] = [CardLayout()],
        reference: String? = nil,
        memoryLimit: Int? = nil
    ) throws -> [ModelCard.Row] {
        var options = CardMeasurement.Options()
        (options.layouts, options.steps, options.reference) = (layouts, 4, reference)
        options.memoryLimit = memoryLimit
        let files = scratch.path("files")
        try FileManager.default.createDirectory(atPath: files, withIntermediateDirectories: true)
        let rows = try CardMeasurement(model, catalog: .standard(), scratch: files, options: options).run()
        #expect(try FileManager.default.contentsOfDirectory(atPath: files).isEmpty)
        #expect(rows.map(\.layout) == layouts.flatMap { [CardLayout](repeating: $0, count: CardCheck.allCases.count) })
        #expect(rows.map(\.check) == layouts.flatMap { _ in CardCheck.allCases })
        return rows
    }

    private static func reference(_ name: String) -> String { "\(Fixtures.root)/reference/\(name).safetensors" }

    @Test(arguments: [
        ("mistral", [CardLayout(), CardLayout(tensor: 2, pipeline: 2)]), ("ministral3", [CardLayout(tensor: 2)]),
        ("gemma3", [CardLayout(pipeline: 2)]),
    ])
    func everyCheckPasses(_ name: String, _ layouts: [CardLayout]) throws {
        let rows = try rows(Fixtures.checkpoint(name), layouts, reference: Self.reference(name))
        for row in rows {
            #expect(row.outcome == .passed, "\(name), \(row.check), \(row.layout): \(row.outcome) \(row.text)")
            #expect(!row.figures.isEmpty)
        }
        // Four steps on two layouts: every figure of the second is there because it was compared with the first.
        let compared = rows.filter { $0.text.contains("difference from one rank") }
        #expect(compared.count == (layouts.count > 1 ? 2 : 0))
    }

    @Test func otherLogitsFail() throws {
        let found = try rows(Fixtures.checkpoint("mistral"), reference: changedReference())
        let forward = try #require(found.first { $0.check == .forward })
        #expect(forward.outcome == .failed("expected a difference of at most 1.0e-04"), "\(forward)")
        #expect(forward.text.contains("e-03 of the largest logit"), "\(forward.text)")
        #expect(found.filter { $0.check != .forward }.allSatisfy { $0.outcome == .passed })
    }

    /// The logits of the fixture with one changed by a 500th of the largest, which is 20 times what is allowed.
    private func changedReference() throws -> String {
        let file = try SafetensorsFile(path: Self.reference("mistral"))
        let reader = TensorReader()
        let engine = TestEngine.cpu(threadCount: 1)
        func floats(_ name: String) throws -> (values: [Float], shape: [Int]) {
            let tensor = try #require(file.tensors.first { $0.name == name })
            let bytes = try reader.bytes(of: TensorView(tensor))
            return (bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }, tensor.shape)
        }
        let tensor = try #require(file.tensors.first { $0.name == "input_ids" })
        let tokens = try reader.bytes(of: TensorView(tensor)).withUnsafeBytes { Array($0.bindMemory(to: Int64.self)) }
        var (logits, shape) = try floats("logits")
        let largest = logits.reduce(0) { max($0, abs($1)) }
        logits[7] += largest / 500
        let path = scratch.path("changed.safetensors")
        try SafetensorsFile.write(
            [
                ("input_ids", Tensor(indices: tokens.map { Int32($0) }, on: engine).reshaped(tensor.shape)),
                ("logits", Tensor(logits, shape: shape, on: engine)),
            ],
            to: path
        )
        return path
    }

    @Test func withoutAReferenceLogitsAreNotCompared() throws {
        let rows = try rows(Fixtures.checkpoint("mistral-tied"))
        #expect(rows.first { $0.check == .forward }?.outcome == .skipped("no reference given"))
        #expect(rows.filter { $0.check != .forward }.allSatisfy { $0.outcome == .passed })
    }

    /// FP8 becomes bfloat16, so that the export is another directory, and everything else is as it was.
    @Test func anExportWithOtherBytesFails() throws {
        let rows = try rows(Fixtures.checkpoint("ministral3-fp8-row"))
        for check in [CardCheck.exporting, .torchDist] {
            let reason = try #require(rows.first { $0.check == check }?.outcome.reason)
            #expect(reason.contains("files of the export differ: config.json"), "\(reason)")
        }
        #expect(rows.first { $0.check == .importing }?.outcome == .passed)
    }

    @Test func whatDoesNotFitIsSkippedWithWhatItNeeds() throws {
        // The fixture has 69,120 parameters, so 276 kB in float32, and four times that for training.
        let model = Fixtures.checkpoint("mistral")
        let count = try Checkpoint(path: model, catalog: .standard()).parameterCount
        let rows = try rows(model, memoryLimit: 8 * count)
        let training = try #require(rows.first { $0.check == .sft }?.outcome.reason)
        #expect(training.hasPrefix("needs ") && training.contains("may be used"), "\(training)")
        #expect(rows.first { $0.check == .sftResume }?.outcome == .skipped("sft has to pass first"))
        #expect(rows.allSatisfy { $0.outcome.word != "failed" })
    }

    @Test func aLayoutThatDoesNotDivideTheModelIsSkipped() throws {
        let rows = try rows(Fixtures.checkpoint("mistral"), [CardLayout(tensor: 7)])
        #expect(rows.allSatisfy { $0.outcome.word == "skipped" })
        let reason = rows.first?.outcome.reason ?? ""
        #expect(reason.contains("cannot be divided so"), "\(reason)")
    }

    @Test func availableMemoryIsPartOfTheMachines() throws {
        let text = try String(contentsOfFile: "/proc/meminfo", encoding: .utf8)
        let total = try #require(text.firstMatch(of: /MemTotal: +(\d+) kB/).flatMap { Int($0.1) }) << 10
        let available = try #require(ProcessMemory.available())
        #expect(available > 0 && available < total)
    }

    @Test func aCancelledMeasurementHasNoRows() throws {
        let options = CardMeasurement.Options()
        options.context.cancellation.cancel()
        let test = try CardMeasurement(
            Fixtures.checkpoint("mistral"),
            catalog: .standard(),
            scratch: scratch.path,
            options: options
        )
        let error = #expect(throws: BridgeError.self) { try test.run() }
        #expect(error?.code == .cancelled)
        #expect(throws: BridgeError.self) { try test.facts() }
    }
}
