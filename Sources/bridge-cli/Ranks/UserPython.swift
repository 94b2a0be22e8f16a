import BridgeCore
import Foundation

/// The user's own Python, for comparisons with libraries that only Python has.
enum UserPython {
    /// The variable that names the program.
    static let variable = "BRIDGE_PYTHON"

    /// The program: BRIDGE_PYTHON, otherwise python3.
    static var program: String { ProcessInfo.processInfo.environment[variable] ?? "python3" }

    /// Runs a script; what it prints is not shown.
    ///
    /// - Parameters:
    ///   - script: The text of the script.
    ///   - arguments: Its arguments.
    ///   - packages: The packages that it imports, for the message when it fails.
    /// - Throws: `BridgeError` with the last line that the script printed to standard error.
    static func run(_ script: String, _ arguments: [String], packages: String) throws {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program, "-c", script] + arguments
        let errors = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        let printed = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        guard process.terminationStatus != 0 || process.terminationReason != .exit else { return }
        let last = printed.split(separator: "\n").last.map(String.init) ?? "it printed no message"
        throw BridgeError(
            .badConfiguration,
            "\(program) could not compute the comparison: \(last); it needs \(packages), and BRIDGE_PYTHON names another Python"
        )
    }
}
