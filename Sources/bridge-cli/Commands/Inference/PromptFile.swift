import BridgeCore
import Datasets
import JSONTree
import TensorRuntime
import Tokenizers

/// The prompts of a JSONL file.
///
/// A line is a text, or an object with `prompt` (or `text`, as in files for Megatron-LM) or `messages`, and perhaps `images` and
/// `max_new_tokens`. Other keys belong to the user.
struct PromptFile {
    /// One line.
    struct Line {
        /// The keys of the output: those of the line, a text under `prompt`.
        var object: JSONObject
        /// The messages; nil for a prompt.
        var conversation: Conversation?
        /// The prompt; empty for messages.
        var prompt = ""
        /// The images of a prompt, or of all messages.
        var images: [ImageSource]
        /// The most new tokens; nil for those of the command.
        var maxNewTokens: Int?
    }

    private let file: RowFile
    private let directory: String

    /// Opens a file.
    ///
    /// - Throws: `BridgeError` when it cannot be read, or has no line.
    init(path: String) throws {
        file = try RowFile(path: path)
        directory = ImagePaths.directory("", for: path)
    }

    /// The number of lines with a prompt.
    var count: Int { file.count }

    /// Runs something about a line and puts file and line before what it throws.
    func about<Result>(_ row: Int, _ body: (Line) throws -> Result) throws -> Result {
        let json = try file.json(at: row)
        return try file.about(row) { try body(line(json)) }
    }

    /// The keys that are added to a line.
    static let resultKeys = ["text", "tokens", "finish_reason"]

    /// Keys under which other programs expect settings, with the option for all lines.
    private static let settings = [
        ("max_tokens", "rename it to max_new_tokens"), ("max_completion_tokens", "rename it to max_new_tokens"),
        ("system", "give --system, or a line with messages"), ("stop", "give --stop"), ("seed", "give --seed"),
        ("temperature", "give --temperature"), ("top_k", "give --top-k"), ("top_p", "give --top-p"),
        ("min_p", "give --min-p"), ("repetition_penalty", "give --repetition-penalty"),
        ("do_sample", "give --do-sample"), ("ignore_eos", "give --ignore-eos"),
    ]

    private func line(_ json: JSON) throws -> Line {
        if let prompt = json.string {
            return Line(object: JSONObject([("prompt", json)]), prompt: prompt, images: [])
        }
        guard var object = json.object else {
            throw Self.wrong("the line is \(json.kind), expected a text or an object")
        }
        // The key of the prompt in files for Megatron-LM is that of the answer here.
        if let text = object["text"], object["prompt"] == nil, object["messages"] == nil {
            object = JSONObject(object.map { $0.key == "text" ? ("prompt", text) : ($0.key, $0.value) })
        }
        if let key = Self.resultKeys.first(where: { object[$0] != nil }) {
            throw Self.wrong("the line has the key \(key), under which the result is written; rename it")
        }
        if let (key, advice) = Self.settings.first(where: { object[$0.0] != nil }) {
            throw Self.wrong("the line has the key \(key), which is not read; \(advice), or remove the key")
        }
        let images = try (object["images"] ?? .null).imageList.map { try ImagePaths.source($0, in: "") }
        let most = try maxNewTokens(object["max_new_tokens"] ?? .null)
        let (prompt, messages) = (object["prompt"]?.nonNull, object["messages"]?.nonNull)
        guard (prompt == nil) != (messages == nil) else {
            throw Self.wrong(
                messages == nil
                    ? "the line has neither prompt nor messages (found the keys \(object.keys.joined(separator: ", "))); add one"
                    : "the line has both prompt and messages; remove one"
            )
        }
        guard let messages else {
            guard let text = prompt?.string else {
                throw Self.wrong("prompt is \(prompt?.kind ?? "absent"), expected a text")
            }
            guard object["tools"]?.nonNull == nil else {
                throw Self.wrong("the line has tools, which are read beside messages only; give messages, or --tools")
            }
            return Line(object: object, prompt: text, images: images.map(located), maxNewTokens: most)
        }
        // Other keys are copied, so they are not reported as ignored.
        let read = JSONObject([("messages", messages), ("tools", object["tools"] ?? .null)])
        var conversation = try Conversation(json: .object(read), name: "the line", images: images)
        conversation.images = conversation.images.map(located)
        return Line(object: object, conversation: conversation, images: conversation.images, maxNewTokens: most)
    }

    /// An image whose path is relative to the directory of the file.
    private func located(_ image: ImageSource) -> ImageSource {
        guard case .file(let path) = image, !path.hasPrefix("/"), !directory.isEmpty else { return image }
        return .file(Files.join(directory, path))
    }

    private func maxNewTokens(_ json: JSON) throws -> Int? {
        guard !json.isNull else { return nil }
        guard let number = json.integer, (1...1_000_000).contains(number) else {
            let found = String(decoding: json.text(pretty: false).prefix(80), as: UTF8.self)
            throw Self.wrong("max_new_tokens is \(found), expected 1 to 1000000")
        }
        return number
    }

    private static func wrong(_ what: String) -> BridgeError { BridgeError(.corruptInput, what) }
}
