import JSONTree

extension JSON {
    /// A member that must be there, with a name for the error message.
    func required(_ key: String, in owner: String) throws(TokenizerError) -> RequiredField {
        guard let value = self[key] else {
            throw TokenizerError(.badFile, "'\(owner)' has no '\(key)'")
        }
        return RequiredField(value: value, name: "\(owner).\(key)")
    }
}

/// A JSON value with the name under which it was found.
struct RequiredField {
    let value: JSON
    let name: String

    private func mismatch(_ expected: String) -> TokenizerError {
        TokenizerError(.badFile, "'\(name)' is \(value.kind); expected \(expected)")
    }

    var text: String {
        get throws(TokenizerError) {
            guard let text = value.string else { throw mismatch("a string") }
            return text
        }
    }

    var list: [JSON] {
        get throws(TokenizerError) {
            guard let list = value.array else { throw mismatch("a list") }
            return list
        }
    }

    /// The steps of a sequence, which may not be too many: each goes through the whole text.
    var steps: [JSON] {
        get throws(TokenizerError) {
            let steps = try list
            guard steps.count <= EncodingBudget.mostSteps else {
                throw TokenizerError(
                    .tooLarge,
                    "'\(name)' has \(steps.count) steps; at most \(EncodingBudget.mostSteps) are run"
                )
            }
            return steps
        }
    }

    var members: [(key: String, value: JSON)] {
        get throws(TokenizerError) {
            guard let members = value.members else { throw mismatch("an object") }
            return members
        }
    }

    /// A token id: not negative, and small enough that a table by id fits in memory.
    var tokenID: Int {
        get throws(TokenizerError) {
            guard let id = value.integer else { throw mismatch("a number") }
            guard (0...Self.largestID).contains(id) else {
                throw TokenizerError(.badFile, "'\(name)' is \(id); a token id is between 0 and \(Self.largestID)")
            }
            return id
        }
    }

    /// Sixteen times the largest vocabulary in use.
    static let largestID = 1 << 24
}

extension TextPattern {
    /// Reads `{"String": ...}` or `{"Regex": ...}`.
    init(json: JSON?, in owner: String) throws(TokenizerError) {
        if let literal = json?["String"]?.string {
            self = .literal(Array(literal.utf8))
        } else if let expression = json?["Regex"]?.string {
            self = .expression(try RegularExpression(expression))
        } else {
            throw TokenizerError(.badFile, "'\(owner)' has no pattern; expected {\"String\": ...} or {\"Regex\": ...}")
        }
    }
}
