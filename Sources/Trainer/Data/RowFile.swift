import BridgeCore
import Glibc
import JSONTree

/// A file of JSON rows, one to a line or as one list, of which each row is read when it is asked for.
///
/// Only the places of the rows are kept, 24 bytes each. Rows may be read from several threads at once.
final class RowFile: Sendable {
    /// Where a row stands.
    struct Place: Sendable, Equatable {
        var offset: Int
        var count: Int
        /// The line it begins in, from 1 on.
        var line: Int
    }

    /// The file, for messages.
    let path: String
    /// The rows in their order.
    let places: [Place]
    private let descriptor: Int32

    /// The longest row that is read; an embedded picture fits, and a file that is no list of rows does not.
    static let longestRow = 256 << 20

    /// Opens a file and finds its rows.
    ///
    /// - Throws: `BridgeError` when it cannot be read, is no file, or holds no row.
    init(path: String) throws {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw BridgeError(.badArgument, "the path of the data is empty or has a zero byte; give the path of a file")
        }
        // Without O_NONBLOCK the opening of a pipe would wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw BridgeError(.fileSystem, "\(path) cannot be opened for reading: \(String(cString: strerror(errno)))")
        }
        var keeps = false
        defer { if !keeps { close(descriptor) } }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw BridgeError(.fileSystem, "\(path) is not a file, expected one with JSON rows")
        }
        var scanner = RowScanner(path: path)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var offset = 0
        while true {
            let count = try Self.read(descriptor, &buffer, at: offset, path)
            if count == 0 { break }
            try scanner.scan(buffer[..<count], at: offset)
            offset += count
        }
        let places = try scanner.finish(at: offset)
        guard !places.isEmpty else {
            throw BridgeError(.corruptInput, "\(path) holds no row, expected JSON rows, one to a line or as one list")
        }
        (self.path, self.places, self.descriptor) = (path, places, descriptor)
        keeps = true
    }

    deinit { close(descriptor) }

    /// How many rows there are.
    var count: Int { places.count }

    /// Words that say where a row stands.
    func name(of row: Int) -> String {
        places.indices.contains(row) ? "\(path), line \(places[row].line)" : "\(path), row \(row)"
    }

    /// A row.
    ///
    /// - Throws: `BridgeError` with file and line when the row cannot be read or is not JSON.
    func json(at row: Int) throws -> JSON {
        guard places.indices.contains(row) else {
            throw BridgeError(.badArgument, "\(path) has \(count) rows and no row \(row); rows are counted from 0")
        }
        let place = places[row]
        guard place.count <= Self.longestRow else {
            throw BridgeError(
                .corruptInput,
                "\(name(of: row)): the row has \(place.count) bytes, more than the \(Self.longestRow) that are read"
            )
        }
        var bytes = [UInt8](repeating: 0, count: place.count)
        let count = try Self.read(descriptor, &bytes, at: place.offset, path)
        guard count == place.count else {
            throw BridgeError(.corruptInput, "\(name(of: row)): the file has become shorter since it was opened")
        }
        do throws(JSONError) {
            return try JSON(parsing: bytes)
        } catch {
            throw BridgeError(.corruptInput, "\(name(of: row)): the row is not valid JSON: \(error)")
        }
    }

    /// Fills the buffer as far as the file goes.
    private static func read(_ descriptor: Int32, _ buffer: inout [UInt8], at offset: Int, _ path: String) throws -> Int
    {
        try buffer.withUnsafeMutableBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = pread(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done, offset + done)
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else {
                    throw BridgeError(.fileSystem, "\(path) cannot be read: \(String(cString: strerror(errno)))")
                }
                if count == 0 { break }
                done += count
            }
            return done
        }
    }

    /// Runs something about a row and puts file and line before what it throws.
    func about<Result>(_ row: Int, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as BridgeError where error.code != .cancelled {
            throw BridgeError(error.code, "\(name(of: row)): \(error.message)", names: error.names, cause: error.cause)
        }
    }
}
