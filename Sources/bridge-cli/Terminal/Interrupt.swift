import BridgeCore
import Glibc

/// Turns Ctrl-C and SIGTERM into a clean stop; a second one ends the process at once.
enum Interrupt {
    /// What the commands hand to the library.
    static let cancellation = Cancellation()

    /// Starts to listen.
    static func install() {
        _ = cancellation.isCancelled
        for number in [SIGINT, SIGTERM] {
            signal(number) { number in
                Interrupt.cancellation.cancel()
                signal(number, SIG_DFL)
            }
        }
    }
}
