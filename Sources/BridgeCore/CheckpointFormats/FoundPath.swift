package import BridgeSupport

/// What a path leads to, for errors of commands that expect something else there.
package enum FoundPath {
    /// A sentence without its subject, such as `is a Hugging Face model`.
    package static func description(of path: String) -> String {
        switch Files.kind(of: path) {
        case nil: return "does not exist"
        case .file: return "is a file"
        case .other: return "is neither a file nor a directory"
        case .directory: break
        }
        guard let names = try? Files.list(path) else { return "is a directory that cannot be read" }
        if names.isEmpty { return "is an empty directory" }
        if let other = otherContainer(names) { return "is \(other), which cannot be read" }
        if names.contains(NativeCheckpoint.manifestName) { return "is an iteration of a Megatron checkpoint" }
        if TorchDistDirectory.isOne(names) { return "is an iteration of a Megatron checkpoint (torch_dist)" }
        if names.contains(NativeCheckpoint.latestName) {
            let iterations = names.filter { NativeCheckpoint.iteration(inName: $0) != nil }.sorted()
            let inside = iterations.last.flatMap { try? Files.list(Files.join(path, $0)) } ?? []
            if let other = otherContainer(inside) { return "contains \(other), which cannot be read" }
            if !iterations.isEmpty { return "is a directory with iterations of a Megatron checkpoint" }
            return names.contains(NativeCheckpoint.releaseName)
                ? "has the weights of a Megatron checkpoint alone (\(NativeCheckpoint.releaseName)), and no iterations"
                : "has \(NativeCheckpoint.latestName), but no iterations"
        }
        if names.contains(AdapterFiles.configuration) { return "is an adapter in PEFT's format" }
        if names.contains(AdapterFiles.lora) { return "is an adapter (\(AdapterFiles.lora))" }
        if HuggingFaceDirectory.Style.allCases.contains(where: { names.contains($0.configurationName) }) {
            return "is a Hugging Face model"
        }
        return "is a directory without a checkpoint"
    }

    /// What Megatron-LM and Megatron Bridge write, by the names in a directory; nil for other names.
    package static func otherContainer(_ names: [String]) -> String? {
        if names.contains(where: { $0.hasSuffix(".distcp") }), !TorchDistDirectory.isOne(names) {
            return "an incomplete torch_dist checkpoint (.distcp files without \(DistributedMetadata.name))"
        }
        if names.contains(where: { $0.hasPrefix("mp_rank_") }) {
            return "a legacy checkpoint of Megatron-LM (mp_rank_*)"
        }
        return nil
    }

    /// The error for a path that leads to something else than is expected.
    ///
    /// - Parameters:
    ///   - path: The path.
    ///   - expected: What is expected there, such as `a Megatron checkpoint`.
    /// - Returns: The error: with code `fileSystem` where nothing is there, else with `badArgument`.
    package static func error(_ path: String, expected: String) -> BridgeError {
        let found = "\(path) \(description(of: path))"
        guard !Files.exists(path) else { return BridgeError(.badArgument, "\(found); expected \(expected)") }
        let advice = suggestion(for: path).map { ", did you mean \($0)?" } ?? "; expected \(expected)"
        return BridgeError(.fileSystem, found + advice)
    }

    /// The path of a neighbour with a similar name; of iterations the newest one.
    private static func suggestion(for path: String) -> String? {
        let (parent, name) = (Files.parent(of: path), Files.name(of: path))
        guard let names = try? Files.list(parent) else { return nil }
        let neighbours = names.filter { Files.kind(of: Files.join(parent, $0)) == .directory }
        let iterations = neighbours.compactMap { NativeCheckpoint.iteration(inName: $0) }
        let near =
            NativeCheckpoint.iteration(inName: name) != nil && !iterations.isEmpty
            ? iterations.max().map { NativeCheckpoint.iterationName($0) }
            : NearestName.first(of: name, among: neighbours)
        // A name alone stays one.
        return near.map { path.contains("/") ? Files.join(parent, $0) : $0 }
    }
}
