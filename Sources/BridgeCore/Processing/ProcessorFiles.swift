import BridgeSupport
public import Imaging
import JSONTree
public import Tokenizers

/// The files of a model that define how text and images become its inputs.
public struct ProcessorFiles: Sendable {
    /// The directory.
    public let directory: String
    /// The tokenizer.
    public let tokenizer: Tokenizer
    /// `processor_config.json`.
    public let processor: ProcessorSettings
    /// The part about images: `image_processor` in `processor_config.json`, else `preprocessor_config.json`.
    public let image: ProcessorSettings

    /// Reads the files of a directory; one that is not there counts as empty.
    ///
    /// - Parameters:
    ///   - directory: The directory.
    ///   - hasProcessor: Whether transformers has a processor for the model, which reads chat templates from separate
    ///     files.
    /// - Throws: `BridgeError` when there is no tokenizer, or a file is not what it claims to be.
    public init(directory: String, hasProcessor: Bool = false) throws {
        self.directory = Files.trimmed(directory)
        let settings = try ProcessorSettings(file: Files.join(directory, "processor_config.json"))
        let template = try hasProcessor ? settings.optionalText("chat_template") : nil
        tokenizer = try BridgeError.ofTokenizer { () throws(TokenizerError) in
            var tokenizer = try Tokenizer(directory: directory)
            if hasProcessor { try tokenizer.takeProcessorTemplates(directory, ofProcessor: template) }
            return tokenizer
        }
        processor = settings
        image =
            try processor.section("image_processor")
            ?? ProcessorSettings(file: Files.join(directory, "preprocessor_config.json"))
    }

    /// The id of a token that is found in a text as a whole.
    ///
    /// - Parameters:
    ///   - token: The token.
    ///   - role: Its use, for an error message.
    /// - Returns: The id.
    /// - Throws: `BridgeError` when the tokenizer does not know it as such.
    public func id(ofSpecial token: String, role: String) throws -> Int {
        guard let known = tokenizer.addedTokens.first(where: { $0.content.utf8.elementsEqual(token.utf8) }) else {
            throw BridgeError(
                .badConfiguration,
                "the tokenizer in \(directory) does not know \(token) as a special token, and \(role) is written with it; "
                    + "fetch the tokenizer's files again"
            )
        }
        return known.id
    }
}

/// A file with the settings of a processor, read with the defaults of its class; null counts as absent.
public struct ProcessorSettings: Sendable {
    /// The file, for messages.
    public let name: String
    /// Whether there is one.
    public let exists: Bool

    private let json: JSON

    init(file path: String) throws {
        name = path
        exists = Files.exists(path)
        json = exists ? try JSON(contentsOf: path, limit: 1 << 20) : .object(JSONObject())
        try checkIsObject()
    }

    private init(name: String, json: JSON) throws {
        self.name = name
        self.json = json
        exists = true
        try checkIsObject()
    }

    private func checkIsObject() throws {
        guard json.object != nil else { throw wrong("the whole", json, "an object") }
    }

    /// The settings below a key; nil where it is absent or a number.
    public func section(_ key: String) throws -> ProcessorSettings? {
        guard let value = self[key], value.integer == nil else { return nil }
        return try ProcessorSettings(name: "\(key) of \(name)", json: value)
    }

    /// The value of a key, which is not null.
    private subscript(key: String) -> JSON? { json[key]?.nonNull }

    /// An error about the value of a key.
    private func wrong(_ key: String, _ value: JSON, _ expected: String) -> BridgeError {
        let text = String(decoding: value.text(pretty: false).prefix(80), as: UTF8.self)
        return BridgeError(.badConfiguration, "\(name) has \(text) as \(key), expected \(expected)")
    }

    /// A whole number between bounds.
    public func integer(_ key: String, classDefault: Int, in bounds: ClosedRange<Int> = 1...1 << 20) throws -> Int {
        guard let value = self[key] else { return classDefault }
        guard let number = value.integer, bounds.contains(number) else {
            throw wrong(key, value, "a whole number from \(bounds.lowerBound) to \(bounds.upperBound)")
        }
        return number
    }

    /// A text that is not empty.
    public func text(_ key: String, classDefault: String) throws -> String {
        guard let value = self[key] else { return classDefault }
        guard let text = value.string, !text.isEmpty else { throw wrong(key, value, "a text") }
        return text
    }

    /// A text; nil where it is absent.
    func optionalText(_ key: String) throws -> String? {
        guard let value = self[key] else { return nil }
        guard let text = value.string else { throw wrong(key, value, "a text") }
        return text
    }

    /// A height and a width, written as one number or as an object; nil where neither is there.
    public func size(_ key: String) throws -> (height: Int, width: Int)? {
        guard let value = self[key] else { return nil }
        if value.integer != nil {
            let side = try integer(key, classDefault: 0)
            return (side, side)
        }
        guard let section = try section(key), section["height"] != nil, section["width"] != nil else { return nil }
        return try (section.integer("height", classDefault: 0), section.integer("width", classDefault: 0))
    }

    /// The normalisation of bytes.
    public func normalization(classMean mean: [Double], classDeviation deviation: [Double]) throws
        -> PixelNormalization
    {
        let factor = self["rescale_factor"] ?? .number(JSONNumber(1.0 / 255))
        guard let rescale = factor.double else { throw wrong("rescale_factor", factor, "a number") }
        do throws(ImageError) {
            return try PixelNormalization(
                rescale: rescale,
                mean: channels("image_mean") ?? mean,
                deviation: channels("image_std") ?? deviation
            )
        } catch {
            throw BridgeError(.badConfiguration, "\(name): \(error.message)")
        }
    }

    /// Three values, also written as one.
    private func channels(_ key: String) -> [Double]? {
        self[key].map { value in
            value.double.map { [$0, $0, $0] } ?? (value.array ?? []).compactMap(\.double)
        }
    }

    /// The resize filter, by Pillow's number.
    public func filter(classDefault: ResizeFilter) throws -> ResizeFilter {
        guard let value = self["resample"] else { return classDefault }
        switch value.integer {
        case 2: return .bilinear
        case 3: return .bicubic
        default: throw wrong("resample", value, "2 (bilinear) or 3 (bicubic)")
        }
    }

    /// Refuses settings that would change the pixels in ways that are not supported.
    public func checkSteps() throws {
        for key in ["do_resize", "do_rescale", "do_normalize"] {
            if let value = self[key], value.bool != true { throw wrong(key, value, "true") }
        }
        if let value = self["do_center_crop"], value.bool != false { throw wrong("do_center_crop", value, "false") }
        if let value = self["data_format"], value.string != "channels_first" {
            throw wrong("data_format", value, "\"channels_first\"")
        }
    }
}
