public import BridgeCore
public import TensorRuntime

/// How far the tokens of a greedy answer are ahead of all others.
///
/// Two orders of computation give logits that differ in the last bits, and so, where two tokens are about as likely, other
/// tokens; weights that are random make such pairs often. Tokens may therefore only be compared across two orders where the
/// margin is larger than what the orders may differ by.
public struct Margin: CustomStringConvertible {
    /// The least that the logit of an answer's token is above all others at its step; negative where another is above it.
    public let smallest: Float
    /// The largest logit, without its sign.
    public let scale: Float

    /// The error of float32 logits that is allowed, relative to the largest of them.
    public static let bound: Float = 1e-4

    /// Whether every order of computation within the bound chooses these tokens: two logits may move towards each other.
    public var isCertain: Bool { smallest > 2 * Self.bound * scale }

    /// Both numbers.
    public var description: String { "a margin of \(smallest) beside logits up to \(scale)" }

    /// The margin of rows of logits and the tokens that were chosen from them.
    public init(_ rows: [[Float]], _ tokens: [Int]) {
        var (smallest, scale): (Float, Float) = (.infinity, 0)
        for (row, token) in zip(rows, tokens) {
            let others = row.enumerated().reduce(-Float.infinity) { $1.offset == token ? $0 : max($0, $1.element) }
            smallest = min(smallest, row[token] - others)
            scale = max(scale, row.reduce(0) { max($0, abs($1)) })
        }
        (self.smallest, self.scale) = (rows.count == tokens.count ? smallest : -.infinity, scale)
    }

    /// The margin of an answer to a prompt, in one pass of a float32 model over both.
    public init(of answer: [Int], to prompt: [Int32], images: [Tensor] = [], by model: any CausalModel) throws {
        let batch = TokenBatch(tokens: prompt + answer.dropLast().map(Int32.init), images: images)
        let logits = try model.forward(batch, last: answer.count).logits
        let width = logits.shape[2]
        let numbers = logits.floats()
        self.init(answer.indices.map { Array(numbers[$0 * width..<($0 + 1) * width]) }, answer)
    }
}
