import Imaging
import JSONTree
import Parquet
import TensorRuntime

@testable import BridgeCore
@testable import BridgeSupport
@testable import CheckpointFormats
@testable import HuggingFaceHub
@testable import Network
@testable import TensorFiles
@testable import Tokenizers

/// A reader of outside bytes, and what has to hold for whatever it accepts.
///
/// `CorpusTests.swift` replays the corpus through this file without libFuzzer.
enum FuzzTarget: String, CaseIterable {
    case adapter
    case arrow
    case conversation
    case growth
    case header
    case hub
    case image
    case index
    case json
    case listing
    case manifest
    case memory
    case metadata
    case packed
    case parquet
    case pickle
    case template
    case tokenizer

    /// Reads an input; what must hold and does not ends the process.
    ///
    /// - Returns: Whether the reader accepted it.
    @discardableResult
    func run(_ bytes: [UInt8]) -> Bool {
        switch self {
        case .adapter: Self.adapter(bytes)
        case .arrow: Self.arrow(bytes)
        case .conversation: Self.conversation(bytes)
        case .growth: Self.growth(bytes)
        case .header: Self.header(bytes)
        case .hub: Self.hub(bytes)
        case .image: Self.image(bytes)
        case .index: Self.index(bytes)
        case .json: Self.json(bytes)
        case .listing: Self.listing(bytes)
        case .manifest: Self.manifest(bytes)
        case .memory: Self.memory(bytes)
        case .metadata: Self.metadata(bytes)
        case .packed: Self.packed(bytes)
        case .parquet: Self.parquet(bytes)
        case .pickle: Self.pickle(bytes)
        case .template: Self.template(bytes)
        case .tokenizer: Self.tokenizer(bytes)
        }
    }

    /// Any bytes as an Arrow file: of one that is accepted, every row can be read or is an error.
    private static func arrow(_ bytes: [UInt8]) -> Bool {
        let limits = ParquetLimits(pageBytes: 1 << 22, values: 1 << 16, cachedBytes: 1 << 20)
        guard let file = try? ArrowFile(bytes: bytes, limits: limits) else { return false }
        var isSound = true
        for row in 0..<min(file.rowCount, 1000) where (try? file.row(at: row)) == nil { isSound = false }
        return isSound
    }

    /// Any bytes as a conversation: of one that is accepted, every part that is an image has one.
    private static func conversation(_ bytes: [UInt8]) -> Bool {
        guard let json = try? JSON(parsing: bytes), let read = try? Conversation(json: json, name: "fuzz") else {
            return false
        }
        let parts = read.messages.flatMap { message -> [ChatValue] in
            guard case .list(let parts) = message.fields.last(where: { $0.name == "content" })?.value else { return [] }
            return parts
        }
        precondition(parts.count { $0["type"] == "image" } == read.images.count, "an image is lost")
        return true
    }

    /// Any bytes as a safetensors file: of one that is accepted, every tensor lies inside it.
    private static func header(_ bytes: [UInt8]) -> Bool {
        let file = try? SafetensorsFile(path: "fuzz", storage: MemoryStorage(name: "fuzz", bytes: bytes))
        for tensor in file?.tensors ?? [] {
            let view = TensorView(tensor)
            precondition((try? TensorReader().bytes(of: view))?.count == view.byteCount, "a tensor cannot be read")
        }
        // The bytes as the header alone, so that nobody has to guess the length before it.
        let header = try? SafetensorsHeader(parsing: bytes, name: "fuzz")
        return file != nil || header != nil
    }

    /// Any bytes as what a hub says: a listing, in the cache or as an answer, or the head of an answer of HTTP.
    ///
    /// Of a listing that is accepted all files lie inside the directory, and it reads the same from its own text; what a head
    /// asks for, a pause or a place, can be done.
    private static func hub(_ bytes: [UInt8]) -> Bool {
        let commit = String(repeating: "c", count: 40)
        if let json = try? JSON(parsing: bytes) {
            let files = json.array.flatMap { entries in
                try? entries.compactMap { try HubFile(response: $0, of: "fuzz") }
            }
            guard
                let listing = files.map({ HubListing(commit: commit, files: $0) })
                    ?? (try? HubListing(commit: commit, cached: json, at: "fuzz"))
            else { return false }
            precondition(listing.files.reduce(0) { $0 + $1.byteCount } >= 0, "sizes without a sum")
            for file in listing.files {
                let parts = file.path.split(separator: "/", omittingEmptySubsequences: false)
                precondition(!parts.contains { ["", ".", ".."].contains($0) }, "a file outside the directory")
            }
            let again = try? HubListing(commit: commit, cached: listing.json, at: "fuzz")
            // A path that stands there twice is one file in the cache.
            precondition(Set(again?.files.map(\.path) ?? []) == Set(listing.files.map(\.path)), "a file is lost")
            return true
        }
        var answer = HTTPResponse()
        for line in bytes.split(separator: UInt8(ascii: "\n")) { answer.take(String(decoding: line, as: UTF8.self)) }
        if let stretch = answer.contentRange {
            precondition(!stretch.range.isEmpty && stretch.range.upperBound <= stretch.size ?? .max, "an empty stretch")
        }
        let address = "https://huggingface.co/org/name?a=b"
        // Resolved by libcurl, which is a library beside the program and may not be there.
        let next = try? answer.redirect(from: address)
        _ = next.map { (WebURL.origin(of: $0), WebURL.shown($0)) }
        let retryAfter = RetryPolicy.retryAfter(answer)
        if let retryAfter { precondition(retryAfter >= 0, "a pause that has gone by") }
        // Whoever is asked to come back later than at once is refused, by a sentence that names the seconds.
        let retryPolicy = RetryPolicy(attempts: 1, initialBackoff: 0, longestPause: 0, maxRetryAfter: 0)
        do { try retryPolicy.wait(after: 0, retryAfter: retryAfter, because: "busy") { true } } catch { _ = "\(error)" }
        return answer.status > 0
    }

