import Foundation
public import JSONTree

/// A server of Tests/HubServer that runs as long as this object.
public final class PythonServer {
    /// What it has printed when it began to listen.
    public let announcement: JSON

    private let process = Process()
    private let input = Pipe()

    /// Starts one.
    public init(_ script: String, _ arguments: [String]) throws {
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "\(Fixtures.repository)/Tests/HubServer/\(script)"] + arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = input
        try process.run()
        var line = Data()
        while !line.contains(10) {
            let piece = output.fileHandleForReading.availableData
            guard !piece.isEmpty else { break }
            line += piece
        }
        announcement = try JSON(parsing: [UInt8](line))
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
    }
}
