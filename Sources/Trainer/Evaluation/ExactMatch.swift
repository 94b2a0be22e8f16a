/// How many answers of a model are those that a file gives, to the letter.
public struct ExactMatch: Sendable, Equatable {
    /// Questions and right answers.
    public struct Share: Sendable, Equatable {
        /// How many questions there were.
        public var questions = 0
        /// How many answers were right.
        public var right = 0

        /// No questions.
        public init() {}

        /// Right answers by questions, from 0 to 1; 0 without questions.
        public var accuracy: Double { questions == 0 ? 0 : Double(right) / Double(questions) }

        mutating func count(_ isRight: Bool) {
            questions += 1
            right += isRight ? 1 : 0
        }
    }

    /// An answer that was another one.
    public struct Miss: Sendable, Equatable {
        /// File and line of the question.
        public var location: String
        /// What the file says.
        public var expected: String
        /// What the model said.
        public var said: String
    }

    /// All questions.
    public private(set) var all = Share()
    /// The questions of each category that the rows name.
    public private(set) var categories: [String: Share] = [:]
    /// The answers that were wrong, in the order of the file.
    public private(set) var misses: [Miss] = []

    /// Nothing yet.
    public init() {}

    /// Counts an answer; white space at its ends means nothing.
    ///
    /// - Parameters:
    ///   - said: What the model said.
    ///   - question: The question with the answer that the file gives.
    public mutating func count(_ said: String, to question: AnswerFile.Question) {
        let (said, expected) = (Self.trimmed(said), Self.trimmed(question.answer))
        let isRight = said == expected
        all.count(isRight)
        if let category = question.category { categories[category, default: Share()].count(isRight) }
        if !isRight { misses.append(Miss(location: question.location, expected: expected, said: said)) }
    }

    private static func trimmed(_ text: String) -> String {
        let start = text.drop { $0.isWhitespace }
        guard let end = start.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(start[...end])
    }
}
