public import BridgeCore
import Foundation
import TensorRuntime

/// What follows a checkpoint on rank 0: the model in the form of Hugging Face, and a command of the user's.
public struct CheckpointFollowUp: Sendable {
    /// The name of the Hugging Face directory in an iteration's directory.
    public static let directoryName = "hf"

    let bridge: AutoBridge
    let recipe: Recipe

    /// The Hugging Face directory of a checkpoint of a run.
    public static func directory(of recipe: Recipe, iteration: Int) -> String {
        let checkpoint = Files.join(recipe.checkpoint.save, NativeCheckpoint.iterationName(iteration))
        return Files.join(checkpoint, directoryName)
    }

    /// Whether there is something to do after a checkpoint.
    func isNeeded(isEnd: Bool) -> Bool { exports(isEnd: isEnd) || !recipe.checkpoint.afterSave.isEmpty }

    private func exports(isEnd: Bool) -> Bool {
        switch recipe.checkpoint.alsoSaveHFCheckpoint {
        case .none: false
        case .each: true
        case .last: isEnd
        }
    }

    /// Does it.
    ///
    /// - Parameters:
    ///   - iteration: The directory of the checkpoint, which is complete.
    ///   - card: What the model card tells of the run.
    ///   - isEnd: Whether the run ends.
    /// - Throws: `BridgeError` for what cannot be written, and for a command that fails.
    func run(_ iteration: String, _ card: ModelCard, isEnd: Bool) throws {
        let directory = Files.join(iteration, Self.directoryName)
        let exports = exports(isEnd: isEnd)
        if exports {
            // Complete beside the checkpoint before it is moved into it.
            let staged = Files.join(recipe.checkpoint.save, ".\(Self.directoryName)-\(Files.name(of: iteration))")
            defer { try? Files.remove(staged) }
            try export(iteration, to: staged)
            try Files.replace(Files.join(staged, "README.md"), with: Array(card.markdown.utf8))
            if Files.exists(directory) { try Files.remove(directory) }
            guard rename(staged, directory) == 0 else {
                throw BridgeError(.fileSystem, "\(directory) could not be written: \(String(cString: strerror(errno)))")
            }
        }
        guard !recipe.checkpoint.afterSave.isEmpty else { return }
        try command(iteration, exports ? directory : nil, step: card.progress.iteration)
    }

    private func export(_ iteration: String, to directory: String) throws {
        guard recipe.peft.scheme != .none else {
            try bridge.exportCheckpoint(from: iteration, to: directory, options: ConversionOptions(overwrite: true))
            return
        }
        // The adapter's file has no weight of the model, of which the shapes are enough.
        let model = try bridge.shapeOnlyModel(elementType: .bfloat16, on: CPUEngine(threadCount: 1))
        let adapters = try bridge.loadAdapters(from: iteration, on: model, elementType: .float32, partType: .float32)
        let base = recipe.checkpoint.pretrainedCheckpoint
        try bridge.exportAdapter(adapters, on: model, to: directory, baseModel: base, overwrite: true)
    }

    private func command(_ iteration: String, _ directory: String?, step: Int) throws {
        let text = recipe.checkpoint.afterSave
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", text]
        var environment = ChildEnvironment.withoutRanks
        environment["BRIDGE_CHECKPOINT"] = Destination.resolved(iteration)
        environment["BRIDGE_ITERATION"] = "\(step)"
        if let directory { environment["BRIDGE_HF_CHECKPOINT"] = Destination.resolved(directory) }
        process.environment = environment
        process.standardInput = FileHandle.nullDevice
        // Standard output may be the JSON of the run.
        process.standardOutput = FileHandle.standardError
        do { try process.run() } catch {
            throw BridgeError(.fileSystem, "checkpoint.after_save could not be started: \(error.localizedDescription)")
        }
        process.waitUntilExit()
        guard process.terminationStatus == 0, process.terminationReason == .exit else {
            let how = process.terminationReason == .exit ? "status" : "signal"
            throw BridgeError(
                .fileSystem,
                "checkpoint.after_save ended with \(how) \(process.terminationStatus) after the checkpoint of step \(step): \(text)"
            )
        }
    }
}
