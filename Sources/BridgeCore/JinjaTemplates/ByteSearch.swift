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

    /// Whether a text contains another one.
    package static func contains(_ part: [UInt8], in text: String) -> Bool {
        var text = text
        return text.withUTF8 { !ranges(of: part, in: $0, limit: 1).isEmpty }
    }

    /// Whether a text contains a name by itself, not as a part of a longer one.
    package static func containsName(_ name: String, in text: String) -> Bool {
        func isOfName(_ byte: UInt8) -> Bool {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), 0x80...: true
            default: false
            }
        }
        let name = Array(name.utf8)
        guard let first = name.first, let last = name.last else { return false }
        var text = text
        return text.withUTF8 { bytes in
            ranges(of: name, in: bytes).contains { range in
                let continuesBefore = range.lowerBound > 0 && isOfName(first) && isOfName(bytes[range.lowerBound - 1])
                let end = range.upperBound
                return !continuesBefore && !(end < bytes.count && isOfName(last) && isOfName(bytes[end]))
            }
        }
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
