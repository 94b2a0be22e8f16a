import JSONTree

@testable import Adapters
@testable import BridgeCore
@testable import BridgeSupport
@testable import HuggingFaceHub
@testable import JinjaTemplates
@testable import Tokenizers

/// Readers of what may ask for much memory or time; libFuzzer's own bounds on both end a run that goes beyond them.
extension FuzzTarget {
    /// Any bytes as `adapter_config.json`: of one that is accepted, every module has a rank and a scale or an error.
    static func adapter(_ bytes: [UInt8]) -> Bool {
        guard let json = try? JSON(parsing: bytes, named: "fuzz"),
            let configuration = try? PEFTConfiguration(json: json, name: "fuzz")
        else { return false }
        precondition(configuration.rank > 0 && configuration.alpha.isFinite, "a rank or an alpha that is none")
        for module in ["model.layers.1.self_attn.q_proj", "lm_head", "", String(repeating: "a.1.", count: 200)] {
            if let shape = try? configuration.shape(of: module) {
                precondition(shape.rank > 0 && shape.scale.isFinite, "a module without a rank or a scale")
            }
            _ = try? configuration.targets?.contain(module)
        }
        _ = PEFTConfiguration.settings.unknownKeys(of: json)
        return true
    }

    /// Any bytes as `tokenizer.json` with a text that its steps may let grow: what comes out is within the bounds.
    static func growth(_ bytes: [UInt8]) -> Bool {
        guard let json = try? JSON(parsing: bytes), let tokenizer = try? Tokenizer(json: json) else { return false }
        var isWithin = true
        for text in ["a", String(repeating: "ab ", count: 300), String(repeating: "\u{FDFA}a", count: 100)] {
            let budget = EncodingBudget(textBytes: text.utf8.count, grownBytes: 1 << 16, seconds: 2)
            guard let encoding = try? tokenizer.run(text, tracksOrigins: true, budget: budget) else {
                isWithin = false
                continue
            }
            // A byte becomes four tokens at most: itself, and what goes before and behind it.
            precondition(encoding.ids.count <= 4 << 16, "a text becomes more tokens than it may have bytes")
            precondition(encoding.offsets.allSatisfy { $0.upperBound <= text.utf8.count }, "an offset lies outside")
            if let decoded = try? tokenizer.decode(encoding.ids) {
                precondition(decoded.utf8.count <= 3 * EncodingBudget.decodedBytes, "a text is larger than its bound")
            }
        }
        return isWithin
    }

    /// Any bytes as the answer of a hub that lists the files of a commit: each path has one content.
    static func listing(_ bytes: [UInt8]) -> Bool {
        guard let repository = HubRepository("org/name"), let entries = (try? JSON(parsing: bytes))?.array,
            let all = try? entries.compactMap({ try HubFile(response: $0, of: "fuzz") }),
            let files = try? HubClient.distinct(all, in: repository)
        else { return false }
        precondition(Set(files.map { Array($0.path.utf8) }).count == files.count, "one path has two contents")
        let listing = HubListing(commit: String(repeating: "c", count: 40), files: files)
        precondition(listing.files.count == files.count, "a file is lost")
        for purpose in [HubPurpose.model, .everything] {
            let selection = try? HubSelection(purpose, in: listing, of: repository)
            let chosen = (selection?.small ?? []) + (selection?.weights ?? [])
            precondition(chosen.allSatisfy { files.contains($0) }, "a file that is not listed is chosen")
        }
        return true
    }

    /// Any bytes as a chat template that is run with little: what it makes is within the bounds.
    static func memory(_ bytes: [UInt8]) -> Bool {
        guard let source = String(validating: bytes, as: UTF8.self), let template = try? ChatTemplate(source) else {
            return false
        }
        var limits = TemplateInterpreter.Limits()
        limits.steps = 200_000
        limits.bytes = 1 << 20
        limits.memory = 8 << 20
        let text = String(repeating: "line <b>\u{390}\n", count: 100)
        let variables: [String: TemplateValue] = [
            "messages": .list([.dictionary(TemplateDictionary([(.string("content"), .string(text))]))]),
            "text": .string(text), "bos_token": .string("<s>"),
        ]
        guard let chat = try? template.render(variables, ChatTemplate.Options(), limits: limits) else { return false }
        precondition(chat.text.utf8.count <= limits.bytes, "a text is larger than its bound")
        return true
    }
}
