import Foundation
import TestSupport
import Testing

/// A run of `bridge` whose standard input, output and error are a terminal.
enum PseudoTerminal {
    /// A program that writes nothing for this many milliseconds is ended.
    private static let longestSilence: Int32 = 180_000

    /// Runs to the end; returns what the terminal got, as the program wrote it, and the exit status.
    ///
    /// `typed` is typed at once, and each text of `atEachPrompt` when the next prompt of a chat is there.
    ///
    /// Colours are off, so that no escape sequence is the program's own.
    static func run(
        _ arguments: [String],
        typed: String = "",
        atEachPrompt: [String] = [],
        environment: [String: String] = [:]
    ) throws -> (bytes: [UInt8], status: Int32) {
        // posix_openpt(3) and what belongs to it are not imported into Swift; these are what they do.
        let (unlock, getNumber): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
        let terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        defer { close(terminal) }
        var (isLocked, number): (Int32, UInt32) = (0, 0)
        try #require(ioctl(terminal, unlock, &isLocked) == 0 && ioctl(terminal, getNumber, &number) == 0)
        let end = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        try #require(end >= 0)
        // Line ends stay as they are written, and what is typed is not shown.
        var state = termios()
        tcgetattr(end, &state)
        state.c_oflag &= ~tcflag_t(OPOST)
        state.c_lflag &= ~tcflag_t(ECHO)
        tcsetattr(end, TCSANOW, &state)
        let process = Process()
        process.executableURL = BridgeProcess.executable
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(["NO_COLOR": "1"]) { $1 }
            .merging(environment) { $1 }
        let handle = FileHandle(fileDescriptor: end, closeOnDealloc: false)
        process.standardInput = handle
        process.standardOutput = handle
        process.standardError = handle
        try process.run()
        close(end)
        let keys = Array(typed.utf8)
        try #require(write(terminal, keys, keys.count) == keys.count)
        var (bytes, piece) = ([UInt8](), [UInt8](repeating: 0, count: 4096))
        // Whether there is something to read within some milliseconds.
        func hasMore(within milliseconds: Int32) -> Bool {
            var state = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
            return poll(&state, 1, milliseconds) > 0
        }
        // When the last writer has gone, reading a terminal is an error.
        var waiting = atEachPrompt[...]
        while true {
            guard hasMore(within: longestSilence) else {
                process.terminate()
                break
            }
            let count = read(terminal, &piece, piece.count)
            guard count > 0 else { break }
            bytes += piece[..<count]
            // Other text may have the end of the prompt where a piece ends; after a prompt nothing follows.
            guard bytes.suffix(2) == Array("> ".utf8)[...], !hasMore(within: 300), let text = waiting.popFirst() else {
                continue
            }
            try #require(write(terminal, text, text.utf8.count) == text.utf8.count)
        }
        process.waitUntilExit()
        return (bytes, process.terminationStatus)
    }
}
