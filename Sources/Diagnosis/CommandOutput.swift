import Foundation

/// Runs another program for what it prints.
enum CommandOutput {
    /// What a program prints to standard output; nil when it fails, or takes too long and is then ended.
    static func of(_ path: String, _ arguments: [String], atMost limit: Duration) -> String? {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let output = Pipe()
        process.standardOutput = output
        guard (try? process.run()) != nil else { return nil }
        let reader = output.fileHandleForReading
        let text = TimedTask { (try? reader.readToEnd()) ?? Data() }
        guard let bytes = try? text.value(atMost: limit) else {
            process.terminate()
            return nil
        }
        process.waitUntilExit()
        return process.terminationStatus == 0 ? String(decoding: bytes, as: UTF8.self) : nil
    }
}
