import Foundation

extension BridgeProcess {
    /// Waits for an effect of the process.
    ///
    /// - Parameters:
    ///   - effect: The effect, for the error.
    ///   - hasHappened: Called about a thousand times a second.
    /// - Throws: `WaitError` when the process ends before, or after two minutes.
    public func wait(until effect: String, _ hasHappened: () throws -> Bool) throws {
        try TestSupport.wait(until: effect) {
            // What a process did last may become visible after its end.
            let hasEnded = !isRunning
            if try hasHappened() { return true }
            if hasEnded { throw WaitError(description: "the process ended before \(effect): \(try wait())") }
            return false
        }
    }

    /// Waits until it has printed something.
    public func waitForOutput(containing text: String = "") throws {
        try wait(until: "it prints '\(text)'") { !outputSoFar.isEmpty && (text.isEmpty || outputSoFar.contains(text)) }
    }

    /// Waits until its threads have computed for some seconds of processor time.
    public func waitForWork(seconds: Double) throws {
        let ticks = Int(seconds * Double(sysconf(Int32(_SC_CLK_TCK))))
        try wait(until: "\(seconds) s of work") {
            let stat = (try? String(contentsOfFile: "/proc/\(identifier)/stat", encoding: .utf8)) ?? ""
            let fields = (stat.split(separator: ")").last ?? "").split(separator: " ")
            return fields.count > 11 && Int(fields[11]) ?? 0 >= ticks
        }
    }

    /// One line of the system's status of the process.
    private func status(_ name: String) -> String {
        let text = (try? String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(name):") }
        return line.map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) } ?? ""
    }

    /// Waits until the process is stopped, by `SIGSTOP` or by the fault ``FaultRun/Action/stop``.
    public func waitUntilStopped() throws { try wait(until: "it is stopped") { status("State").hasPrefix("T") } }

    /// Stops the process once it handles signals itself.
    ///
    /// - Returns: Whether it is stopped; false when it has ended before.
    public func stopWhenHandlingSignals() -> Bool {
        do {
            try wait(until: "it handles SIGHUP") {
                (UInt64(status("SigCgt"), radix: 16) ?? 0) >> UInt64(SIGHUP - 1) & 1 == 1
            }
            send(SIGSTOP)
            try waitUntilStopped()
        } catch { return false }
        return true
    }

    /// Lets a stopped process continue with a signal, which is delivered before anything else.
    public func resume(with signal: Int32) {
        send(signal)
        send(SIGCONT)
    }
}
