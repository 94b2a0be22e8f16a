public import BridgeCore
import Communication
import Foundation
import PluginConformance
import TensorRuntime

/// Measures the rows of a verification card: converts, runs and trains a checkpoint under each layout.
///
/// Ranks are threads of this process. A check for which memory or disk do not suffice is skipped with what it needs.
public final class CardMeasurement {
    /// What is measured, and with what.
    public struct Options: Sendable {
        /// The layouts.
        public var layouts = CardLayout.standard
        /// The number of training steps of a run.
        public var steps = 6
        /// A safetensors file with inputs and logits of transformers; nil for none.
        public var reference: String?
        /// The most bytes of memory; nil for what the system has.
        public var memoryLimit: Int?
        /// The number of threads of all ranks together.
        public var threads = 1
        /// Progress, cancellation and log.
        public var context = RunContext()

        /// Default options.
        public init() {}
    }

    let source: String
    let catalog: PluginCatalog
    let options: Options
    let bridge: AutoBridge
    let original: Checkpoint
    private let scratch: String
    /// The losses and norms of the runs on one rank, by whether they train adapters.
    var singleCurves: [Bool: CardTraining.Curve] = [:]
    /// Those of the uninterrupted runs under the current layout.
    var curves: [Bool: CardTraining.Curve] = [:]

    /// A measurement of a Hugging Face directory.
    ///
    /// - Parameters:
    ///   - source: The directory.
    ///   - catalog: The families.
    ///   - scratch: A directory for temporary files, which the caller has made and removes.
    ///   - options: What is measured.
    /// - Throws: `BridgeError` for a directory without a supported model.
    public init(_ source: String, catalog: PluginCatalog, scratch: String, options: Options) throws {
        (self.source, self.catalog, self.scratch, self.options) = (source, catalog, scratch, options)
        bridge = try AutoBridge.fromHF(source, catalog: catalog)
        original = try Checkpoint(path: source, catalog: catalog)
    }

    /// Measures every check under every layout.
    ///
    /// - Parameter didMeasure: Called with each row.
    /// - Returns: The rows, layout by layout.
    /// - Throws: `BridgeError` after a cancellation; everything else that fails is a row.
    public func run(didMeasure: (ModelCard.Row) -> Void = { _ in }) throws -> [ModelCard.Row] {
        var rows: [ModelCard.Row] = []
        for layout in options.layouts {
            curves = [:]
            for check in CardCheck.allCases {
                let missing = check.requirement.flatMap { needed in
                    rows.contains { $0.check == needed && $0.layout == layout && $0.outcome == .passed } ? nil : needed
                }
                let row = try measure(check, layout, missing: missing)
                didMeasure(row)
                rows.append(row)
            }
            // A layout's files are not needed by the next one.
            for name in (try? Files.list(scratch)) ?? [] { try Files.remove(Files.join(scratch, name)) }
        }
        return rows
    }

    /// The outcome of a check, and what it measured.
    typealias Finding = (outcome: ModelCard.Outcome, figures: [ModelCard.Figure])

    private func measure(_ check: CardCheck, _ layout: CardLayout, missing: CardCheck?) throws -> ModelCard.Row {
        try throwIfCancelled()
        let start = ContinuousClock.now
        let finding: Finding
        do {
            if let missing {
                finding = (.skipped("\(missing.rawValue) has to pass first"), [])
            } else if let reason = try obstacle(to: check, layout) {
                finding = (.skipped(reason), [])
            } else {
                finding = try result(of: check, layout)
            }
        } catch let error as BridgeError where error.code == .badLayout {
            let names = error.names.prefix(2).joined(separator: "; ")
            finding = (.skipped("the model cannot be divided so: \(names.isEmpty ? error.message : names)"), [])
        } catch {
            try throwIfCancelled()
            let names = (error as? BridgeError)?.names.prefix(4).joined(separator: "; ") ?? ""
            let message = (error as? BridgeError)?.message ?? "\(error)"
            finding = (.failed(names.isEmpty ? message : "\(message) (\(names))"), [])
        }
        try throwIfCancelled()
        return ModelCard.Row(
            check: check,
            layout: layout,
            outcome: finding.outcome,
            figures: finding.figures,
            seconds: (ContinuousClock.now - start).seconds
        )
    }

    /// A run that was stopped by a signal has measured nothing.
    func throwIfCancelled() throws {
        if options.context.cancellation.isCancelled { throw BridgeError(.cancelled, "interrupted") }
    }

    private func result(of check: CardCheck, _ layout: CardLayout) throws -> Finding {
        switch check {
        case .importing: try importing(layout)
        case .exporting: try exporting(layout)
        case .torchDist: try torchDist(layout)
        case .forward: try forward(layout)
        case .generation: try generation(layout)
        case .sft: try training(layout, isLoRA: false)
        case .lora: try training(layout, isLoRA: true)
        case .sftResume: try resume(layout, isLoRA: false)
        case .loraResume: try resume(layout, isLoRA: true)
        case .sftExport: try tunedExport(layout)
        case .loraExport: try mergedExport(layout)
        }
    }

    /// A path for temporary files.
    func path(_ name: String) -> String { Files.join(scratch, name) }

    /// The path of the imported checkpoint of the current layout.
    var imported: String { path("megatron") }

    /// The largest difference of two orders of computation in float32, relative to the largest logit.
    static let tolerance: Float = 1e-4

    /// The number of threads of each rank.
    func threads(of layout: CardLayout) -> Int { max(1, options.threads / layout.rankCount) }

    /// Tokens of text, none of them an image token.
    static func tokens(_ count: Int, of model: any CausalModel) -> [Int32] {
        let vocabulary = model.decoder.configuration.vocabSize
        return (0..<count).map { index in
            let token = (index * index * 7 + index * 3 + 11) % vocabulary
            return Int32(token == model.imageTokenID ? (token + 1) % vocabulary : token)
        }
    }
}

extension Float {
    /// Two digits, such as `3.1e-07`.
    var short: String { self == 0 ? "0" : String(format: "%.1e", Double(self)) }
}
