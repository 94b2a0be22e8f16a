import BridgeCore
import JSONTree
import TensorRuntime
import Tokenizers

/// Generates the answers of a file and writes them in the order of the prompts.
struct AnswerRun {
    let prompts: PromptReader
    let batchSize: Int
    /// Stop strings of the command.
    let stops: [String]
    /// What was computed.
    private(set) var totals = BatchGenerator.Totals()
    /// How many answers ended before their length.
    private(set) var stopped = 0

    init(prompts: PromptReader, batchSize: Int, stops: [String]) {
        (self.prompts, self.batchSize, self.stops) = (prompts, batchSize, stops)
    }

    /// An answer that is generated, or waits for those before it.
    private struct Answer {
        let object: JSONObject
        let transcript: Transcript
        var tokens = 0
        var isEnd = false
        var isFinished = false
    }

    /// Generates all answers.
    ///
    /// - Parameters:
    ///   - model: The model.
    ///   - write: Called with the bytes of the file, in order.
    /// - Throws: `BridgeError` with file and line for a prompt that cannot be used.
    mutating func generate(
        with model: any CausalModel,
        _ write: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let (prompts, stops, count) = (prompts, stops + prompts.generation.settings.stopStrings, prompts.file.count)
        var answers: [Int: Answer] = [:]
        var (taken, written, stopped, tokens) = (0, 0, 0, 0)
        let progress = CountLine(total: count)
        let start = ContinuousClock.now
        defer { progress.finish() }
        totals = try BatchGenerator(model, batchSize: batchSize).run {
            guard taken < count, !Interrupt.cancellation.isCancelled else { return nil }
            let (request, object) = try prompts.request(at: taken, on: model.engine)
            let transcript = try Transcript(
                prompts.processor.tokenizer,
                stops: stops,
                behind: request.tokens,
                isSilent: true
            )
            answers[taken] = Answer(object: object, transcript: transcript)
            taken += 1
            return request
        } visit: { number, step in
            tokens += 1
            answers[number]?.tokens += 1
            answers[number]?.isEnd = step.isEnd
            return try answers[number]?.transcript.take(step) ?? false && !Interrupt.cancellation.isCancelled
        } finish: { number in
            answers[number]?.isFinished = true
            while let answer = answers[written], answer.isFinished {
                let isStopped = answer.isEnd || answer.transcript.isStopped
                stopped += isStopped ? 1 : 0
                try Self.line(of: answer, isStopped: isStopped).withUnsafeBytes(write)
                answers[written] = nil
                written += 1
            }
            let seconds = start.duration(to: ContinuousClock.now).seconds
            let rate = seconds > 0 ? ", \(ByteFormat.rounded(Double(tokens) / seconds, digits: 1)) tokens/s" : ""
            let open = answers.values.count { !$0.isFinished }
            progress.show(taken - open, "\(ByteFormat.counted(tokens, "token"))\(rate)")
        }
        self.stopped = stopped
    }

    private static func line(of answer: Answer, isStopped: Bool) throws -> [UInt8] {
        try answer.transcript.finish()
        var object = answer.object
        object["text"] = .string(answer.transcript.text)
        object["tokens"] = JSON(answer.tokens)
        object["finish_reason"] = .string(isStopped ? "stop" : "length")
        return JSON.object(object).text(pretty: false) + [UInt8(ascii: "\n")]
    }
}
