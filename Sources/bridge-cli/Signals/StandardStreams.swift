import BridgeCore
import Glibc

/// The three descriptors that every program expects to be open.
enum StandardStreams {
    /// Opens those that are closed, so that no file or connection of this run takes their numbers.
    ///
    /// Standard output is opened for reading: what is written there then fails, and the run says so at its end, where
    /// writing to nowhere would look like success. Messages about the run may be lost.
    static func openMissing() {
        for (descriptor, mode) in [
            (STDIN_FILENO, O_RDONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_WRONLY),
        ] where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
            // The lowest free number is this one, as those below it are open by now.
            _ = open("/dev/null", mode)
        }
    }

    /// Writes bytes, as long as nobody asks to stop while a reader keeps the program waiting.
    ///
    /// - Returns: 0, or the number of the error with which the system refused; `EINTR` when the wait was given up.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
        let mayBlock = !isRegularFile(descriptor)
        var done = 0
        while done < bytes.count {
            if mayBlock, !waits(for: descriptor) { return EINTR }
            // What a pipe that is ready takes without waiting.
            let size = mayBlock ? min(bytes.count - done, pipeSize) : bytes.count - done
            let count = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, size)
            if count >= 0 {
                done += count
            } else if errno != EINTR, errno != EAGAIN {
                return errno
            }
        }
        return 0
    }

    /// `PIPE_BUF` of Linux.
    private static let pipeSize = 4096

    private static func isRegularFile(_ descriptor: Int32) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Waits until something can be written, or the write would fail.
    ///
    /// - Returns: Whether to write; false when a signal has asked to stop.
    private static func waits(for descriptor: Int32) -> Bool {
        while true {
            var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            // Looked at again some times a second: the signal may come right before the wait.
            if poll(&ready, 1, 200) > 0 { return true }
            if Interrupt.cancellation.isCancelled { return false }
        }
    }
}
