import JSONTree

/// Changes a text before it is split into words.
indirect enum Normalizer: Sendable {
    case sequence([Normalizer])
    case replace(TextPattern, by: [UInt8])
    case prepend([UInt8])
    case strip(left: Bool, right: Bool)
    case lowercase
    case unicode(UnicodeForm)

    func apply(to text: inout AlignedText) throws(TokenizerError) {
        if text.isEmpty { return }
        switch self {
        case .sequence(let steps):
            for step in steps {
                try text.budget.tick(64 + text.count / 64)
                try step.apply(to: &text)
            }
        case .replace(let pattern, let content):
            try text.replace(pattern, with: content)
        case .prepend(let content):
            try text.prepend(content)
        case .strip(let left, let right):
            text.keep(Self.stripped(text.bytes, left: left, right: right))
        case .lowercase:
            try mapScalars(of: &text) { $0.properties.lowercaseMapping }
        case .unicode(let form):
            try form.apply(to: &text)
        }
    }

    private static func stripped(_ bytes: [UInt8], left: Bool, right: Bool) -> Range<Int> {
        bytes.withUnsafeBufferPointer { text in
            var start = 0
            var end = text.count
            while left, start < end {
                let (scalar, next) = ScalarClass.scalar(in: text, at: start)
                guard ScalarClass.isWhitespace(scalar) else { break }
                start = next
            }
            while right, end > start {
                let previous = ScalarClass.start(ofScalarBefore: end, in: text)
                guard ScalarClass.isWhitespace(ScalarClass.scalar(in: text, at: previous).scalar) else { break }
                end = previous
            }
            return start..<end
        }
    }

    /// Replaces each scalar by the result of `transform`; the new bytes keep the origin of the scalar.
    private func mapScalars(
        of text: inout AlignedText,
        _ transform: (Unicode.Scalar) -> String
    ) throws(TokenizerError) {
        var rewritten = TextRewriter(text)
        text.bytes.withUnsafeBufferPointer { buffer in
            var index = 0
            while index < buffer.count {
                let (scalar, end) = ScalarClass.scalar(in: buffer, at: index)
                rewritten.insert(Array(transform(scalar).utf8), originOf: index)
                index = end
            }
        }
        try rewritten.finish(&text)
    }
}

extension Normalizer {
    /// Reads the `normalizer` of a `tokenizer.json`; nil where it is null.
    init?(json: JSON?) throws(TokenizerError) {
        guard let json, !json.isNull else { return nil }
        let type = try json.required("type", in: "normalizer").text
        switch type {
        case "Sequence":
            var steps: [Normalizer] = []
            for item in try json.required("normalizers", in: type).steps {
                if let step = try Normalizer(json: item) { steps.append(step) }
            }
            self = .sequence(steps)
        case "Replace":
            let content = try json.required("content", in: type).text
            self = .replace(try TextPattern(json: json["pattern"], in: type), by: Array(content.utf8))
        case "Prepend":
            self = .prepend(Array(try json.required("prepend", in: type).text.utf8))
        case "Strip":
            self = .strip(left: json["strip_left"]?.bool ?? true, right: json["strip_right"]?.bool ?? true)
        case "Lowercase":
            self = .lowercase
        case "NFC": self = .unicode(.nfc)
        case "NFD": self = .unicode(.nfd)
        case "NFKC": self = .unicode(.nfkc)
        case "NFKD": self = .unicode(.nfkd)
        default:
            throw TokenizerError(.unsupported, "the normalizer '\(type)' is not supported")
        }
    }
}
