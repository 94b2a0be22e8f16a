import BridgeCore
package import JSONTree
import Parquet

/// A file of JSON rows, one to a line or as one list, of which each row is read on request.
///
/// Only the offsets of the rows are kept, a few bytes each; of a compressed file the whole text. Rows may be read from
/// several threads at once.
package final class RowFile: Sendable {
    /// The location of a row.
    struct Location: Sendable, Equatable {
        var offset: Int
        var count: Int
        /// The line it begins in, from 1 on.
        var line: Int
    }

    /// The file, for messages.
    let path: String
    /// The rows in their order.
    let locations: RowOffsets
    private let file: FileStorage
    /// The text of a file that is compressed; nil for one that is read where it is.
    private let text: [UInt8]?

    /// The most bytes of a compressed file, packed and unpacked, because they are kept in memory.
    static let largestText = 1 << 31
    /// Up to this size a compressed file may decompress to any multiple of its size.
    private static let freeText = 256 << 20
    /// The largest ratio of decompressed to compressed size beyond that.
    private static let mostGrowth = 64

    /// The most bytes of the text of a compressed file of this size.
    private static func largestText(ofPacked size: Int) -> Int {
        min(largestText, max(freeText, min(size, largestText) * mostGrowth))
    }

    /// The memory that the values of a row may take: of a text of small values many times its size.
    private static func memory(ofRow count: Int) -> Int { max(128 << 20, 2 * count) }

    /// The longest row that is read; an embedded image fits, and a file that does not consist of rows exceeds it.
    static let longestRow = 256 << 20

    /// Opens a file and finds its rows.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - allowsNone: Whether it may hold no row.
    /// - Throws: `BridgeError` when it cannot be read, is not a file, or has no row where one is required.
    package init(path: String, allowsNone: Bool = false) throws {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw BridgeError(.badArgument, "the path of the data is empty or has a zero byte; give the path of a file")
        }
        if let kind = Files.kind(of: path), kind != .file {
            throw BridgeError(.fileSystem, "\(path) is not a file, expected one with JSON rows")
        }
        let file = try FileStorage(path: path)
        var scanner = RowScanner(path: path)
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var offset = 0
        text = try Self.text(file, &buffer)
        while text == nil {
            let count = try Self.read(file, &buffer, at: offset)
            if count == 0 { break }
            let mark = offset == 0 ? try Self.byteOrderMark(buffer[..<count], path) : 0
            try scanner.scan(buffer[mark..<count], at: offset + mark)
            offset += count
        }
        if let text {
            let mark = try Self.byteOrderMark(text[...], path)
            try scanner.scan(text[mark...], at: mark)
            offset = text.count
        }
        let locations = try scanner.finish(at: offset)
        guard allowsNone || !locations.isEmpty else {
            throw BridgeError(.corruptInput, "\(path) holds no row, expected JSON rows, one to a line or as one list")
        }
        (self.path, self.locations, self.file) = (path, locations, file)
    }

    /// The number of rows.
    package var count: Int { locations.count }

    /// The location of a row for messages.
    package func name(of row: Int) -> String {
        locations.indices.contains(row) ? "\(path), line \(locations[row].line)" : "\(path), row \(row)"
    }

    /// A row.
    ///
    /// - Throws: `BridgeError` with file and line when the row cannot be read or is not JSON.
    package func json(at row: Int) throws -> JSON {
        guard locations.indices.contains(row) else {
            throw BridgeError(.badArgument, "\(path) has \(count) rows and no row \(row); rows are counted from 0")
        }
        let location = locations[row]
        guard location.count <= Self.longestRow else {
            throw BridgeError(
                .corruptInput,
                "\(name(of: row)): the row has \(location.count) bytes, expected at most \(Self.longestRow)"
            )
        }
        if let text { return try parsed(Array(text[location.offset..<location.offset + location.count]), row) }
        var bytes = [UInt8](repeating: 0, count: location.count)
        let count = try Self.read(file, &bytes, at: location.offset)
        guard count == location.count else {
            throw BridgeError(.corruptInput, "\(name(of: row)): the file has become shorter since it was opened")
        }
        return try parsed(bytes, row)
    }

    private func parsed(_ bytes: [UInt8], _ row: Int) throws -> JSON {
        do throws(JSONError) {
            return try JSON(parsing: bytes, maximumMemory: Self.memory(ofRow: bytes.count))
        } catch {
            throw BridgeError(.corruptInput, "\(name(of: row)): the row is not valid JSON: \(error)")
        }
    }

    private static func byteOrderMark(_ bytes: ArraySlice<UInt8>, _ path: String) throws -> Int {
        do throws(ParquetError) { return try TextBytes.byteOrderMark(bytes) } catch {
            throw BridgeError(.corruptInput, "\(path) cannot be read: \(error)")
        }
    }

    /// The text of a file that is compressed; nil for another one.
    private static func text(_ file: FileStorage, _ buffer: inout [UInt8]) throws -> [UInt8]? {
        let (path, size) = (file.name, file.byteCount)
        let count = try read(file, &buffer, at: 0)
        guard TextBytes.isCompressed(buffer[..<min(count, 8)]) else { return nil }
        guard size <= largestText else {
            throw BridgeError(
                .corruptInput,
                "\(path) is compressed and has \(size) bytes, more than \(largestText); unpack it"
            )
        }
        var bytes = [UInt8](repeating: 0, count: size)
        guard try read(file, &bytes, at: 0) == size else {
            throw BridgeError(.corruptInput, "\(path) has become shorter while it was read")
        }
        do throws(ParquetError) { return try TextBytes.unpacked(bytes, limit: largestText(ofPacked: size)) } catch {
            throw BridgeError(.corruptInput, "\(path) cannot be read: \(error)")
        }
    }

    /// Fills the buffer as far as the file has bytes.
    private static func read(_ file: FileStorage, _ buffer: inout [UInt8], at offset: Int) throws -> Int {
        try buffer.withUnsafeMutableBytes { try file.readAvailable(at: offset, into: $0) }
    }

    /// Runs something about a row and puts file and line before what it throws.
    package func about<Result>(_ row: Int, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as BridgeError where error.code != .cancelled {
            throw error.inRow(name(of: row))
        }
    }
}
