import Foundation
import JSONTree
import TestSupport

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
