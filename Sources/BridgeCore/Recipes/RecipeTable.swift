import BridgeSupport

/// All settings of a recipe, read in both directions.
public enum RecipeTable {
    /// The settings, in the order in which they are written.
    public static let fields: [RecipeField] =
        first + model + train + optimizer + scheduler + dataset + peft + checkpoint + logger + last

    private static let byKey = Dictionary(
        fields.flatMap { field in ([field.key] + field.aliases).map { ($0, field) } }
    ) { first, _ in first }

    /// The setting with a key, or with a key that means the same.
    public static func field(_ key: String) -> RecipeField? { byKey[key] }

    /// The settings whose keys begin so: one, a section, or all.
    ///
    /// - Throws: `BridgeError` with code `badArgument` where there is none.
    public static func fields(beginningWith prefix: String) throws -> [RecipeField] {
        let found = fields.filter { field in ([field.key] + field.aliases).contains { $0.hasPrefix(prefix) } }
        guard !found.isEmpty else { throw BridgeError(.badArgument, refusal(of: prefix)) }
        return found
    }

    /// The sentence for a key that is no setting: why the peer's does not apply here, or which key is near.
    public static func refusal(of key: String) -> String {
        let shown = RecipeField.shortened(key)
        if let reason = RecipeForeignKeys.reason(key) { return "\(shown) does not apply here: \(reason)" }
        if let inside = byKey.keys.filter({ $0.hasPrefix(key + ".") }).min() {
            return "\(shown) is a section and has no value of its own, expected one of its settings, such as \(inside)"
        }
        guard let near = nearest(to: key) else {
            return "\(shown) is no setting; 'bridge recipes settings' lists them all"
        }
        return "\(shown) is no setting, did you mean \(near)?"
    }

    /// The key nearest to another, if one is near.
    static func nearest(to key: String) -> String? {
        // Who forgets the section has the name itself right; this is nearer than a typing error.
        let named = byKey.keys.filter { $0.hasSuffix("." + key) }.sorted()
        if let first = named.first { return first }
        guard key.utf8.count <= 100 else { return nil }
        let near = byKey.keys.map { (distance($0, key), $0) }.min { $0 < $1 }
        let alone = key.split(separator: ".").last.map(String.init) ?? key
        let moved = byKey.keys.map { other in
            (distance(other.split(separator: ".").last.map(String.init) ?? other, alone), other)
        }.min { $0 < $1 }
        if let near, near.0 <= max(2, key.utf8.count / 5) { return near.1 }
        if let moved, moved.0 <= max(1, alone.utf8.count / 6) { return moved.1 }
        return nil
    }

    /// How many letters have to be put in, taken out or changed (Levenshtein).
    package static func distance(_ one: String, _ other: String) -> Int {
        let (a, b) = (Array(one.utf8), Array(other.utf8))
        var row = Array(0...b.count)
        for i in 0..<a.count {
            var corner = row[0]
            row[0] = i + 1
            for j in 0..<b.count {
                let above = row[j + 1]
                row[j + 1] = min(above + 1, row[j] + 1, corner + (a[i] == b[j] ? 0 : 1))
                corner = above
            }
        }
        return row[b.count]
    }
}
