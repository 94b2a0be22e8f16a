/// The exact-match accuracy of a model's answers.
public struct ExactMatch: Sendable, Equatable {
    /// Counts of questions and correct answers.
    public struct Share: Sendable, Equatable {
        /// The number of questions.
        public var questions = 0
        /// The number of correct answers.
        public var right = 0

        /// Zero counts.
        public init() {}

        /// Correct answers divided by questions, from 0 to 1; 0 without questions.
        public var accuracy: Double { questions == 0 ? 0 : Double(right) / Double(questions) }

        mutating func count(_ isRight: Bool) {
            questions += 1
            right += isRight ? 1 : 0
        }
    }

    /// A wrong answer.
    public struct Miss: Sendable, Equatable {
        /// File and line of the question.
        public var location: String
        /// The expected answer.
        public var expected: String
        /// The generated answer.
        public var prediction: String
    }

    /// All questions.
    public private(set) var all = Share()
    /// The counts of each category.
    public private(set) var categories: [String: Share] = [:]
    /// The wrong answers, in the order of the file.
    public private(set) var misses: [Miss] = []

    /// Zero counts.
    public init() {}

    /// Counts an answer; white space at its ends is ignored.
    ///
    /// - Parameters:
    ///   - prediction: The generated answer.
    ///   - question: The question with the expected answer.
    public mutating func count(_ prediction: String, to question: AnswerFile.Question) {
        let (prediction, expected) = (Self.trimmed(prediction), Self.trimmed(question.answer))
        let isRight = prediction == expected
        all.count(isRight)
        if let category = question.category { categories[category, default: Share()].count(isRight) }
        if !isRight { misses.append(Miss(location: question.location, expected: expected, prediction: prediction)) }
    }

    private static func trimmed(_ text: String) -> String {
        let start = text.drop { $0.isWhitespace }
        guard let end = start.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(start[...end])
    }
}
