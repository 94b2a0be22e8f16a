import BridgeCore
import Glibc
import Synchronization

/// Turns Ctrl-C and SIGTERM into a clean stop; a second one ends the process at once.
enum Interrupt {
    /// What the commands hand to the library.
    static let cancellation = Cancellation()

    /// Whether a signal ends the process at once, because nothing would be lost.
    private static let isExpendable = Atomic(false)
    private static let wantsJSON = Atomic(false)
    /// Whether a signal is answered with a word, because what it stops takes a while to end.
    private static let isSlow = Atomic(false)

    /// Decides whether a signal ends the process at once: while it computes something and has shown nothing yet.
    static func endsAtOnce(_ value: Bool) { isExpendable.store(value, ordering: .relaxed) }

    /// Has the first signal say that a step is finished and saved before the process ends.
    static func finishesStep() { isSlow.store(true, ordering: .relaxed) }

    private static func answer() {
        let sentence: StaticString = "\nthis step is finished and saved; a second signal ends at once, without saving\n"
        _ = write(STDERR_FILENO, sentence.utf8Start, sentence.utf8CodeUnitCount)
    }

    /// Does something that a signal may not end at once, because it keeps what it has done so far.
    static func inGoodOrder<Result>(_ body: () throws -> Result) rethrows -> Result {
        let before = isExpendable.exchange(false, ordering: .relaxed)
        defer { endsAtOnce(before) }
        return try body()
    }

    /// Only calls that are safe in a signal handler.
    private static func endNow() -> Never {
        let sentence: StaticString = "error: stopped as asked, before there was a result\n"
        let document: StaticString = """
            {"error": {"code": "cancelled", "message": "stopped as asked, before there was a result", "names": []}}

            """
        if wantsJSON.load(ordering: .relaxed) {
            _ = write(STDOUT_FILENO, document.utf8Start, document.utf8CodeUnitCount)
        }
        _ = write(STDERR_FILENO, sentence.utf8Start, sentence.utf8CodeUnitCount)
        _exit(130)
    }

    /// Starts to listen.
    static func install() {
        // Made here, so that no handler is the first to ask for them.
        _ = cancellation.isCancelled
        _ = isSlow.load(ordering: .relaxed)
        endsAtOnce(false)
        wantsJSON.store(ArgumentList.wantsJSON, ordering: .relaxed)
        // Past `ulimit -f` a write then fails like any other, where the signal would end the process.
        signal(SIGXFSZ, SIG_IGN)
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                if Interrupt.isExpendable.load(ordering: .relaxed) { Interrupt.endNow() }
                if Interrupt.isSlow.load(ordering: .relaxed) { Interrupt.answer() }
                Interrupt.cancellation.cancel()
                // Not in a loop: its list takes memory, and the signal may have come in the middle of getting some.
                signal(SIGINT, SIG_DFL)
                signal(SIGTERM, SIG_DFL)
            }
        }
    }

    /// Lets a signal end the process while a person is asked for something; later ones stop what is done next.
    static func whileAsking<Answer>(_ ask: () -> Answer) -> Answer {
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                var newline = UInt8(ascii: "\n")
                _ = write(STDERR_FILENO, &newline, 1)
                _exit(128 + number)
            }
        }
        let answer = ask()
        cancellation.renew()
        install()
        return answer
    }
}