    /// Any bytes as a PNG, JPEG or WebP file: one that is accepted has all its pixels, also in another size.
    private static func image(_ bytes: [UInt8]) -> Bool {
        let limits = ImageLimits(bytes: 1 << 20, side: 1 << 14, pixels: 1 << 20)
        guard let image = try? Image(decoding: bytes, limits: limits) else { return false }
        precondition(image.bytes.count == image.width * image.height * image.channels, "pixels are missing")
        let small = try? image.compositedOnWhite.resized(width: 14, height: 9, filter: .bicubic, limits: limits)
        // The pass along the rows keeps the height, so that a resize can only fail beyond the limits.
        precondition(small?.bytes.count == 14 * 9 * 3 || image.height * 14 > limits.pixels, "a resize fails")
        return true
    }

    /// Any bytes as the index of a checkpoint: one that is accepted names only files beside it.
    private static func index(_ bytes: [UInt8]) -> Bool {
        guard let json = try? JSON(parsing: bytes, named: "fuzz"),
            let index = try? ShardIndex(path: "fuzz", json: json)
        else { return false }
        precondition(index.files.allSatisfy { !$0.utf8.contains(UInt8(ascii: "/")) }, "a file outside the directory")
        try? index.check(against: ["model.embed_tokens.weight": index.files.first ?? ""])
        return true
    }

    /// Any bytes as JSON: what is read comes back the same from its own text.
    private static func json(_ bytes: [UInt8]) -> Bool {
        guard let json = try? JSON(parsing: bytes) else { return false }
        for pretty in [true, false] {
            precondition((try? JSON(parsing: json.text(pretty: pretty))) == json, "JSON differs from its own text")
        }
        return true
    }

    /// Any bytes as the manifest of a native checkpoint: one that is accepted reads the same from its own text.
    private static func manifest(_ bytes: [UInt8]) -> Bool {
        guard let json = try? JSON(parsing: bytes, named: "fuzz"),
            let manifest = try? NativeManifest(json: json, name: "fuzz")
        else { return false }
        _ = (manifest.layout.description, manifest.files.reduce(0) { $0 + $1.byteCount })
        let again = try? NativeManifest(json: manifest.json, name: "fuzz")
        precondition(again?.json == manifest.json, "a manifest differs from its own text")
        return true
    }

    /// Any bytes as a Parquet file: of one that is accepted, a row has all columns, whichever are asked for.
    private static func parquet(_ bytes: [UInt8]) -> Bool {
        let limits = ParquetLimits(pageBytes: 1 << 20, values: 1 << 14, cachedBytes: 1 << 20)
        guard let file = try? ParquetFile(bytes: bytes, limits: limits) else { return false }
        var isReadable = true
        for row in 0..<min(file.rowCount, 40) {
            guard case .structure(let fields)? = try? file.row(at: row) else {
                isReadable = false
                continue
            }
            precondition(fields.map(\.name) == file.schema.map(\.name), "a column is lost")
        }
        for column in file.schema { _ = try? file.row(at: 0, columns: [column.name]) }
        return isReadable
    }

    /// Any bytes as a chat template: what it makes of a conversation is bounded, and its marks lie inside in order.
    private static func template(_ bytes: [UInt8]) -> Bool {
        guard let source = String(validating: bytes, as: UTF8.self), let template = try? ChatTemplate(source) else {
            return false
        }
        var options = ChatTemplate.Options()
        options.date = ChatDate(year: 2025, month: 3, day: 9)
        options.tools = [["type": "function", "function": ["name": "look", "parameters": ["type": "object"]]]]
        let messages = [
            ChatMessage(role: "system", content: "s"), ChatMessage(role: "user", parts: [.text(" é "), .image]),
            ChatMessage(role: "assistant", content: "a"), ChatMessage(role: "user", content: "?"),
        ]
        let tokens = ["bos_token": "<s>", "eos_token": "</s>"]
        if let chat = try? template.render(messages, specialTokens: tokens, options: options) {
            var end = 0
            for span in chat.assistantSpans {
                precondition(span.lowerBound >= end, "a mark lies in another")
                end = span.upperBound
            }
            precondition(end <= chat.text.utf8.count, "a mark lies outside")
        }
        return true
    }

    /// Any bytes as `tokenizer.json`: of one that is accepted, every id has its token and is decoded as it comes.
    private static func tokenizer(_ bytes: [UInt8]) -> Bool {
        guard let json = try? JSON(parsing: bytes), let tokenizer = try? Tokenizer(json: json) else { return false }
        for text in ["Hé  the 12\n<s>[INST]\u{1F600}\u{FF9E}", "", " "] {
            guard let ids = try? tokenizer.encode(text), let encoding = try? tokenizer.encodeWithOffsets(text) else {
                continue
            }
            precondition(encoding.ids == ids && encoding.offsets.count == ids.count, "offsets change the ids")
            precondition(encoding.offsets.allSatisfy { $0.upperBound <= text.utf8.count }, "an offset lies outside")
            _ = try? tokenizer.decode(ids)
            var decoder = tokenizer.streamingDecoder()
            for id in ids { _ = try? decoder.append(id) }
        }
        return true
    }
}
