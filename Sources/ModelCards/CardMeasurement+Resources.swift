import BridgeCore
import TensorRuntime

// What a check needs of the machine, so that nothing is started that would be killed.
extension CardMeasurement {
    /// The reason why a check cannot run on this machine; nil where it can.
    func obstacle(to check: CardCheck, _ layout: CardLayout) throws -> String? {
        if check.runsModel {
            do { try bridge.checkRuns() } catch let error as BridgeError { return error.message }
        }
        if check == .forward, options.reference == nil { return nil }
        let (memory, disk) = (try memory(of: check, layout), try disk(of: check, layout))
        if let most = options.memoryLimit ?? ProcessMemory.available(), memory > most {
            return "needs \(ByteFormat.text(memory)) of memory, and \(ByteFormat.text(most)) may be used"
        }
        if let free = Files.freeSpace(at: path("")), disk > free {
            return "needs \(ByteFormat.text(disk)) of disk, and \(ByteFormat.text(free)) are free"
        }
        return nil
    }

    /// The bytes of the model in float32.
    private var floatByteCount: Int { 4 * original.parameterCount }

    private func memory(of check: CardCheck, _ layout: CardLayout) throws -> Int {
        // Logits of the longest pass on every rank, and rounding for everything small.
        let output = 4 * 64 * bridge.toProvider().decoder.vocabSize
        switch check {
        case .importing: return try bridge.plan(ConversionOptions(layout: layout.ranks)).peakMemory(options.context)
        case .exporting, .torchDist: return 0
        case .forward, .generation: return floatByteCount + layout.rankCount * output
        case .sftExport: return floatByteCount + 2 * output
        // The model, its merged matrices, and the model that is loaded again.
        case .loraExport: return 3 * floatByteCount + 3 * output
        case .sft, .sftResume, .lora, .loraResume: return try estimate(check, layout).reduce(0) { $0 + $1.byteCount }
        }
    }

    /// The new bytes of temporary files, those of earlier checks not counted.
    private func disk(of check: CardCheck, _ layout: CardLayout) throws -> Int {
        switch check {
        case .importing, .exporting: return original.byteCount
        case .torchDist: return 2 * original.byteCount
        case .forward, .generation: return 0
        case .sftExport, .loraExport: return floatByteCount
        // Weights and two moments in float32; a run that resumes has two checkpoints.
        case .sft, .lora: return try 12 * estimate(check, layout).reduce(0) { $0 + $1.trained }
        case .sftResume, .loraResume: return try 24 * estimate(check, layout).reduce(0) { $0 + $1.trained }
        }
    }

    /// What each rank of a run needs.
    private func estimate(_ check: CardCheck, _ layout: CardLayout) throws -> [RunEstimate.Rank] {
        let recipe = trainer(layout, isLoRA: check.isLoRA ?? false).recipe(savingTo: "")
        let estimate = try RunEstimate(bridge, recipe, ranks: layout.rankCount, on: CPUEngine(threadCount: 1))
        return (0..<layout.rankCount).map(estimate.rank)
    }
}
