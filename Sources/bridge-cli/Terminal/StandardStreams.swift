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

    /// Writes bytes.
    ///
    /// - Returns: 0, or the number of the error with which the system refused.
    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
        var done = 0
        while done < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
            if count >= 0 {
                done += count
            } else if errno == EAGAIN {
                // Another program has made the pipe or terminal that both share non-blocking.
                var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                _ = poll(&ready, 1, 1000)
            } else if errno != EINTR {
                return errno
            }
        }
        return 0
    }
}
