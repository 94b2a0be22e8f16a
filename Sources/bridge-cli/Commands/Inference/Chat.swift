import ArgumentParser
import BridgeCore
import Foundation
import Tokenizers

/// Chats with a model at the terminal.
struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Chat with a model.",
        discussion: """
            Each line is a message; the model gets the conversation so far. Ctrl-C stops an answer; at the prompt it \
            discards the line, and ends the program if the line is empty. Lines that begin with a slash are commands:
              /image PATH   add an image to the next message
              /reset        start a new conversation
              /help         list these commands
              /exit         end the program, like Ctrl-D

            EXAMPLES:
              bridge chat --hf-model toy
              bridge chat --hf-model toy --megatron-path toy-megatron --temperature 0.7
            """
    )

    @OptionGroup var model: ModelOptions
    @OptionGroup var template: TemplateOptions
    @OptionGroup var sampling: SamplingArguments

    func run() throws {
        let bridge = try model.bridge()
        let processor = try bridge.processor()
        let options = try sampling.options(bridge)
        let processing = try template.options(for: processor)
        let verification = WeightVerification()
        let generator = Generator(try model.model(bridge, verification: verification))
        Interrupt.exitsImmediately(false)
        var session = ChatSession(system: template.system)
        var failures = 0
        var omitsSystem = false
        while let line = try ask(session.pending.count) {
            try verification.check()
            if line.utf8.count == Self.longestTypedLine, isatty(STDIN_FILENO) == 1 {
                Output.printError(
                    "\(Style.red("error:")) the line has \(line.utf8.count) bytes, the maximum of a terminal, so its end "
                        + "may be missing; write the text to a file and use 'bridge generate --messages'"
                )
                continue
            }
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            switch words.first {
            case nil: continue
            case "/exit", "/quit": return try end(failures)
            case "/reset":
                session = ChatSession(system: template.system)
                generator.reset()
            case "/image":
                guarded(&failures) {
                    guard words.count == 2 else {
                        throw BridgeError(.badArgument, "/image requires the path of an image")
                    }
                    let source = try ImageSource(words[1].trimmingCharacters(in: .whitespaces))
                    // An unreadable image would make every later message fail.
                    _ = try processor.prepared(source, options: processing)
                    session.pending.append(source)
                }
            case "/help":
                Output.complainLines(
                    """
                    /image PATH   add an image to the next message
                    /reset        start a new conversation
                    /help         list these commands
                    /exit         end the program, like Ctrl-D
                    """
                )
            case let word? where word.hasPrefix("/"):
                failures += 1
                Output.printError("\(Style.red("error:")) \(word) is not a command; /help lists them")
            default:
                guarded(&failures) {
                    let conversation = session.asking(line)
                    let inputs = try processor.inputs(conversation, options: processing)
                    if !omitsSystem, conversation.lacksSystem(in: inputs.prompt) {
                        omitsSystem = true
                        Output.warn(Conversation.omittedSystem)
                    }
                    let batch = TokenBatch(inputs, on: generator.engine)
                    SamplingArguments.warnOfLength(
                        sampling.maxNewTokens,
                        prompt: batch.tokens.count,
                        limit: processor.decoder.seqLength
                    )
                    let transcript = try Transcript(
                        processor.tokenizer,
                        stops: sampling.stop + options.settings.stopStrings,
                        behind: batch.tokens,
                        isSilent: false
                    )
                    _ = try generator.run(batch.tokens, images: batch.images, options: options) { step in
                        try transcript.take(step) && !Interrupt.cancellation.isCancelled
                    }
                    try transcript.finish()
                    session.append(line, answer: transcript.text)
                }
            }
            // Ctrl-C stops one answer; SIGTERM, SIGHUP and a closed output end the conversation.
            if Interrupt.endsProgram { throw ExitCode(130) }
            if Output.isBroken { break }
        }
        try end(failures)
    }

    /// The maximum line of a terminal's line editing, see termios(3).
    private static let longestTypedLine = 4095

    /// The exit status: failed messages are an error if input is not a terminal.
    private func end(_ failures: Int) throws {
        if failures > 0, isatty(STDIN_FILENO) != 1 { throw ExitCode(1) }
    }

    /// The next line; nil at the end of the input.
    ///
    /// - Throws: `ExitCode` for Ctrl-C on an empty line.
    private func ask(_ images: Int) throws -> String? {
        guard isatty(STDIN_FILENO) == 1 else { return Interrupt.withDefaultSignals { readLine() } }
        let hint = images == 0 ? "" : images == 1 ? "1 image " : "\(images) images "
        while true {
            let entry = Interrupt.withDefaultSignals {
                TerminalLine.read { Output.tell(PrintableText.line(Style.bold("\(hint)> "))) }
            }
            if case .line(let line) = entry { return line }
            // Later output, such as the prompt of the shell, starts on a new line.
            Output.printError("")
            switch entry {
            case .discarded, .line: continue
            case .interrupted: throw ExitCode(130)
            case .end: return nil
            }
        }
    }

    /// Prints the error of one message; the conversation continues.
    private func guarded(_ failures: inout Int, _ body: () throws -> Void) {
        do { try body() } catch {
            failures += 1
            Output.printError("\(Style.red("error:")) \(Failure.described(error).message)")
        }
    }
}

/// The messages so far, and the images for the next message.
private struct ChatSession {
    var pending: [ImageSource] = []
    private var past: Conversation

    init(system: String?) {
        past = Conversation(messages: system.map { [ChatMessage(role: "system", content: $0)] } ?? [])
    }

    /// The conversation with one more question.
    func asking(_ question: String) -> Conversation {
        let next = Conversation(prompt: question, images: pending)
        return Conversation(messages: past.messages + next.messages, images: past.images + next.images)
    }

    /// Adds a question and its answer to the conversation.
    mutating func append(_ question: String, answer: String) {
        past = asking(question)
        past.messages.append(ChatMessage(role: "assistant", content: answer))
        pending = []
    }
}
