import BridgeCore
import Foundation
import Glibc
import JSONTree

/// A script in the user's Python that takes lines of JSON and responds with lines of JSON, over a pair of connected sockets.
///
/// The script ends when this side is closed, so it outlives a run that was killed by as long as it has to send.
final class PythonFeed {
    private let program: String
    private let process = Process()
    private let descriptor: Int32
    private let errors: FileHandle
    private var received: [UInt8] = []

    /// Starts a script.
    ///
    /// - Parameters:
    ///   - script: The text of the script.
    ///   - program: The Python.
    /// - Throws: `BridgeError` when it cannot be started.
    init(_ script: String, program: String) throws {
        self.program = program
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw BridgeError.system("cannot connect to \(program)")
        }
        descriptor = ends[0]
        defer { Glibc.close(ends[1]) }
        // A file, because nobody may read a pipe until the script fails.
        var name = Array(Files.join(FileManager.default.temporaryDirectory.path, "bridge-XXXXXX").utf8CString)
        let file = mkstemp(&name)
        if file >= 0 {
            _ = fcntl(file, F_SETFD, FD_CLOEXEC)
            unlink(name)
        }
        errors = file >= 0 ? FileHandle(fileDescriptor: file, closeOnDealloc: true) : .nullDevice
        let theirs = FileHandle(fileDescriptor: ends[1], closeOnDealloc: false)
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [program, "-c", script]
        process.environment = ChildEnvironment.withoutRanks
        (process.standardInput, process.standardOutput, process.standardError) = (theirs, theirs, errors)
        do { try process.run() } catch {
            throw BridgeError(.badConfiguration, "\(program) could not be started: \(error.localizedDescription)")
        }
    }

    deinit { Glibc.close(descriptor) }

    /// The longest that a line may take to be read by the script, in seconds.
    private static let patience = 30.0

    /// Sends a line.
    ///
    /// - Throws: `BridgeError` when the script has ended, has reported an error, or reads nothing for half a minute.
    func send(_ json: JSON) throws {
        if let response = try response(within: 0), let problem = response["error"]?.string {
            throw BridgeError(.network, problem)
        }
        let bytes = json.text(pretty: false) + [10]
        let end = ContinuousClock.now + .seconds(Self.patience)
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
            if count > 0 { done += count }
            if count >= 0 || errno == EINTR { continue }
            guard errno == EAGAIN else { throw ended() }
            guard ContinuousClock.now < end else {
                throw BridgeError(.network, "\(program) takes no more data")
            }
            var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            _ = poll(&ready, 1, 200)
        }
    }

    /// The next line that the script has written.
    ///
    /// - Parameter seconds: How long to wait for it.
    /// - Returns: The line; nil if there is none in time.
    /// - Throws: `BridgeError` when the script has ended.
    func response(within seconds: Double) throws -> JSON? {
        let end = ContinuousClock.now + .seconds(seconds)
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            if let line = received.firstIndex(of: 10) {
                let text = Array(received[..<line])
                received.removeSubrange(...line)
                if let json = try? JSON(parsing: text) { return json }
                continue
            }
            let count = recv(descriptor, &piece, piece.count, Int32(MSG_DONTWAIT))
            if count > 0 { received += piece[..<count] }
            if count > 0 || count < 0 && errno == EINTR { continue }
            guard count < 0, errno == EAGAIN else { throw ended() }
            guard ContinuousClock.now < end else { return nil }
            var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            _ = poll(&ready, 1, 200)
        }
    }

    /// Closes this side, and waits some seconds for the end of the script, which may leave nothing behind then.
    func close() {
        shutdown(descriptor, Int32(SHUT_RDWR))
        let end = ContinuousClock.now + .seconds(Self.longestEnd)
        while process.isRunning, ContinuousClock.now < end { usleep(10_000) }
    }

    private static let longestEnd = 10.0

    /// The error of a script that has ended, with the last line that it printed.
    private func ended() -> BridgeError {
        close()
        guard !process.isRunning else {
            return BridgeError(.network, "\(program) has closed the pipe, and does not end")
        }
        try? errors.seek(toOffset: 0)
        let printed = String(decoding: (try? errors.readToEnd()) ?? Data(), as: UTF8.self)
        let isExit = process.terminationReason == .exit
        // What was printed before a signal is not its reason.
        let last = isExit ? printed.split(separator: "\n").last.map { ": \($0)" } ?? "" : ""
        let how = isExit ? "status" : "signal"
        return BridgeError(.badConfiguration, "\(program) ended with \(how) \(process.terminationStatus)\(last)")
    }
}
