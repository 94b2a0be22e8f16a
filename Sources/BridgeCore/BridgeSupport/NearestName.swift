/// Finds the name that a mistyped one stands for.
public enum NearestName {
    /// The most bytes of a name that is compared; a longer one is not a typing error.
    private static let longest = 200

    /// The names near another one, the nearest first; names at the same distance are in alphabetical order.
    ///
    /// - Parameters:
    ///   - text: What was typed.
    ///   - names: The names that exist.
    ///   - limit: The largest distance of a near name; by default a third of the letters.
    /// - Returns: The near names.
    public static func all(of text: String, among names: some Sequence<String>, limit: Int? = nil) -> [String] {
        guard !text.isEmpty, text.utf8.count <= longest else { return [] }
        let limit = limit ?? max(1, text.utf8.count / 3)
        let typed = text.lowercased()
        let rated = Set(names).filter { $0 != text }.map { ($0, distance(typed, $0.lowercased())) }
        return rated.filter { $0.1 <= limit }.sorted { ($0.1, $0.0) < ($1.1, $1.0) }.map(\.0)
    }

    /// The nearest name; without a near one the only name that begins with the text, or has all of its words.
    public static func first(of text: String, among names: some Sequence<String>, limit: Int? = nil) -> String? {
        if let near = all(of: text, among: names, limit: limit).first { return near }
        let longer = Set(names.filter { text.utf8.count >= 3 && $0.hasPrefix(text) })
        if longer.count == 1 { return longer.first }
        let words = Set(words(of: text))
        let wider = Set(names.filter { words.count > 1 && words.isSubset(of: Self.words(of: $0)) })
        return wider.count == 1 ? wider.first : nil
    }

    private static func words(of name: String) -> [Substring] {
        name.split { $0 == "-" || $0 == "_" || $0 == "." }
    }

    /// The number of letters to insert, remove, change or exchange with the next one to turn one text into another
    /// (optimal string alignment distance).
    package static func distance(_ one: String, _ other: String) -> Int {
        let (a, b) = (Array(one.utf8), Array(other.utf8))
        var (before, above) = ([Int](), Array(0...b.count))
        for i in 0..<a.count {
            var row = [i + 1]
            for j in 0..<b.count {
                var least = min(above[j + 1] + 1, row[j] + 1, above[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, before[j - 1] + 1) }
                row.append(least)
            }
            (before, above) = (above, row)
        }
        return above[b.count]
    }
}
