import Glibc

/// Reads whole files without Foundation.
enum FileBytes {
    /// No tokenizer file is near this size; anything larger is a mistake or an attack.
    static let largestFile = 1 << 30

    /// Whether a regular file is at this path.
    static func exists(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
    }

    /// Whether a directory is at this path.
    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// The names in a directory, sorted; none where there is no such directory.
    static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
                }
            )
        }
        return names.sorted()
    }

    /// All bytes of the file.
    static func read(_ path: String) throws(TokenizerError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw TokenizerError(
                .unreadableFile,
                "cannot open \(path): \(String(cString: strerror(errno)).lowercased())"
            )
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw TokenizerError(.unreadableFile, "\(path): is not a regular file")
        }
        let size = Int(status.st_size)
        guard size <= largestFile else {
            throw TokenizerError(.badFile, "\(path): has \(size) bytes, expected at most \(largestFile)")
        }
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            while count < size {
                let got = Glibc.read(descriptor, buffer.baseAddress.map { $0 + count }, size - count)
                if got < 0 && errno == EINTR { continue }
                if got < 0 { failure = errno }
                if got <= 0 { break }
                count += got
            }
        }
        guard failure == 0 else {
            throw TokenizerError(.unreadableFile, "\(path): cannot be read: \(String(cString: strerror(failure)))")
        }
        return bytes
    }
}
