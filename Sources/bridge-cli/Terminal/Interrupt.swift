import BridgeCore
import Glibc

/// Turns Ctrl-C and SIGTERM into a clean stop; a second one ends the process at once.
enum Interrupt {
    /// What the commands hand to the library.
    static let cancellation = Cancellation()

    /// Starts to listen.
    static func install() {
        _ = cancellation.isCancelled
        // Past `ulimit -f` a write then fails like any other, where the signal would end the process.
        signal(SIGXFSZ, SIG_IGN)
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                Interrupt.cancellation.cancel()
                signal(number, SIG_DFL)
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

    /// Stops what has printed nothing yet.
    static func check() throws {
        if cancellation.isCancelled { throw BridgeError(.cancelled, "stopped as asked, before the first token") }
    }
}
