import Foundation

/// The four normalization forms of Unicode.
enum UnicodeForm: Sendable {
    case nfc
    case nfd
    case nfkc
    case nfkd

    func apply(to text: inout AlignedText) {
        guard !text.bytes.allSatisfy({ $0 < 0x80 }) else { return }
        guard text.tracksOrigins else {
            text.replaceAll(Array(normalized(text.bytes[...]).utf8), origins: [])
            return
        }
        // Segments that normalize alone: each starts where a scalar of class 0 cannot join what is before it. A byte of
        // a segment points to the whole segment when the segment changed.
        var bytes: [UInt8] = []
        var origins: [Range<Int32>] = []
        for segment in segments(of: text.bytes) {
            let old = text.bytes[segment]
            let new = Array(normalized(old).utf8)
            bytes.append(contentsOf: new)
            if new.elementsEqual(old) {
                origins.append(contentsOf: text.origins[segment])
            } else {
                let origin = text.origin(of: segment)
                origins.append(
                    contentsOf: repeatElement(Int32(origin.lowerBound)..<Int32(origin.upperBound), count: new.count)
                )
            }
        }
        text.replaceAll(bytes, origins: origins)
    }

    private func normalized(_ bytes: ArraySlice<UInt8>) -> String {
        let text = String(decoding: bytes, as: UTF8.self)
        switch self {
        case .nfc: return text.precomposedStringWithCanonicalMapping
        case .nfd: return text.decomposedStringWithCanonicalMapping
        case .nfkc: return text.precomposedStringWithCompatibilityMapping
        case .nfkd: return text.decomposedStringWithCompatibilityMapping
        }
    }

    /// Grapheme clusters hold every composition but that of Hangul, whose parts form one cluster as well.
    private func segments(of bytes: [UInt8]) -> [Range<Int>] {
        var start = 0
        return String(decoding: bytes, as: UTF8.self).map { character in
            let end = start + character.utf8.count
            defer { start = end }
            return start..<end
        }
    }
}
