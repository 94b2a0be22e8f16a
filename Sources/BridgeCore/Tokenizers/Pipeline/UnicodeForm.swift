import Foundation

/// The four normalization forms of Unicode.
enum UnicodeForm: Sendable {
    case nfc
    case nfd
    case nfkc
    case nfkd

    func apply(to text: inout AlignedText) throws(TokenizerError) {
        guard !text.bytes.allSatisfy({ $0 < 0x80 }) else { return }
        guard text.tracksOrigins else {
            let bytes = Array(normalized(text.bytes[...]).utf8)
            guard bytes.count <= text.budget.bytesLeft else { throw text.budget.tooLong }
            return text.replaceAll(bytes, origins: [])
        }
        // Segments that normalize alone: each starts where a scalar of class 0 cannot join what is before it. A byte of
        // a segment points to the whole segment when the segment changed.
        var bytes: [UInt8] = []
        var origins: [Range<Int32>] = []
        for segment in segments(of: text.bytes) {
            let old = text.bytes[segment]
            let new = Array(normalized(old).utf8)
            bytes.append(contentsOf: new)
            try text.budget.tick()
            if new.elementsEqual(old) {
                origins.append(contentsOf: text.origins[segment])
            } else {
                let origin = text.origin(of: segment)
                origins.append(
                    contentsOf: repeatElement(Int32(origin.lowerBound)..<Int32(origin.upperBound), count: new.count)
                )
            }
        }
        guard bytes.count <= text.budget.bytesLeft else { throw text.budget.tooLong }
        text.replaceAll(bytes, origins: origins)
    }

    private func normalized(_ bytes: ArraySlice<UInt8>) -> String {
        // Hugging Face's tokenizers know Unicode 9: to them a later character has no parts and no class.
        Self.mapRuns(
            of: String(decoding: bytes, as: UTF8.self),
            between: { ($0.properties.age?.major ?? 0) > 9 },
            form
        )
    }

    private func form(of text: String) -> String {
        let isCompatibility = self == .nfkc || self == .nfkd
        let parts =
            isCompatibility ? text.decomposedStringWithCompatibilityMapping : text.decomposedStringWithCanonicalMapping
        // Foundation leaves marks that a mapping has just made where they are; a second run sorts them.
        let sorted = parts.decomposedStringWithCanonicalMapping
        guard self == .nfc || self == .nfkc else { return sorted }
        return Self.mapRuns(of: sorted, between: Self.neverComposes, \.precomposedStringWithCanonicalMapping)
    }

    /// Scalars of which Swift does not know that they never compose: those from plane 2 on, which it looks up without
    /// their high bits, and the neighbours of the ranges of initials, vowels and finals of Hangul.
    private static func neverComposes(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value >= 0x20000 || [0x1113, 0x1176, 0x11A7, 0x11C3].contains(scalar.value)
    }

    /// A text with the runs between some scalars changed.
    private static func mapRuns(
        of text: String,
        between stays: (Unicode.Scalar) -> Bool,
        _ change: (String) -> String
    ) -> String {
        var result = ""
        var rest = text.unicodeScalars[...]
        while !rest.isEmpty {
            let run = rest.prefix { !stays($0) }
            result.unicodeScalars += change(String(run)).unicodeScalars
            rest = rest[run.endIndex...]
            let staying = rest.prefix(while: stays)
            result.unicodeScalars += staying
            rest = rest[staying.endIndex...]
        }
        return result
    }

    /// Grapheme clusters hold every canonical composition; halfwidth Hangul becomes parts of a syllable only through a
    /// compatibility mapping, so those clusters are joined.
    private func segments(of bytes: [UInt8]) -> [Range<Int>] {
        var segments: [Range<Int>] = []
        var start = 0
        for character in String(decoding: bytes, as: UTF8.self) {
            let end = start + character.utf8.count
            // Swift's == of two strings would not see the difference.
            if let last = segments.last, self == .nfkc, Self.joins(bytes[start..<end]),
                !normalized(bytes[last.lowerBound..<end]).utf8.elementsEqual(
                    Array(normalized(bytes[last]).utf8) + Array(normalized(bytes[start..<end]).utf8)
                )
            {
                segments[segments.count - 1] = last.lowerBound..<end
            } else {
                segments.append(start..<end)
            }
            start = end
        }
        return segments
    }

    /// Whether a cluster begins with Hangul that may continue a syllable: U+1160 to U+11FF, U+FFA0 to U+FFDC, or
    /// compatibility letters from U+3131 to U+318E.
    private static func joins(_ cluster: ArraySlice<UInt8>) -> Bool {
        switch String(decoding: cluster, as: UTF8.self).unicodeScalars.first?.value ?? 0 {
        case 0x1160...0x11FF, 0x3131...0x318E, 0xFFA0...0xFFDC: true
        default: false
        }
    }
}
