import BridgeCore
import JSONTree

/// Output files of commands: an existing file is replaced only if the same command has written it.
enum OutputFile {
    /// The key of the header's metadata that names the command.
    private static let key = "written_by"

    /// The metadata of a file that a command writes.
    static func metadata(of command: String) -> JSONObject { JSONObject([(key, .string("bridge \(command)"))]) }

    /// Refuses to replace a file that the command has not written.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - command: The command, as the metadata names it.
    ///   - overwrite: Whether any file may be replaced.
    /// - Throws: `BridgeError` with code `destinationTaken`.
    static func check(_ path: String, of command: String, overwrite: Bool) throws {
        guard !overwrite, Files.exists(path) else { return }
        let header = try? SafetensorsFile(path: path).header
        guard header?.metadata[key] == metadata(of: command)[key] else {
            throw BridgeError(
                .destinationTaken,
                "\(path) exists and was not written by 'bridge \(command)'; choose another file, or pass --overwrite to replace it"
            )
        }
    }
}
