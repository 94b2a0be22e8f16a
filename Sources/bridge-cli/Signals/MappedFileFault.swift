import Glibc
import Synchronization

/// Ends the process with an error message when a mapped file was truncated or became unreadable.
///
/// Weights and data sets are memory-mapped. Truncation of such a file is reported as a signal, in the
/// middle of a computation that cannot continue. Uses only async-signal-safe calls.
enum MappedFileFault {
    /// All threads may have the same fault; only the first one prints the message.
    private static let isSaid = Atomic(false)

    /// Installs the signal handlers.
    static func install() {
        // Initialized here, so that no handler is the first to use it.
        isSaid.store(false, ordering: .relaxed)
        if OutputMode.current.json {
            signal(SIGBUS) { _ in
                MappedFileFault.waitUnlessFirst()
                MappedFileFault.put(#"{"error": {"code": "corrupt_input", "message": ""#, to: STDOUT_FILENO)
                MappedFileFault.put(MappedFileFault.sentence, to: STDOUT_FILENO)
                MappedFileFault.put(#"", "names": []}}"#, to: STDOUT_FILENO)
                MappedFileFault.put("\n", to: STDOUT_FILENO)
                MappedFileFault.end()
            }
        } else {
            signal(SIGBUS) { _ in
                MappedFileFault.waitUnlessFirst()
                MappedFileFault.end()
            }
        }
    }

    // A constant needs no initializer that a signal could interrupt.
    private static var sentence: StaticString {
        "a file of weights or data was truncated or became unreadable while it was in use; restore the file and run again"
    }

    private static func waitUnlessFirst() {
        while isSaid.exchange(true, ordering: .relaxed) { pause() }
    }

    private static func end() -> Never {
        put("error: ", to: STDERR_FILENO)
        put(sentence, to: STDERR_FILENO)
        put("\n", to: STDERR_FILENO)
        _exit(4)
    }

    private static func put(_ text: StaticString, to descriptor: Int32) {
        _ = write(descriptor, text.utf8Start, text.utf8CodeUnitCount)
    }
}
