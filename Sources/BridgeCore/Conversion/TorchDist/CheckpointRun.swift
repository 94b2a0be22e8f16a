import BridgeSupport
import CheckpointFormats
import JSONTree
import Recipes
import TensorFiles
import TensorRuntime
import TorchFiles

/// The run that a checkpoint is of, for one that is written in another layout or container.
struct CheckpointRun {
    private let checkpoint: NativeCheckpoint

    init(_ checkpoint: NativeCheckpoint) { self.checkpoint = checkpoint }

    /// The file of a run's own progress.
    private static let progressName = "train_state.json"
    /// The groups of the optimizer of another program's run, which no recipe describes.
    static let groupsName = "optimizer_groups.pt"

    private var progressPath: String { Files.join(checkpoint.path, Self.progressName) }

    /// Whether Bridge has trained the checkpoint, so that a run resumes from it.
    var isOwn: Bool { checkpoint.carriesSource && Files.exists(progressPath) }

    /// The settings of the run; nil for a checkpoint that Bridge has not trained.
    ///
    /// - Throws: `BridgeError` for a damaged file.
    func recipe() throws -> Recipe? {
        let path = RunConfiguration.path(in: checkpoint.path)
        guard isOwn, RunConfiguration.hasRecipe(path) else { return nil }
        let text = try Files.contents(of: path, limit: RunConfiguration.largestFile)
        return try Recipe(yaml: String(decoding: text, as: UTF8.self), name: path)
    }

    /// The progress for Megatron-Core's container.
    ///
    /// - Throws: `BridgeError` for a damaged file.
    func progress() throws -> TrainStateFile {
        if Files.exists(progressPath) {
            return TrainStateFile(step: try count("iteration"), consumedSamples: try count("consumed_samples"))
        }
        if let directory = checkpoint.torchDist, let found = try TrainStateFile.read(directory) { return found }
        let iteration = NativeCheckpoint.iteration(inName: Files.name(of: checkpoint.path)) ?? 0
        return TrainStateFile(step: iteration, consumedSamples: 0)
    }

    /// The groups of the optimizer; nil where neither a recipe nor the checkpoint has them.
    ///
    /// - Parameter optimizer: The state of the optimizer.
    /// - Returns: The groups.
    /// - Throws: `BridgeError` for a damaged file.
    func groups(_ optimizer: [GlobalParameter]) throws -> OptimizerGroups? {
        guard !optimizer.isEmpty else { return nil }
        guard let recipe = try recipe() else {
            return try checkpoint.torchDist.map { try $0.optimizerGroups() } ?? continuedGroups()
        }
        let progress = try progress()
        let ranks = Set(optimizer.map(\.view.shape.count))
        return MegatronRunState(
            steps: progress.step,
            consumedSamples: progress.consumedSamples,
            optimizerSteps: try count("optimizer_steps"),
            recipe: recipe
        ).groups(hasMatrices: ranks.contains { $0 > 1 }, hasVectors: ranks.contains { $0 <= 1 })
    }

    /// The groups that ``continuedFiles()`` stored.
    private func continuedGroups() throws -> OptimizerGroups? {
        let path = Files.join(checkpoint.path, Self.groupsName)
        guard Files.exists(path) else { return nil }
        return try OptimizerGroups(TorchArchive(FileStorage(path: path), name: path, globals: .listed([])).content)
    }

    /// What a native checkpoint gets of the run of another program besides its tensors: its progress, from which a run of Bridge
    /// resumes, and the groups of its optimizer, for Megatron-Core.
    ///
    /// - Returns: The files; empty for a run of Bridge, and for a checkpoint without steps.
    /// - Throws: `BridgeError` for a damaged file.
    func continuedFiles() throws -> [PlannedFile] {
        guard let directory = checkpoint.torchDist, try recipe() == nil,
            let progress = try TrainStateFile.read(directory), progress.step > 0
        else { return [] }
        let groups = try directory.optimizerGroups()
        var files: [PlannedFile] = []
        if !isOwn {
            let counts = JSONObject([
                ("iteration", JSON(progress.step)), ("consumed_samples", JSON(progress.consumedSamples)),
                ("optimizer_steps", JSON(groups?.steps ?? progress.step)), ("skipped_iterations", JSON(0)),
                ("nan_iterations", JSON(0)),
            ])
            files.append(.literal(name: Self.progressName, JSON.object(counts).text()))
        }
        if let groups {
            let state = CommonState(iteration: progress.step, hasOptimizer: true, groups: groups)
            let bytes = try TorchArchive.bytes(of: state.graph(isInList: false), prefix: "optimizer_groups")
            files.append(.literal(name: Self.groupsName, bytes))
        }
        return files
    }

    private func count(_ key: String) throws -> Int {
        try JSONReader(JSON(contentsOf: progressPath, limit: 1 << 20), name: progressPath).integer(key)
    }

    /// The files that every container has: the source's, and what Bridge stores of a run besides its settings.
    var sharedFiles: [String] {
        let names = checkpoint.manifest.files.map(\.name)
        guard checkpoint.carriesSource else {
            let source = "\(NativeCheckpoint.huggingFaceDirectory)/"
            return names.filter { $0.hasPrefix(source) || $0 == AdapterFiles.configuration }
        }
        let lines = checkpoint.manifest.parameters + checkpoint.manifest.optimizer
        let tensors = Set(lines.flatMap(\.chunks).map(\.file))
        return names.filter {
            !tensors.contains($0) && !TorchDistDirectory.isOwnFile($0) && !Self.settings.contains($0)
        }
    }

    private static let settings = [RunConfiguration.name, RunConfiguration.besideMegatron]

    /// The settings with the sizes of a new layout, under the name that they have in a container; all other lines stay.
    ///
    /// - Parameters:
    ///   - layout: The layout.
    ///   - container: The container.
    /// - Returns: The file; empty for a checkpoint that has none of Bridge's own.
    /// - Throws: `BridgeError` for a damaged file.
    func settings(_ layout: RankLayout, for container: NativeCheckpoint.Container) throws -> [PlannedFile] {
        let path = RunConfiguration.path(in: checkpoint.path)
        guard isOwn || checkpoint.container == .native, Files.exists(path) else { return [] }
        let text = String(decoding: try Files.contents(of: path, limit: RunConfiguration.largestFile), as: UTF8.self)
        let name = container == .native ? RunConfiguration.name : RunConfiguration.besideMegatron
        return [.literal(name: name, try RunConfiguration.relabelled(text, layout: layout, name: path))]
    }
}
