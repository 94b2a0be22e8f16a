import BridgeCore
import JSONTree
import Synchronization

/// Prints the unknown settings of a model's files once, and stores them for `--json`.
enum SettingsNotice {
    private static let found = Mutex<[String: [UnknownSettings]]>([:])
    private static let edited = Mutex<Set<String>>([])
    private static let editedInVain = Mutex<Set<String>>([])

    /// Takes the unknown settings of a model.
    ///
    /// - Parameters:
    ///   - unknown: The keys, by file.
    ///   - directory: The directory of the files.
    ///   - isStrict: Whether unknown settings are an error.
    /// - Throws: `BridgeError` with the keys, if they are an error.
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
        // Some commands open the same model more than once.
        guard found.withLock({ $0.updateValue(unknown, forKey: directory) == nil }) else { return }
        Output.printError(
            "\(Style.yellow("warning:")) \(directory) has \(ByteFormat.counted(names.count, "unknown setting")), which "
                + "\(names.count == 1 ? "is" : "are") ignored: \(names.joined(separator: ", ")) (--strict makes this an error)"
        )
    }

    /// Warns of files of a checkpoint that were changed after it was saved.
    static func takeEdited(_ files: [String], of checkpoint: String) {
        guard edited.withLock({ $0.insert(checkpoint).inserted }) else { return }
        Output.printError(
            "\(Style.yellow("warning:")) \(files.map { "\(checkpoint)/\($0)" }.joined(separator: ", ")) "
                + "\(files.count == 1 ? "differs from the file" : "differ from the files") saved with the checkpoint, and "
                + "\(files.count == 1 ? "is" : "are") used as \(files.count == 1 ? "it is" : "they are") now"
        )
    }

    /// Warns of files of a checkpoint that were changed after it was saved and that no model is read from.
    static func takeEditedInVain(_ files: [String], of checkpoint: String) {
        guard editedInVain.withLock({ $0.insert(checkpoint).inserted }) else { return }
        Output.printError(
            "\(Style.yellow("warning:")) \(files.map { "\(checkpoint)/\($0)" }.joined(separator: ", ")) "
                + "\(files.count == 1 ? "differs from the file" : "differ from the files") saved with the checkpoint, and the "
                + "model is not read from there; its settings are those of \(checkpoint)/huggingface"
        )
    }

    /// The unknown settings: for one model the keys by file, for several these by directory; nil without any.
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
