import Foundation
import JSONTree
import TestSupport

/// A server of Tests/HubServer that runs as long as this object.
final class PythonServer {
    /// What it said of itself when it began to listen.
    let announcement: JSON

    private let process = Process()
    private let input = Pipe()

    /// Starts one.
    init(_ script: String, _ arguments: [String]) throws {
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

/// A proxy on this machine (Tests/HubServer/proxy_server.py).
final class ProxyServer {
    let address: String
    private let server: PythonServer
    private let directory: TemporaryDirectory

    /// Starts one that passes on what it is asked for, or responses everything with a status.
    init(refusingWith status: Int? = nil) throws {
        directory = try TemporaryDirectory()
        try directory.write([], to: "log")
        server = try PythonServer(
            "proxy_server.py",
            [directory.path("log")] + (status.map { ["--refuse", "\($0)"] } ?? [])
        )
        address = server.announcement["address"]?.string ?? ""
    }

    /// What it was asked for, "METHOD TARGET" each.
    func requests() throws -> [String] {
        try String(contentsOfFile: directory.path("log"), encoding: .utf8).split(separator: "\n").map(String.init)
    }
}
