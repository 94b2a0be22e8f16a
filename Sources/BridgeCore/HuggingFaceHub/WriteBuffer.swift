import BridgeSupport

/// Bytes of one piece that have come and are not in the file yet, kept by one thread from piece to piece.
///
/// They lie as far behind the start of a page of memory as they do behind the start of a page of the file, so that all
/// whole pages can be written past the page cache.
final class WriteBuffer {
    /// The most bytes that wait, and how long they do, in seconds: what a kill can cost.
    static let byteCount = 1 << 20
    private static let retryPolicy = 0.25

    private var buffer = AlignedBuffer(byteCount: byteCount)
    /// Where the bytes belong in the content.
    private(set) var range = 0..<0
    private var start = ContinuousClock.now

    /// The bytes.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: buffer.bytes + range.lowerBound % AlignedBuffer.alignment, count: range.count)
    }

    /// All of its memory, for whoever finds it empty.
    var memory: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: buffer.bytes, count: Self.byteCount)
    }

    var isEmpty: Bool { range.isEmpty }
    var isFull: Bool { range.lowerBound % AlignedBuffer.alignment + range.count == Self.byteCount }

    /// Whether bytes wait longer than those who read them, or would lose them, should have to bear.
    var isStale: Bool { !isEmpty && ContinuousClock.now - start > .seconds(Self.retryPolicy) }

    /// Copies as many bytes as there is room for.
    ///
    /// - Parameters:
    ///   - new: The bytes.
    ///   - offset: Where they belong, which is where those before them end.
    /// - Returns: How many that were.
    func take(_ new: UnsafeRawBufferPointer, at offset: Int) -> Int {
        if range.isEmpty {
            range = offset..<offset
            start = .now
        }
        let location = range.lowerBound % AlignedBuffer.alignment + range.count
        let count = min(new.count, Self.byteCount - location)
        UnsafeMutableRawBufferPointer(start: buffer.bytes + location, count: count)
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: new[..<count]))
        range = range.lowerBound..<range.upperBound + count
        return count
    }

    /// Forgets the bytes, which are in the file.
    func clear() { range = range.upperBound..<range.upperBound }
}
