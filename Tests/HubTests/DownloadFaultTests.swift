import Foundation
import TestSupport
import Testing

/// Every system call of a download fails once, and the process is killed at each: the next run ends with every byte.
@Suite struct DownloadFaultTests {
    @Test func aDownloadSurvivesEveryFault() throws {
        let server = try HubServer()
        let scratch = try TemporaryDirectory()
        try server.put(directory: Fixtures.checkpoint("mistral-single-file"))
        let expected = TemporaryDirectory.bytes(of: Fixtures.checkpoint("mistral-single-file"))
        let cache = "\(server.home)/hub"
        let arguments = ["hub", "download", "org/name"]
        let run = FaultRun(arguments: arguments, under: cache, environment: server.variables)
        /// The files of the snapshot, by name.
        func snapshot() -> [String: Data] {
            let paths = TemporaryDirectory.content(of: cache).filter { $0.contains("/snapshots/") }
            let files = paths.compactMap { path -> (String, Data)? in
                let name = URL(fileURLWithPath: path).lastPathComponent
                return expected[name].flatMap { _ in FileManager.default.contents(atPath: "\(cache)/\(path)") }.map {
                    (name, $0)
                }
            }
            return Dictionary(files) { first, _ in first }
        }
        // A broken connection is tried again after a pause, so only what takes none.
        let network: [(name: String, actions: [FaultRun.Action])] = [
            ("connect", [.kill]), ("recv", [.short, .interrupted, .kill]),
        ]
        var points = 0
        for (call, actions) in FaultRun.calls + network {
            try? FileManager.default.removeItem(atPath: cache)
            let count = try run.count(call, in: scratch)
            for number in 1...max(1, count) where count > 0 {
                for action in actions {
                    points += 1
                    try? FileManager.default.removeItem(atPath: cache)
                    let outcome = try run.run(call, number, action)
                    let what = "\(call) \(number) of \(count), \(action.rawValue): \(outcome.errors)"
                    #expect(outcome.signal == nil || (outcome.signal == SIGKILL && action == .kill), "\(what)")
                    let again = try BridgeProcess(arguments, environment: server.variables).wait()
                    #expect(again.status == 0, "again after \(what): \(again.errors)")
                    #expect(snapshot() == expected, "\(what)")
                }
            }
        }
        #expect(points > 20)
    }
}
