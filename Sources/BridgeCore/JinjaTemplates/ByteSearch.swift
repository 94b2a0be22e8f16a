/// Searches bytes in bytes.
package enum ByteSearch {
    /// The positions of one byte string in another, from left to right and without overlap, in linear time.
    package static func ranges(
        of part: [UInt8],
        in bytes: UnsafeBufferPointer<UInt8>,
        limit: Int = .max
    ) -> [Range<Int>] {
        var found: [Range<Int>] = []
        forEachRange(of: part, in: bytes, limit: limit) { found.append($0) }
        return found
    }

    /// The number of occurrences of one byte string in another without overlap.
    package static func count(of part: [UInt8], in bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var count = 0
        forEachRange(of: part, in: bytes) { _ in count += 1 }
        return count
    }

    /// Calls `body` with the first `limit` positions of one byte string in another without overlap.
    package static func forEachRange(
        of part: [UInt8],
        in bytes: UnsafeBufferPointer<UInt8>,
        limit: Int = .max,
        _ body: (Range<Int>) -> Void
    ) {
        guard let first = part.first, part.count <= bytes.count else { return }
        guard part.count <= 16 else { return forEachLongRange(of: part, in: bytes, limit: limit, body) }
        var found = 0
        var index = 0
        while index + part.count <= bytes.count, found < limit {
            if bytes[index] == first, bytes[index..<(index + part.count)].elementsEqual(part) {
                body(index..<(index + part.count))
                found += 1
                index += part.count
            } else {
                index += 1
            }
        }
    }

    /// The search of Knuth, Morris and Pratt: a text that nearly matches everywhere takes no longer.
    private static func forEachLongRange(
        of part: [UInt8],
        in bytes: UnsafeBufferPointer<UInt8>,
        limit: Int,
        _ body: (Range<Int>) -> Void
    ) {
        var fallbacks = [Int32](repeating: 0, count: part.count)
        var matched = 0
        for index in 1..<part.count {
            while matched > 0, part[index] != part[matched] { matched = Int(fallbacks[matched - 1]) }
            if part[index] == part[matched] { matched += 1 }
            fallbacks[index] = Int32(truncatingIfNeeded: matched)
        }
        var found = 0
        matched = 0
        for index in 0..<bytes.count where found < limit {
            while matched > 0, bytes[index] != part[matched] { matched = Int(fallbacks[matched - 1]) }
            if bytes[index] == part[matched] { matched += 1 }
            if matched == part.count {
                body((index + 1 - part.count)..<(index + 1))
                found += 1
                matched = 0
            }
        }
    }
}
