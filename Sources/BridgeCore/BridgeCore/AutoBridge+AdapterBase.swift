import BridgeSupport
import CheckpointFormats

extension AutoBridge {
    /// A warning if adapters name another base model than this one.
    ///
    /// Adapters of another model with the same shapes load without an error but give meaningless results.
    ///
    /// - Parameters:
    ///   - base: The model that the adapters name, a directory or a hub id with its revision.
    ///   - adapter: The directory of the adapters.
    /// - Returns: A sentence for the user; nil if the two are, or may be, the same model.
    func baseNotes(of base: String?, adapter: String) -> [String] {
        guard let base, !base.isEmpty, let own = modelPath else { return [] }
        let (theirs, ours) = (ModelLocation(base), ModelLocation(own))
        guard !theirs.maySame(as: ours) else { return [] }
        return [
            "\(adapter) was trained on \(base), but the model is \(own); make sure that they are the same, because adapters of "
                + "another model with the same shapes load without an error"
        ]
    }

    /// The location of this bridge's model: a Hugging Face directory or an iteration of a checkpoint.
    var modelPath: String? { directory?.path ?? processorDirectory.map { Files.parent(of: $0) } }
}

/// The location of a model, for a comparison.
private struct ModelLocation {
    /// The repository's id; nil for a directory.
    private let repository: String?
    /// The status of the directory; nil if it does not exist.
    private let identity: String?
    private let isNative: Bool
    private let name: String
    private let path: String

    init(_ text: String) {
        let path = (try? NativeCheckpoint.iterationPath(text)) ?? Files.trimmed(text)
        self.path = path
        identity = Files.identity(of: path)
        isNative = Files.exists(Files.join(path, NativeCheckpoint.manifestName))
        let cached = path.split(separator: "/").last { $0.hasPrefix("models--") }.map {
            String($0.dropFirst("models--".count).replacing("--", with: "/"))
        }
        repository = cached ?? (identity == nil ? HubRepository(text)?.id : nil)
        name = (repository ?? Files.name(of: path)).split(separator: "/").last.map { $0.lowercased() } ?? ""
    }

    /// Whether the two may be the same model.
    func maySame(as other: ModelLocation) -> Bool {
        if let identity, identity == other.identity { return true }
        if let repository, let theirs = other.repository { return repository.lowercased() == theirs.lowercased() }
        // A checkpoint does not contain the directory that it was imported from.
        if isNative != other.isNative { return true }
        if identity != nil, other.identity != nil { return isCopy(of: other) }
        return name == other.name
    }

    /// The number of bytes of a weight file that are compared, at its beginning and in its middle.
    private static let sample = 1 << 16

    /// Whether the weight files of two directories have the same names, sizes and, in samples, bytes.
    private func isCopy(of other: ModelLocation) -> Bool {
        func files(_ path: String) -> [String] {
            ((try? Files.list(path)) ?? []).filter { $0.hasSuffix(".safetensors") }.sorted()
        }
        let names = files(path)
        guard !names.isEmpty, names == files(other.path) else { return false }
        return names.allSatisfy { name in
            guard let mine = try? FileStorage(path: Files.join(path, name)),
                let theirs = try? FileStorage(path: Files.join(other.path, name)), mine.byteCount == theirs.byteCount
            else { return false }
            let middle = mine.byteCount / 2
            let ranges = [0..<min(Self.sample, mine.byteCount), middle..<min(middle + Self.sample, mine.byteCount)]
            return ranges.allSatisfy { range in
                guard let one = try? mine.bytes(range), let two = try? theirs.bytes(range) else { return false }
                return one == two
            }
        }
    }
}
