import BridgeSupport

/// The iteration of a directory that a run resumes from: the one that the directory names as its newest.
public struct ResumePoint: Sendable {
    /// The directory of the iteration; nil where there is none.
    public let path: String?
    /// Its number; nil where there is none, or it has none.
    public var iteration: Int? { path.flatMap { NativeCheckpoint.iteration(inName: Files.name(of: $0)) } }
    /// Why it is not the last one of the directory, or not the one that is named, in one sentence; nil where it is both.
    public let warning: String?

    /// Finds it.
    ///
    /// - Parameter directory: A directory with iterations.
    /// - Throws: `BridgeError` when the directory cannot be read.
    public init(in directory: String) throws {
        let found = try NativeCheckpoint.iterations(in: directory)
        let latest = Files.join(directory, NativeCheckpoint.latestName)
        guard Files.exists(latest) else {
            (path, warning) = (found.last?.path, nil)
            return
        }
        do {
            let named = try NativeCheckpoint.iterationPath(directory)
            let number = NativeCheckpoint.iteration(inName: Files.name(of: named)) ?? .max
            path = named
            warning = Self.warning(of: found.map(\.iteration).filter { $0 > number }, after: number, latest)
        } catch let error as BridgeError {
            let text = (try? Files.contents(of: latest, limit: 64)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            let number = Int(text.filter { !$0.isWhitespace }) ?? .max
            let before = found.last { $0.iteration < number }
            path = before?.path
            warning =
                "\(error.message); "
                + (before.map { "the newest complete iteration before it is \($0.path)" }
                    ?? "no iteration before it is complete")
        }
    }

    private init(path: String?, warning: String?) {
        self.path = path
        self.warning = warning
    }

    /// Finds the checkpoint of another run that a run starts from.
    ///
    /// - Parameters:
    ///   - path: An iteration, or a directory with iterations.
    ///   - step: The number of the iteration; nil for the one that the directory names as its newest.
    /// - Throws: `BridgeError` when the directory cannot be read, or does not have that iteration.
    public init(loading path: String, step: Int?) throws {
        let isIteration = NativeCheckpoint.isIteration(path)
        let own = NativeCheckpoint.iteration(inName: Files.name(of: Files.trimmed(path)))
        if isIteration, step == nil || step == own {
            self.init(path: Files.trimmed(path), warning: nil)
            return
        }
        guard let step else {
            try self.init(in: path)
            return
        }
        let found = isIteration ? [] : try NativeCheckpoint.iterations(in: path)
        guard let one = found.first(where: { $0.iteration == step }) else {
            let numbers = found.map { "\($0.iteration)" }.joined(separator: ", ")
            throw BridgeError(
                .badArgument,
                "checkpoint.ckpt_step is \(step), and checkpoint.load is \(path), which "
                    + (isIteration
                        ? "is an iteration itself; set one of them"
                        : found.isEmpty ? "has no iterations" : "has the iterations \(numbers); set one of these")
            )
        }
        self.init(path: one.path, warning: nil)
    }

    private static func warning(of later: [Int], after number: Int, _ latest: String) -> String? {
        guard let last = later.last else { return nil }
        let which =
            later.count == 1
            ? "iteration \(last) is later, and is replaced"
            : "\(later.count) iterations up to \(last) are later, and are replaced"
        return "\(latest) names iteration \(number), from which the run resumes; \(which) when the run saves the same "
            + "step"
    }
}
