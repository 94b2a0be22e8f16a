import BridgeCore
import Foundation
import Imaging
import JSONTree
import TestSupport
import Testing
import Tokenizers

/// A case of `Tests/Fixtures/processing/expected.json`.
struct RecordedCase: Sendable, CustomTestStringConvertible {
    let json: JSON

    static let all = Result { try Fixtures.cases("processing/expected.json").map { RecordedCase(json: $0) } }

    var name: String { json["name"]?.string ?? "" }
    var checkpoint: String { json["checkpoint"]?.string ?? "" }
    var testDescription: String { "\(checkpoint): \(name)" }

    var tokenIDs: [Int] { json[path: "expected.ids"]?.array?.compactMap(\.integer) ?? [] }
    var masks: [Bool]? { json[path: "expected.masks"]?.array?.map { $0.integer == 1 } }
    var rendered: String? { json[path: "expected.rendered"]?.string }

    struct Planes: Equatable {
        var height: Int?
        var width: Int?
        var hash: Int?
    }

    var planes: [Planes] {
        (json[path: "expected.images"]?.array ?? []).map {
            Planes(height: $0["height"]?.integer, width: $0["width"]?.integer, hash: $0["values"]?.integer)
        }
    }

    /// The checkpoint, or a copy with other files in it.
    func directory(in scratch: TemporaryDirectory) throws -> String {
        guard let files = json["files"]?.object else { return Fixtures.checkpoint(checkpoint) }
        let copy = try scratch.copy(ofCheckpoint: checkpoint)
        for (name, content) in files {
            let directory = URL(filePath: "\(copy)/\(name)").deletingLastPathComponent()
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            try Data(content.string.map { Array($0.utf8) } ?? content.text()).write(
                to: URL(filePath: "\(copy)/\(name)")
            )
        }
        return copy
    }

    /// The inputs as they are made here.
    func inputs() throws -> ModelInputs {
        let scratch = try TemporaryDirectory()
        let processor = try AutoBridge.fromHF(directory(in: scratch)).processor()
        var options = ProcessingOptions()
        options.template.date = try ChatDate(json["date"]?.string ?? "2025-03-09")
        options.template.addsGenerationPrompt = json["prompt"]?.bool ?? true
        options.template.continuesFinalMessage = json["continued"]?.bool ?? false
        options.template.tools = json["tools"]?.array?.map { ChatValue($0) }
        if json[path: "options.do_pan_and_scan"]?.bool == true {
            var pan = PanAndScan()
            pan.smallestSide = json[path: "options.pan_and_scan_min_crop_size"]?.integer ?? pan.smallestSide
            pan.mostCrops = json[path: "options.pan_and_scan_max_num_crops"]?.integer ?? pan.mostCrops
            pan.smallestRatio = json[path: "options.pan_and_scan_min_ratio_to_activate"]?.double ?? pan.smallestRatio
            options.panAndScan = pan
        }
        let images = try (json["images"]?.array ?? []).map { image in
            let numbers = image["noise"]?.array?.compactMap(\.integer) ?? []
            try #require(numbers.count == 3)
            return ImageSource.image(try noise(numbers[0], numbers[1], seed: numbers[2]))
        }
        if let text = json["text"]?.string {
            return try processor.inputs(rawText: text, images: images, options: options)
        }
        let messages = try #require(json["messages"])
        let conversation = try Conversation(json: Self.resolved(messages), name: name, images: images)
        return try processor.inputs(conversation, options: options)
    }

    /// Paths below the fixtures, and the data URLs of their files.
    private static func resolved(_ json: JSON) throws -> JSON {
        switch json {
        case .array(let items): return .array(try items.map { try resolved($0) })
        case .object(let members): return .object(JSONObject(try members.map { ($0.key, try resolved($0.value)) }))
        case .string(let text) where text.hasPrefix("images/"): return .string("\(Fixtures.root)/\(text)")
        case .string(let text) where text.hasPrefix("DATA:"):
            let file = try Data(contentsOf: URL(filePath: "\(Fixtures.root)/images/\(text.dropFirst(5))"))
            return .string("data:image/png;base64,\(file.base64EncodedString())")
        default: return json
        }
    }
}

/// Noise from the generator of `Tests/Fixtures/make_image_fixtures.py`.
func noise(_ width: Int, _ height: Int, seed: Int) throws -> Image {
    var state = UInt32(seed)
    let bytes = (0..<width * height * 3).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return UInt8(state >> 24)
    }
    return try Image(width: width, height: height, channels: 3, bytes: bytes)
}

/// The hash that the fixtures use: FNV-1a of 64 bits with both halves xored.
func fixtureHash(_ values: [Float]) -> Int {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for value in values {
        let bits = value.bitPattern
        for shift in [UInt32(0), 8, 16, 24] { hash = (hash ^ UInt64(bits >> shift & 0xFF)) &* 0x100_0000_01B3 }
    }
    return Int(UInt32(truncatingIfNeeded: hash ^ hash >> 32))
}
