import BridgeSupport

/// Downloaded bytes of one part that are not written yet, kept by one thread from part to part.
///
/// Their offset from a page of memory is their offset from a page of the file, so that all whole pages can be written
/// past the page cache.
final class WriteBuffer {
    /// The most bytes in the buffer, and the longest time in seconds before a write: the loss of a kill.
    static let byteCount = 1 << 20
    private static let retryPolicy = 0.25

    private var buffer = AlignedBuffer(byteCount: byteCount)
    /// The offset of the bytes in the content.
    private(set) var range = 0..<0
    private var start = ContinuousClock.now

    /// The bytes.
    var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: buffer.bytes + range.lowerBound % AlignedBuffer.alignment, count: range.count)
    }

    /// All of its memory, for a caller that finds it empty.
    var memory: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: buffer.bytes, count: Self.byteCount)
    }

    var isEmpty: Bool { range.isEmpty }
    var isFull: Bool { range.lowerBound % AlignedBuffer.alignment + range.count == Self.byteCount }

    /// Whether the buffer has to be written, because readers wait or a kill would lose too much.
    var isStale: Bool { !isEmpty && ContinuousClock.now - start > .seconds(Self.retryPolicy) }

    /// Copies as many bytes as fit.
    ///
    /// - Parameters:
    ///   - new: The bytes.
    ///   - offset: Their offset, the end of the bytes in the buffer.
    /// - Returns: The number of copied bytes.
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

    /// Removes the bytes after they are written.
    func clear() { range = range.upperBound..<range.upperBound }
}
