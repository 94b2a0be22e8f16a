/// A problem of a recipe, with the settings that its sentence names.
struct RecipeProblem: ExpressibleByStringInterpolation {
    var text: String
    var keys: Set<String> = []

    init(text: String, keys: Set<String>) { (self.text, self.keys) = (text, keys) }

    init(stringLiteral text: String) { self.text = text }

    init(stringInterpolation: StringInterpolation) {
        (text, keys) = (stringInterpolation.text, stringInterpolation.keys)
    }

    static func + (first: RecipeProblem, second: RecipeProblem) -> RecipeProblem {
        RecipeProblem(text: first.text + second.text, keys: first.keys.union(second.keys))
    }

    struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var text = ""
        fileprivate var keys: Set<String> = []

        init(literalCapacity: Int, interpolationCount: Int) {}

        mutating func appendLiteral(_ literal: String) { text += literal }

        mutating func appendInterpolation(_ value: some Any) { text += "\(value)" }

        mutating func appendInterpolation(key: String) {
            text += key
            keys.insert(key)
        }
    }
}
