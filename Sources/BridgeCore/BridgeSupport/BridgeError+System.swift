import Glibc

extension BridgeError {
    /// The error for a file or directory that was not opened: `cannot open PATH: reason`.
    ///
    /// - Parameters:
    ///   - path: The path.
    ///   - number: The number of the system's error; that of the last call by default.
    ///   - code: The code of the error.
    ///   - fileID: The file of the call.
    ///   - line: The line of the call.
    /// - Returns: The error.
    public static func cannotOpen(
        _ path: String,
        _ number: Int32? = nil,
        code: Code = .fileSystem,
        fileID: String = #fileID,
        line: Int = #line
    ) -> BridgeError {
        system("cannot open \(path)", number ?? errno, code: code, fileID: fileID, line: line)
    }

    /// An error for the system call that just failed, with the system's own words.
    public static func system(
        _ what: String,
        _ number: Int32? = nil,
        code: Code = .fileSystem,
        fileID: String = #fileID,
        line: Int = #line
    ) -> BridgeError {
        let number = number ?? errno
        let reason =
            switch number {
            case ENOSPC, EDQUOT: "no space is left; free some, or choose another destination"
            case EACCES, EPERM: "permission denied"
            case ENOENT: "it does not exist"
            case EFBIG: "it is too large for this file system, or for the limit that 'ulimit -f' sets; raise it"
            default: String(cString: strerror(number)).lowercased()
            }
        return BridgeError(code, "\(what): \(reason)", fileID: fileID, line: line)
    }
}
