import BridgeCore
import Glibc
import Synchronization

/// Handles SIGINT, SIGTERM and SIGHUP by cancellation; a second SIGINT or SIGTERM ends the process at once.
enum Interrupt {
    /// The cancellation for the library.
    static let cancellation = Cancellation()

    /// Whether a signal ends the process at once, because there is no result to lose.
    private static let isExpendable = Atomic(false)
    private static let wantsJSON = Atomic(false)
    /// Whether a signal prints a message, because stopping takes a while.
    private static let isSlow = Atomic(false)

    /// Whether output was written, after which a JSON error would be a second document.
    private static let hasOutput = Atomic(false)
    /// Whether SIGTERM or SIGHUP was received; Ctrl-C may stop only one answer.
    private static let wasTerminated = Atomic(false)

    /// Sets whether a signal ends the process at once: while there is no result to lose.
    static func exitsImmediately(_ value: Bool) { isExpendable.store(value, ordering: .relaxed) }

    /// Sets whether a signal that ends the process at once also prints its error as JSON.
    static func answersInJSON(_ value: Bool) { wantsJSON.store(value, ordering: .relaxed) }

    /// Sets the message of the first signal: the step is finished and saved before the process ends.
    static func finishesStep() {
        exitsImmediately(false)
        isSlow.store(true, ordering: .relaxed)
    }

    /// Whether nothing is printed, because the launcher of ranks prints.
    private static let isSilent = Atomic(false)
    /// Whether this process is one of several ranks, which their launcher ends with SIGTERM when another has failed.
    private static let isRank = Atomic(false)
    /// The process that signals are passed on to; 0 for none.
    private static let launcher = Atomic<Int32>(0)

    /// Sets the rank of this process, of which only the first prints; nil for the only process.
    static func use(rank: Int?) {
        isSilent.store((rank ?? 0) > 0, ordering: .relaxed)
        isRank.store(rank != nil, ordering: .relaxed)
    }

    /// Lets signals end the process at once, and prints nothing: its error is reported elsewhere.
    static func endsSilently() { for number in [SIGINT, SIGTERM, SIGHUP, SIGUSR1] { signal(number, SIG_DFL) } }

    /// Ends the process after some seconds, unless `alarm(0)` is called before: while MPI waits for all ranks.
    static func endsAfter(seconds: UInt32) {
        signal(SIGALRM) { _ in
            let sentence: StaticString =
                "error: the ranks did not connect or end together; one of them is stopped or stuck\n"
            _ = write(STDERR_FILENO, sentence.utf8Start, sentence.utf8CodeUnitCount)
            _exit(1)
        }
        alarm(seconds)
    }

    /// Passes the first SIGINT or SIGTERM on to a launcher of ranks as SIGUSR1, and the second one as SIGTERM.
    static func forwards(to process: Int32) {
        launcher.store(process, ordering: .relaxed)
        for number in [SIGINT, SIGTERM] {
            signal(number) { _ in
                Interrupt.answer()
                kill(Interrupt.launcher.load(ordering: .relaxed), SIGUSR1)
                for number in [SIGINT, SIGTERM] {
                    signal(number) { _ in kill(Interrupt.launcher.load(ordering: .relaxed), SIGTERM) }
                }
            }
        }
    }

    /// Records that output has started.
    static func hasBegunOutput() { hasOutput.store(true, ordering: .relaxed) }

    /// Whether SIGTERM or SIGHUP was received.
    static var endsProgram: Bool { wasTerminated.load(ordering: .relaxed) }

    private static func answer() {
        guard !isSilent.load(ordering: .relaxed) else { return }
        let sentence: StaticString =
            "\nending: a step that has begun is finished and saved; a second signal ends at once, without saving\n"
        _ = write(STDERR_FILENO, sentence.utf8Start, sentence.utf8CodeUnitCount)
    }

    /// Runs an operation that a signal must not end at once, because it would leave a partial result or lose one.
    static func withGracefulInterrupt<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = isExpendable.exchange(false, ordering: .relaxed)
        defer { exitsImmediately(before) }
        return try body()
    }

    /// Uses only async-signal-safe calls.
    private static func endNow() -> Never {
        if isSilent.load(ordering: .relaxed) { _exit(130) }
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

    /// Installs the signal handlers.
    ///
    /// - Parameter exitsImmediately: Whether a signal ends the process at once from here on, see ``exitsImmediately(_:)``.
    static func install(exitsImmediately: Bool) {
        // Initialized here, so that no handler is the first to use them.
        _ = cancellation.isCancelled
        _ = isSlow.load(ordering: .relaxed)
        _ = hasOutput.load(ordering: .relaxed)
        _ = wasTerminated.load(ordering: .relaxed)
        _ = wantsJSON.load(ordering: .relaxed)
        self.exitsImmediately(exitsImmediately)
        // A write above `ulimit -f` then fails with an error instead of a signal.
        signal(SIGXFSZ, SIG_IGN)
        // The same for a closed pipe: a conversion must not end because its messages cannot be printed.
        signal(SIGPIPE, SIG_IGN)
        _ = isSilent.load(ordering: .relaxed)
        _ = isRank.load(ordering: .relaxed)
        _ = launcher.load(ordering: .relaxed)
        // A launcher of ranks passes SIGUSR1 on, and nothing else.
        for number in [SIGINT, SIGTERM, SIGUSR1] {
            signal(number) { number in
                if number != SIGINT { Interrupt.wasTerminated.store(true, ordering: .relaxed) }
                if Interrupt.isExpendable.load(ordering: .relaxed) {
                    // The rank that failed reports why.
                    if number == SIGTERM, Interrupt.isRank.load(ordering: .relaxed) { _exit(130) }
                    Interrupt.endNow()
                }
                // The launcher that passes SIGUSR1 on has printed the message.
                if Interrupt.isSlow.load(ordering: .relaxed), number != SIGUSR1 { Interrupt.answer() }
                Interrupt.cancellation.cancel()
                // Not a loop: its array would allocate, and the signal may interrupt an allocation.
                signal(SIGINT, SIG_DFL)
                signal(SIGTERM, SIG_DFL)
                signal(SIGUSR1, SIG_DFL)
            }
        }
        guard !ignoresHangup else { return }
        // SIGHUP is sent more than once, and together with SIGTERM, so it never counts as the second signal.
        signal(SIGHUP) { _ in
            Interrupt.wasTerminated.store(true, ordering: .relaxed)
            if Interrupt.isExpendable.load(ordering: .relaxed) { Interrupt.endNow() }
            Interrupt.cancellation.cancel()
        }
    }

    /// Whether the parent process, such as nohup, ignores SIGHUP.
    private static var ignoresHangup: Bool {
        var action = sigaction()
        sigaction(SIGHUP, nil, &action)
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }

    /// The terminal settings that are restored when a signal ends the process; nil if they were not changed.
    ///
    /// Written before the handlers can read it, see ``restoring(_:_:)``.
    nonisolated(unsafe) private static var terminal: termios?

    /// Changes the settings of the terminal on standard input, and those that are restored when a signal ends the process.
    static func restoring(_ original: termios, _ change: () -> Void) {
        terminal = original
        change()
    }

    /// Restores default signal handling while reading input; afterwards signals cancel the running command again.
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
