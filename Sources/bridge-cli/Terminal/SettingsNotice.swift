import BridgeCore
import JSONTree
import Synchronization

/// Tells the user once which settings of a model's files are unknown, and keeps them for `--json`.
enum SettingsNotice {
    private static let found = Mutex<[String: [UnknownSettings]]>([:])
    private static let edited = Mutex<Set<String>>([])

    /// Takes the unknown settings of a model.
    ///
    /// - Parameters:
    ///   - unknown: The keys, by file.
    ///   - directory: Where the files are.
    ///   - isStrict: Whether unknown settings are an error.
    /// - Throws: `BridgeError` with the keys, where they are an error.
    static func take(_ unknown: [UnknownSettings], of directory: String, isStrict: Bool) throws {
        let names = unknown.flatMap { file in file.keys.map { "\(file.file): \($0)" } }
        guard !isStrict else {
            throw BridgeError(
                .badConfiguration,
                "\(directory) has \(ByteFormat.counted(names.count, "unknown setting")), which --strict does not allow; "
                    + "remove them, or run without --strict to ignore them",
                names: names
            )
        }
        // The same model is opened more than once by some commands.
        guard found.withLock({ $0.updateValue(unknown, forKey: directory) == nil }) else { return }
        Output.printError(
            "\(Style.yellow("warning:")) \(directory) has \(ByteFormat.counted(names.count, "unknown setting")), which "
                + "\(names.count == 1 ? "is" : "are") ignored: \(names.joined(separator: ", ")) (--strict makes this an error)"
        )
    }

    /// Takes the files of a checkpoint that were edited or damaged after it was saved, and are used as they are.
    static func takeEdited(_ files: [String], of checkpoint: String) {
        guard edited.withLock({ $0.insert(checkpoint).inserted }) else { return }
        Output.printError(
            "\(Style.yellow("warning:")) \(files.map { "\(checkpoint)/\($0)" }.joined(separator: ", ")) "
                + "\(files.count == 1 ? "differs from the file" : "differ from the files") saved with the checkpoint, and "
                + "\(files.count == 1 ? "is" : "are") used as \(files.count == 1 ? "it is" : "they are") now"
        )
    }

    /// What was found: for one model the keys by file, for several these by directory; nil where there was nothing.
    static var json: JSON? {
        let all = found.withLock { $0 }
        guard !all.isEmpty else { return nil }
        func files(_ unknown: [UnknownSettings]) -> JSON {
            .object(JSONObject(unknown.map { ($0.file, .array($0.keys.map { .string($0) })) }))
        }
        let sorted = all.sorted { $0.key < $1.key }
        return sorted.count == 1
            ? files(sorted[0].value) : .object(JSONObject(sorted.map { ($0.key, files($0.value)) }))
    }
}
