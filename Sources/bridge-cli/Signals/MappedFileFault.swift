import Glibc
import Synchronization

/// Ends the process with a sentence when a file that it computes from was cut short or cannot be read any more.
///
/// Weights are used where they lie in their files. What happens to such a file reaches the program as a signal, in the
/// middle of a multiplication, and there is nothing to go on with. Only calls that are safe in a signal handler are made.
enum MappedFileFault {
    /// Every thread that computes meets the same fault; the first one speaks.
    private static let isSaid = Atomic(false)

    /// Starts to listen.
    static func install() {
        // Made here, so that no handler is the first to ask for it.
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

    // A constant has no initializer that a signal could interrupt.
    private static var sentence: StaticString {
        "a weight file was cut short or became unreadable while it was in use; restore the file and run again"
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
