import Foundation

extension BridgeProcess {
    /// One line of what the system tells about the process.
    private func status(_ name: String) -> String {
        let text = (try? String(contentsOfFile: "/proc/\(identifier)/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(name):") }
        return line.map { $0.dropFirst(name.count + 1).trimmingCharacters(in: .whitespaces) } ?? ""
    }

    /// Stops the process where it is.
    ///
    /// - Returns: Whether it is stopped; false when it has ended before.
    func hold() -> Bool {
        send(SIGSTOP)
        while isRunning {
            if status("State").hasPrefix("T") { return true }
            usleep(100)
        }
        return false
    }

    /// Stops the process as soon as something is so.
    ///
    /// - Parameter condition: Asked again and again.
    /// - Returns: Whether it is stopped; false when it has ended before.
    func hold(when condition: () -> Bool) -> Bool {
        while isRunning, !condition() { usleep(50) }
        return isRunning && hold()
    }

    /// Stops the process once it handles signals itself.
    ///
    /// - Returns: Whether it is stopped; false when it has ended before.
    func holdWhenListening() -> Bool {
        hold { (UInt64(status("SigCgt"), radix: 16) ?? 0) >> UInt64(SIGHUP - 1) & 1 == 1 }
    }

    /// Lets a held process continue with a signal, which it gets before anything else.
    func release(with signal: Int32) {
        send(signal)
        send(SIGCONT)
    }
}
