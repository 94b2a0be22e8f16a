import ArgumentParser
import BridgeCore
import Foundation
import Tokenizers

/// Chats with a model at the terminal.
struct Chat: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Chat with a model.",
        discussion: """
            Each line is a message, and so are several lines that are pasted; the model gets the conversation so far. \
            Lines are edited with the arrow keys, earlier ones come back with up and down, and Ctrl-R searches them. \
            Ctrl-C stops an answer; at the prompt it discards the line, and ends the program if the line is empty. Lines \
            that begin with a slash are commands:
              /image PATH    add an image to the next message
              /system TEXT   set the system message; without a text, remove it
              /undo          remove the last message and its answer
              /reset         start a new conversation
              /save FILE     write the conversation as JSON, for --messages
              /load FILE     continue a saved conversation
              /stats         show tokens and tokens per second of the last answer
              /help          list these commands
              /exit          end the program, like Ctrl-D

            EXAMPLES:
              bridge chat --hf-model toy
              bridge chat --hf-model toy --megatron-path toy-megatron --temperature 0.7
              bridge chat --hf-model toy --prompt-cache chat.safetensors
            """
    )

    @OptionGroup var model: ModelOptions
    @OptionGroup var quantization: QuantizationOptions
    @OptionGroup var template: TemplateOptions
    @OptionGroup var sampling: SamplingArguments
    @OptionGroup var promptCache: PromptCacheOptions
    @OptionGroup var draft: DraftOptions

    @Flag(
        name: .customLong("no-history"),
        help: "Keep no typed lines for later chats. (they are in ~/.local/state/bridge/chat_history)"
    )
    var keepsNoHistory = false

    private static let commands = [
        ("/image PATH", "add an image to the next message"),
        ("/system TEXT", "set the system message; without a text, remove it"),
        ("/undo", "remove the last message and its answer"), ("/reset", "start a new conversation"),
        ("/save FILE", "write the conversation as JSON, for --messages"),
        ("/load FILE", "continue a saved conversation"),
        ("/stats", "show tokens and tokens per second of the last answer"), ("/help", "list these commands"),
        ("/exit", "end the program, like Ctrl-D"),
    ]

    /// The tokens and the time of an answer.
    private struct Statistics {
        var promptTokens = 0
        var tokens = 0
        var firstToken: Duration?
        var whole = Duration.zero
        /// The tokens that a draft model has proposed.
        var drafted = 0
        /// Those of them that were accepted.
        var accepted = 0

        var line: String {
            let rest = whole - (firstToken ?? whole)
            let speed = tokens > 1 && rest > .zero ? Double(tokens - 1) / rest.seconds : 0
            return
                "prompt and conversation: \(ByteFormat.counted(promptTokens, "token")); answer: \(ByteFormat.counted(tokens, "token")), the first "
                + "after \(ByteFormat.rounded((firstToken ?? whole).seconds, digits: 2)) s, then \(ByteFormat.rounded(speed, digits: 1)) tokens/s"
                + (drafted > 0 ? "; accepted \(accepted) of \(ByteFormat.counted(drafted, "proposed token"))" : "")
        }
    }

    func run() throws {
        let bridge = try model.bridge()
        let processor = try bridge.processor()
        let options = try sampling.options(bridge)
        let processing = try template.options(for: processor)
        let verification = WeightVerification()
        try promptCache.check()
        let loaded = try model.model(bridge, verification: verification, quantization: quantization.choice())
        let generator = Generator(
            loaded,
            draft: try draft.load(model, processor, on: loaded.engine, verification: verification),
            draftTokenCount: draft.tokenCount
        )
        generator.promptCache = try promptCache.cache(of: loaded, bridge, model, quantization)
        Interrupt.exitsImmediately(false)
        var session = ChatSession(system: template.system)
        var failures = 0
        var omitsSystem = false
        var statistics: Statistics?
        let editor = LineEditor(history: keepsNoHistory ? nil : LineEditor.chatHistory)
        while let line = try ask(session.pending.count, editor) {
            try verification.check()
            if editor == nil, line.utf8.count == Self.longestTypedLine, isatty(STDIN_FILENO) == 1 {
                Output.printError(
                    "\(Style.red("error:")) the line has \(line.utf8.count) bytes, the maximum of a terminal, so its end "
                        + "may be missing; write the text to a file and use 'bridge generate --messages'"
                )
                continue
            }
            let words = line.split(separator: " ", maxSplits: 1).map(String.init)
            let argument = words.count == 2 ? words[1].trimmingCharacters(in: .whitespaces) : ""
            switch words.first {
            case nil: continue
            case "/exit", "/quit": return try end(failures)
            case "/reset":
                session = ChatSession(system: template.system)
                generator.reset()
            case "/image":
                guarded(&failures) {
                    guard !argument.isEmpty else {
                        throw BridgeError(.badArgument, "/image requires the path of an image")
                    }
                    // An unreadable image would make every later message fail.
                    _ = try processor.prepared(ImageSource(argument), options: processing)
                    session.pending.append(argument)
                }
            case "/system": session.set(system: argument.isEmpty ? nil : argument)
            case "/undo":
                guarded(&failures) {
                    guard session.undo() else { throw BridgeError(.badArgument, "there is no message to remove") }
                }
            case "/save":
                guarded(&failures) {
                    guard !argument.isEmpty else {
                        throw BridgeError(.badArgument, "/save requires the path of a file")
                    }
                    try session.save(to: argument)
                    Output.printError("saved \(ByteFormat.counted(session.questionCount, "question")) to \(argument)")
                }
            case "/load":
                guarded(&failures) {
                    guard !argument.isEmpty else {
                        throw BridgeError(.badArgument, "/load requires the path of a file")
                    }
                    session = try ChatSession(contentsOf: argument)
                    Output.printError(
                        "loaded \(ByteFormat.counted(session.questionCount, "question")) from \(argument)"
                    )
                }
            case "/stats":
                Output.printError(statistics?.line ?? "there is no answer yet")
            case "/help":
                Output.complainLines(
                    Self.commands.map { $0.padding(toLength: 15, withPad: " ", startingAt: 0) + $1 }
                        .joined(separator: "\n")
                )
            case let word? where word.hasPrefix("/"):
                failures += 1
                Output.printError("\(Style.red("error:")) \(word) is not a command; /help lists them")
            default:
                guarded(&failures) {
                    let conversation = try session.asking(line)
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
                    var measured = Statistics(promptTokens: batch.tokens.count)
                    let start = ContinuousClock.now
                    let timings = try generator.run(batch.tokens, images: batch.images, options: options) { step in
                        measured.tokens += 1
                        measured.firstToken = measured.firstToken ?? ContinuousClock.now - start
                        return try transcript.take(step) && !Interrupt.cancellation.isCancelled
                    }
                    measured.whole = ContinuousClock.now - start
                    (measured.drafted, measured.accepted) = (timings.draftedTokens, timings.acceptedTokens)
                    statistics = measured
                    try transcript.finish()
                    if timings.cachedTokens > 0 || timings.writesPromptCache { promptCache.report(timings) }
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
    private func ask(_ images: Int, _ editor: LineEditor?) throws -> String? {
        guard isatty(STDIN_FILENO) == 1 else { return Interrupt.withDefaultSignals { readLine() } }
        let hint = images == 0 ? "" : images == 1 ? "1 image " : "\(images) images "
        while true {
            let entry = Interrupt.withDefaultSignals {
                editor?.read("\(hint)> ")
                    ?? TerminalLine.read { Output.tell(PrintableText.line(Style.bold("\(hint)> "))) }
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
