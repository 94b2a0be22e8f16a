import BridgeCore
import Glibc
import Synchronization

/// Turns Ctrl-C, SIGTERM and the end of the session into a clean stop; a second Ctrl-C or SIGTERM ends the process at once.
enum Interrupt {
    /// What the commands hand to the library.
    static let cancellation = Cancellation()

    /// Whether a signal ends the process at once, because nothing would be lost.
    private static let isExpendable = Atomic(false)
    private static let wantsJSON = Atomic(false)
    /// Whether a signal is answered with a word, because what it stops takes a while to end.
    private static let isSlow = Atomic(false)

    /// Whether something was written to standard output, behind which a document about the end would be a second one.
    private static let hasOutput = Atomic(false)
    /// Whether a signal has come that asks the whole program to end, where Ctrl-C may stop one answer.
    private static let wasTerminated = Atomic(false)

    /// Decides whether a signal ends the process at once: while nothing would be lost or left behind.
    static func exitsImmediately(_ value: Bool) { isExpendable.store(value, ordering: .relaxed) }

    /// Has a signal that ends the process at once print its error as JSON too.
    static func answersInJSON(_ value: Bool) { wantsJSON.store(value, ordering: .relaxed) }

    /// Has the first signal say that a step is finished and saved before the process ends.
    static func finishesStep() {
        exitsImmediately(false)
        isSlow.store(true, ordering: .relaxed)
    }

    /// Takes note that the result has begun to be written.
    static func hasBegunOutput() { hasOutput.store(true, ordering: .relaxed) }

    /// Whether SIGTERM or SIGHUP has come.
    static var endsProgram: Bool { wasTerminated.load(ordering: .relaxed) }

    private static func answer() {
        let sentence: StaticString = "\nthis step is finished and saved; a second signal ends at once, without saving\n"
        _ = write(STDERR_FILENO, sentence.utf8Start, sentence.utf8CodeUnitCount)
    }

    /// Does something that a signal may not end at once, because it would leave half a result, or lose what can be kept.
    static func withGracefulInterrupt<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = isExpendable.exchange(false, ordering: .relaxed)
        defer { exitsImmediately(before) }
        return try body()
    }

    /// Only calls that are safe in a signal handler.
    private static func endNow() -> Never {
        let sentence: StaticString = "error: interrupted, before there was a result\n"
        let document: StaticString = """
            {"error": {"code": "cancelled", "message": "interrupted, before there was a result", "names": []}}

            """
        if wantsJSON.load(ordering: .relaxed), !hasOutput.load(ordering: .relaxed) {
            _ = write(STDOUT_FILENO, document.utf8Start, document.utf8CodeUnitCount)
        }
        _ = write(STDERR_FILENO, sentence.utf8Start, sentence.utf8CodeUnitCount)
        _exit(130)
    }

    /// Starts to listen.
    ///
    /// - Parameter exitsImmediately: Whether a signal ends the process at once from here on, see ``exitsImmediately(_:)``.
    static func install(exitsImmediately: Bool) {
        // Made here, so that no handler is the first to ask for them.
        _ = cancellation.isCancelled
        _ = isSlow.load(ordering: .relaxed)
        _ = hasOutput.load(ordering: .relaxed)
        _ = wasTerminated.load(ordering: .relaxed)
        _ = wantsJSON.load(ordering: .relaxed)
        self.exitsImmediately(exitsImmediately)
        // Past `ulimit -f` a write then fails like any other, where the signal would end the process.
        signal(SIGXFSZ, SIG_IGN)
        // The same for a pipe that nobody reads: a conversion whose messages are lost is still a conversion.
        signal(SIGPIPE, SIG_IGN)
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                if number == SIGTERM { Interrupt.wasTerminated.store(true, ordering: .relaxed) }
                if Interrupt.isExpendable.load(ordering: .relaxed) { Interrupt.endNow() }
                if Interrupt.isSlow.load(ordering: .relaxed) { Interrupt.answer() }
                Interrupt.cancellation.cancel()
                // Not in a loop: its list takes memory, and the signal may have come in the middle of getting some.
                signal(SIGINT, SIG_DFL)
                signal(SIGTERM, SIG_DFL)
            }
        }
        guard !ignoresHangup else { return }
        // The end of a session sends it more than once and together with SIGTERM, so it never counts as the second signal.
        signal(SIGHUP) { _ in
            Interrupt.wasTerminated.store(true, ordering: .relaxed)
            if Interrupt.isExpendable.load(ordering: .relaxed) { Interrupt.endNow() }
            Interrupt.cancellation.cancel()
        }
    }

    /// Whether whoever started the program, nohup for instance, has it survive the end of the session.
    private static var ignoresHangup: Bool {
        var action = sigaction()
        sigaction(SIGHUP, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// The settings that the terminal gets back when a signal ends the process; nil where they were not changed.
    ///
    /// Written before the handlers can read it, see ``restoring(_:_:)``.
    nonisolated(unsafe) private static var terminal: termios?

    /// Changes the settings of the terminal on standard input, which gets back others when a signal ends the process.
    static func restoring(_ original: termios, _ change: () -> Void) {
        terminal = original
        change()
    }

    /// Lets a signal end the process while a person is asked for something; later ones stop what is done next.
    static func withDefaultSignals<Answer>(_ ask: () -> Answer) -> Answer {
        for number in ignoresHangup ? [SIGINT, SIGTERM] : [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { number in
                if var original = Interrupt.terminal { tcsetattr(STDIN_FILENO, TCSANOW, &original) }
                var newline = UInt8(ascii: "\n")
                _ = write(STDERR_FILENO, &newline, 1)
                _exit(128 + number)
            }
        }
        let answer = ask()
        terminal = nil
        cancellation.renew()
        install(exitsImmediately: false)
        return answer
    }
}
