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
}
