import BridgeCore
import Foundation
import TensorRuntime
import Trainer

// Fine-tuning, and what becomes of its checkpoints.
extension CardMeasurement {
    func trainer(_ layout: CardLayout, isLoRA: Bool) -> CardTraining {
        CardTraining(
            source: source,
            catalog: catalog,
            bridge: bridge,
            rows: path("rows"),
            layout: layout,
            isLoRA: isLoRA,
            steps: options.steps,
            threads: threads(of: layout),
            context: options.context
        )
    }

    /// The directory of the uninterrupted run under the current layout.
    private func run(isLoRA: Bool) -> String { path(isLoRA ? "lora" : "sft") }

    func training(_ layout: CardLayout, isLoRA: Bool) throws -> Finding {
        try CardRows.write(to: path("rows"), hasImages: hasImages)
        let curve = try trainer(layout, isLoRA: isLoRA).run(run(isLoRA: isLoRA))
        let (losses, norms) = (curve.losses, curve.norms)
        guard let first = losses.first, let last = losses.last else { return (.failed("no step was done"), []) }
        curves[isLoRA] = curve
        var figures: [ModelCard.Figure] = [
            .init("steps", "\(losses.count)"),
            .init("loss", String(format: "%.4f to %.4f", first, last)),
        ]
        guard (losses + norms).allSatisfy(\.isFinite) else {
            return (.failed("a loss or a gradient norm is not a finite number"), figures)
        }
        guard last < first else { return (.failed("the loss does not fall"), figures) }
        if layout.rankCount == 1 {
            singleCurves[isLoRA] = curve
        } else if let single = singleCurves[isLoRA] {
            let differences = curve.differences(from: single)
            let largest = max(differences.loss, differences.norm)
            figures.append(.init("difference from one rank", Float(largest).short))
            guard largest <= LayoutSelftest.tolerance else {
                return (.failed("expected a difference of at most \(Float(LayoutSelftest.tolerance).short)"), figures)
            }
        }
        return (.passed, figures)
    }

    func resume(_ layout: CardLayout, isLoRA: Bool) throws -> Finding {
        let trainer = trainer(layout, isLoRA: isLoRA)
        let (stopped, half) = (path("stopped"), options.steps / 2)
        defer { try? Files.remove(stopped) }
        var curve = try trainer.run(stopped, stoppingAfter: half)
        guard curve.losses.count == half else {
            return (.failed("the run did \(curve.losses.count) steps, expected that it stops after \(half)"), [])
        }
        let rest = try trainer.run(stopped)
        curve.losses += rest.losses
        curve.norms += rest.norms
        let (own, others) = (try trainer.state(run(isLoRA: isLoRA)), try trainer.state(stopped))
        let figures: [ModelCard.Figure] = [
            .init("steps", "\(half) and \(rest.losses.count)"), .init("files", "\(own.count)"),
        ]
        guard own.map(Files.name) == others.map(Files.name) else {
            return (.failed("the two runs have saved different files"), figures)
        }
        for (one, other) in zip(own, others) where !FileManager.default.contentsEqual(atPath: one, andPath: other) {
            return (.failed("\(Files.name(of: one)) differs from that of the run that was not stopped"), figures)
        }
        guard curve == curves[isLoRA] else { return (.failed("the losses of the steps differ"), figures) }
        return (.passed, figures)
    }

    func tunedExport(_ layout: CardLayout) throws -> Finding {
        let (run, tuned) = (run(isLoRA: false), path("tuned"))
        defer { try? Files.remove(tuned) }
        let trained = try AutoBridge.fromMegatron(run, catalog: catalog)
        try trained.exportCheckpoint(from: run, to: tuned, options: ConversionOptions(context: options.context))
        let saved = try Checkpoint(path: run, catalog: catalog)
        let exported = try Checkpoint(path: tuned, catalog: catalog)
        let result = try Verifier(saved, exported).run(options.context)
        let figures = [ModelCard.Figure("tensors", "\(result.compared)")]
        guard result.isEqual else {
            let names = (result.rows.map { "\($0.name): \($0.what)" } + result.fields).prefix(3)
            return (.failed("the export differs from the run: \(names.joined(separator: "; "))"), figures)
        }
        guard try !Verifier(original, exported).run(options.context, ignoringTypes: true).rows.isEmpty else {
            return (.failed("the tuned weights are those before training"), figures)
        }
        let loaded = try AutoBridge.fromHF(tuned, catalog: catalog)
        let expected = try logits(trained.toModel(weights: run, elementType: .float32, on: engine))
        let found = try logits(loaded.toModel(elementType: .float32, on: engine))
        guard found == expected, LogitCheck.problem(found) == nil else {
            return (
                .failed("the exported model has other logits than the trained one, or they are not finite"), figures
            )
        }
        return (.passed, figures)
    }

    func mergedExport(_ layout: CardLayout) throws -> Finding {
        let (run, merged) = (run(isLoRA: true), path("merged"))
        defer { try? Files.remove(merged) }
        let model = try bridge.toModel(elementType: .float32, on: engine)
        let before = try logits(model)
        let adapters = try bridge.loadAdapters(from: run, on: model)
        let expected = try logits(model)
        let report = try bridge.exportMerged(
            adapters,
            on: model,
            to: merged,
            options: ConversionOptions(context: options.context)
        )
        let loaded = try AutoBridge.fromHF(merged, catalog: catalog)
        let found = try logits(loaded.toModel(elementType: .float32, on: engine))
        let scale = expected.reduce(Float.leastNormalMagnitude) { max($0, abs($1)) }
        func distance(_ values: [Float]) -> Float {
            guard values.count == expected.count else { return .infinity }
            return zip(values, expected).reduce(0) { found, pair in
                let distance = abs(pair.0 - pair.1) / scale
                return distance.isNaN ? .infinity : max(found, distance)
            }
        }
        let figures: [ModelCard.Figure] = [
            .init("tensors", "\(report.tensors)"), .init("difference", "\(distance(found).short) of the largest logit"),
            .init("effect of the adapters", distance(before).short),
        ]
        guard distance(found) <= Self.tolerance else {
            return (.failed("expected a difference of at most \(Self.tolerance.short)"), figures)
        }
        guard distance(before) > distance(found) else { return (.failed("the adapters change no logit"), figures) }
        return (.passed, figures)
    }

    private var engine: CPUEngine { CPUEngine(threadCount: options.threads) }

    private func logits(_ model: any CausalModel) throws -> [Float] {
        let count = min(32, model.decoder.configuration.seqLength)
        return try model.forward(TokenBatch(tokens: Self.tokens(count, of: model))).logits.floats()
    }
}
