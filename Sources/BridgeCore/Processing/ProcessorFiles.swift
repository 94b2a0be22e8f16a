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
    ///   - tokenizerClass: The class that transformers has for the family's tokenizer; nil where `tokenizer.json` is used as it
    ///     is.
    /// - Throws: `BridgeError` when there is no tokenizer, or a file is not what it claims to be.
    public init(directory: String, hasProcessor: Bool = false, tokenizerClass: TokenizerClass? = nil) throws {
        self.directory = Files.trimmed(directory)
        let settings = try ProcessorSettings(file: Files.join(directory, "processor_config.json"))
        let template = try hasProcessor ? settings.optionalText("chat_template") : nil
        tokenizer = try BridgeError.ofTokenizer { () throws(TokenizerError) in
            var tokenizer = try Tokenizer(directory: directory, registered: tokenizerClass)
            if hasProcessor { try tokenizer.takeProcessorTemplates(directory, ofProcessor: template) }
            return tokenizer
        }
        try TokenizerSettings.check(in: directory)
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
    /// The steps that are always taken; in transformers null skips one, as false does.
    static let steps = ["do_resize", "do_rescale", "do_normalize"]
    /// The values of those steps, for which null is an error in transformers and not the class default.
    static let required = ["size", "resample", "rescale_factor", "image_mean", "image_std"]

    /// The file, for messages.
    public let name: String
    /// Whether there is one.
    public let exists: Bool

    private let reader: JSONReader

    init(file path: String) throws {
        let exists = Files.exists(path)
        let json = exists ? try JSON(contentsOf: path, limit: 1 << 20) : .object(JSONObject())
        try self.init(JSONReader(json, name: path, code: .badConfiguration), exists: exists)
    }

    private init(_ reader: JSONReader, exists: Bool = true) throws {
        (name, self.reader, self.exists) = (reader.name, reader, exists)
        guard reader.json.object != nil else { throw reader.problem("it is \(reader.json.kind), expected an object") }
    }

    /// The settings below a key; nil where it is absent or a number.
    public func section(_ key: String) throws -> ProcessorSettings? {
        guard let value = self[key], value.integer == nil else { return nil }
        return try ProcessorSettings(JSONReader(value, name: "\(key) of \(name)", code: .badConfiguration))
    }

    /// The value of a key, which is not null.
    private subscript(key: String) -> JSON? { reader[key] }

    /// A whole number between bounds.
    public func integer(_ key: String, classDefault: Int, in bounds: ClosedRange<Int> = 1...1 << 20) throws -> Int {
        try reader.optionalInteger(key, in: bounds) ?? classDefault
    }

    /// A text that is not empty.
    public func text(_ key: String, classDefault: String) throws -> String {
        try reader.optional(key, "a text") { $0.string.flatMap { $0.isEmpty ? nil : $0 } } ?? classDefault
    }

    /// A text; nil where it is absent.
    func optionalText(_ key: String) throws -> String? { try reader.optional(key, "a text", \.string) }

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
        let factor = self["rescale_factor"] ?? JSON(1.0 / 255)
        guard let rescale = factor.double else { throw reader.wrong("rescale_factor", factor, expected: "a number") }
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
        default: throw reader.wrong("resample", value, expected: "2 (bilinear) or 3 (bicubic)")
        }
    }

    /// Refuses settings that would change the pixels in ways that are not supported.
    public func checkSteps() throws {
        for key in Self.steps {
            if let value = reader.json[key], value.bool != true {
                let reason = value.isNull ? "true, since null skips the step; remove the key" : "true"
                throw reader.wrong(key, value, expected: reason)
            }
        }
        for key in Self.required where reader.json[key]?.isNull ?? false {
            throw reader.wrong(key, .null, expected: "a value; remove the key to use the default")
        }
        if let value = self["do_center_crop"], value.bool != false {
            throw reader.wrong("do_center_crop", value, expected: "false")
        }
        if let value = self["data_format"], value.string != "channels_first" {
            throw reader.wrong("data_format", value, expected: "\"channels_first\"")
        }
    }
}
