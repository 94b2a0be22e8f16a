import ArgumentParser
import BridgeCore
import Foundation
import JSONTree
import Tokenizers

/// Tokenizes a text file and takes the time.
struct Tokenize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Count the tokens of a text file, and the seconds that takes.",
        discussion: """
            Every line is tokenized by itself, on one thread, without the tokens that begin and end a text. The seconds are \
            those of tokenizing alone.

            EXAMPLES:
              bridge tokenize --hf-model toy --file book.txt
              bridge tokenize --hf-model toy --file book.txt --json
            """
    )

    @Option(
        name: [.customLong("hf-model"), .customLong("hf_model_path")],
        help: ArgumentHelp("A Hugging Face folder, a hub id, or a Megatron checkpoint.", valueName: "path"),
        completion: .directory
    )
    var model: String

    @Option(name: .long, help: ArgumentHelp("A text file in UTF-8.", valueName: "file"), completion: .file())
    var file: String

    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    @OptionGroup var plugins: PluginOptions

    func run() throws {
        let tokenizer = try HubFolder.processor(model, plugins.catalog()).tokenizer
        let lines = try Self.lines(of: file)
        let clock = ContinuousClock()
        let start = clock.now
        var count = 0
        for (index, line) in lines.enumerated() {
            count += try BridgeError.ofTokenizer(in: "\(file), line \(index + 1)") { () throws(TokenizerError) in
                try tokenizer.encode(line, addingSpecialTokens: false).count
            }
        }
        let seconds = start.duration(to: clock.now).seconds
        guard json else {
            let size = lines.reduce(max(0, lines.count - 1)) { $0 + $1.utf8.count }
            let rate = seconds > 0 ? ByteFormat.text(Int(saturating: Double(size) / seconds)) : "-"
            return Output.line("\(count) tokens in \(ByteFormat.rounded(seconds, digits: 3)) s, \(rate)/s")
        }
        Output.json([
            "tokens": .number(JSONNumber(count)), "seconds": .number(JSONNumber(seconds)),
        ])
    }

    private static func lines(of path: String) throws -> [String] {
        let bytes: Data
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue,
            let handle = FileHandle(forReadingAtPath: path), let content = try? handle.readToEnd() ?? Data()
        else {
            throw BridgeError(
                .fileSystem,
                "cannot read \(path): \(isFolder.boolValue ? "it is a folder" : "no such file that may be read")"
            )
        }
        bytes = content
        return try bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated().map {
            guard let line = String(validating: $1, as: UTF8.self) else {
                throw BridgeError(.corruptInput, "line \($0 + 1) of \(path) is not UTF-8, which is expected")
            }
            return line
        }
    }
}
