import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import Tokenizers

/// Tokenizes a text file and measures throughput.
struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Tokenize a text file and report throughput.",
        discussion: """
            Every line is tokenized separately, on one thread, without special tokens. The time is that of tokenization \
            alone.

            EXAMPLES:
              bridge tokenize --hf-model toy --file book.txt
              bridge tokenize --hf-model toy --file book.txt --json
            """
    )

    @Option(
        name: .customLong("hf-model"),
        help: ArgumentHelp("A Hugging Face directory, a hub id, or a Megatron checkpoint.", valueName: "path"),
        completion: .directory
    )
    var model: String

    @Option(name: .long, help: ArgumentHelp("A text file in UTF-8.", valueName: "file"), completion: .file())
    var file: String

    @OptionGroup var output: OutputOptions

    @OptionGroup var plugins: ModelPluginOptions

    func run() throws {
        let tokenizer = try HubDirectory.processor(model, plugins.catalog()).tokenizer
        let clock = ContinuousClock()
        var (count, size, seconds) = (0, 0, 0.0)
        try Self.forEachLine(of: file) { line, text in
            size += text.utf8.count + (line > 1 ? 1 : 0)
            let start = clock.now
            count += try BridgeError.ofTokenizer(in: "\(file), line \(line)") { () throws(TokenizerError) in
                try tokenizer.encode(text, addingSpecialTokens: false).count
            }
            seconds += start.duration(to: clock.now).seconds
        }
        guard output.json else {
            let rate = seconds > 0 ? ByteFormat.text(Int(saturating: Double(size) / seconds)) : "-"
            return Output.line("\(count) tokens in \(ByteFormat.rounded(seconds, digits: 3)) s, \(rate)/s")
        }
        Output.json([
            "tokens": JSON(count), "seconds": JSON(seconds),
        ])
    }

    /// Reads a file line by line, with one line in memory.
    private static func forEachLine(of path: String, _ body: (_ line: Int, _ text: String) throws -> Void) throws {
        guard Files.kind(of: path) != .directory else { throw BridgeError.cannotOpen(path, EISDIR) }
        guard let handle = FileHandle(forReadingAtPath: path) else { throw BridgeError.cannotOpen(path) }
        defer { try? handle.close() }
        var (number, line) = (1, [UInt8]())
        func take() throws {
            guard let text = String(validating: line, as: UTF8.self) else {
                throw BridgeError(.corruptInput, "line \(number) of \(path) is not UTF-8, which is expected")
            }
            try body(number, text)
            number += 1
            line.removeAll(keepingCapacity: true)
        }
        while true {
            // A directory or a read error is only detected here.
            guard let piece = try? handle.read(upToCount: 1 << 20) ?? Data() else {
                throw BridgeError(.fileSystem, "cannot read \(path)")
            }
            if piece.isEmpty { break }
            var rest = [UInt8](piece)[...]
            while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                line += rest[..<end]
                try take()
                rest = rest[(end + 1)...]
            }
            line += rest
            guard line.count <= Tokenizer.largestText else {
                throw BridgeError(
                    .corruptInput,
                    "line \(number) of \(path) has more than the \(Tokenizer.largestText) bytes that are tokenized at "
                        + "once; split it"
                )
            }
        }
        try take()
    }
}
