import BridgeCore
import Glibc

/// The three standard file descriptors.
enum StandardStreams {
    /// Opens closed ones, so that no file or connection of this run gets their descriptors.
    ///
    /// Standard output is opened for reading: writes then fail and the run reports it at its end, whereas
    /// writing to /dev/null would look like success. Messages about the run may be lost.
    static func openMissing() {
        for (descriptor, mode) in [
            (STDIN_FILENO, O_RDONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_WRONLY),
        ] where fcntl(descriptor, F_GETFD) < 0 && errno == EBADF {
            // The lowest free descriptor is this one, because those below it are open.
            _ = open("/dev/null", mode)
        }
    }

    /// Writes bytes; stops on a signal while waiting for the reader.
    ///
    /// - Returns: 0 or the `errno` of the write; `EINTR` when a signal ended the wait.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
        let mayBlock = !isRegularFile(descriptor)
        var done = 0
        while done < bytes.count {
            if mayBlock, !waits(for: descriptor) { return EINTR }
            // A ready pipe accepts this number of bytes without blocking.
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
    /// - Returns: Whether to write; false after a signal.
    private static func waits(for descriptor: Int32) -> Bool {
        while true {
            var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
            // Checked several times per second: the signal may arrive right before the wait.
            if poll(&ready, 1, 200) > 0 { return true }
            if Interrupt.cancellation.isCancelled { return false }
        }
    }
}
