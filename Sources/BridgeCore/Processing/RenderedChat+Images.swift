import JinjaTemplates
import Tokenizers

extension RenderedChat {
    /// A text that marks nothing.
    init(text: String) { self.init(text: text, assistantSpans: []) }

    /// The ranges of UTF-8 bytes of a marker.
    func places(of marker: String) -> [Range<Int>] {
        let (text, marker) = (Array(text.utf8), Array(marker.utf8))
        guard let first = marker.first, text.count >= marker.count else { return [] }
        var places: [Range<Int>] = []
        var literals = literals[...]
        var index = 0
        while index <= text.count - marker.count {
            // A message that spells the marker out shows no image.
            while let literal = literals.first, literal.upperBound <= index { literals = literals.dropFirst() }
            if let literal = literals.first, literal.contains(index) {
                index = literal.upperBound
                continue
            }
            if text[index] == first, text[index..<index + marker.count].elementsEqual(marker) {
                places.append(index..<index + marker.count)
                index += marker.count
            } else {
                index += 1
            }
        }
        return places
    }

    /// The text with replacements at some positions, and the spans moved along.
    func replacing(_ places: [Range<Int>], with texts: [String]) -> RenderedChat {
        guard !places.isEmpty else { return self }
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var end = 0
        /// The shift of the text after each position.
        var moves: [(from: Int, by: Int)] = []
        for (location, text) in zip(places, texts) {
            result += bytes[end..<location.lowerBound]
            result += text.utf8
            end = location.upperBound
            moves.append((location.upperBound, result.count - end))
        }
        result += bytes[end...]
        func moved(_ offset: Int) -> Int { offset + (moves.last { $0.from <= offset }?.by ?? 0) }
        return RenderedChat(
            text: String(decoding: result, as: UTF8.self),
            assistantSpans: assistantSpans.map { moved($0.lowerBound)..<moved($0.upperBound) },
            literals: literals.map { moved($0.lowerBound)..<moved($0.upperBound) }
        )
    }
}
