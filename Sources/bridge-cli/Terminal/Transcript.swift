import BridgeCore
import Tokenizers

/// The text that comes out, printed as it comes, up to a stop text.
final class Transcript {
    /// Whether a stop text has come.
    private(set) var isStopped = false

    private var decoder: StreamingDecoder?
    private let stops: [[UInt8]]
    private let isSilent: Bool
    /// Bytes, because a stop text may be a part of what is one character together with what stands beside it.
    private var bytes: [UInt8] = []
    private var printed = 0

    /// A transcript.
    ///
    /// - Parameters:
    ///   - tokenizer: Turns tokens into text; without one there is none.
    ///   - stops: Texts that end it.
    ///   - isSilent: Whether to print nothing.
    init(_ tokenizer: Tokenizer?, stops: [String], isSilent: Bool) {
        decoder = tokenizer?.streamingDecoder(skippingSpecialTokens: true)
        self.stops = stops.filter { !$0.isEmpty }.map { Array($0.utf8) }
        self.isSilent = isSilent
    }

    /// The text so far, without the stop text.
    var text: String { String(decoding: bytes, as: UTF8.self) }

    /// Takes in a token; returns whether to go on.
    func take(_ step: Generator.Step) throws -> Bool {
        if !step.isEnd { try add(decoder?.append(step.token)) }
        return !isStopped && (isSilent || !Output.isBroken)
    }

    /// Prints what was held back.
    func finish() throws {
        if !isStopped { try add(decoder?.finish()) }
        show(upTo: bytes.count)
        if !isSilent { Output.line() }
    }

    private func add(_ piece: @autoclosure () throws(TokenizerError) -> String?) throws {
        do throws(TokenizerError) {
            bytes += try piece()?.utf8.map { $0 } ?? []
        } catch {
            throw BridgeError(.corruptInput, "the tokenizer cannot decode what the model says: \(error.message)")
        }
        // What was printed holds no beginning of a stop text.
        if let found = stops.compactMap({ bytes[printed...].firstRange(of: $0)?.lowerBound }).min() {
            bytes.removeSubrange(found...)
            isStopped = true
        }
        // What may be the beginning of a stop text waits until it is clear.
        let held = isStopped ? 0 : stops.map(overlap).max() ?? 0
        show(upTo: bytes.count - held)
    }

    /// How many bytes at the end of the text are the beginning of a stop text.
    private func overlap(_ stop: [UInt8]) -> Int {
        let longest = min(stop.count - 1, bytes.count - printed)
        return stride(from: longest, to: 0, by: -1).first { bytes.suffix($0) == stop.prefix($0) } ?? 0
    }

    /// The bytes with signs in the place of control characters and of what turns the direction of the text behind it.
    ///
    /// Marks of direction and tags, which Arabic, Hebrew and flags are written with, stay.
    static func visible(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        String(decoding: bytes, as: UTF8.self).unicodeScalars.flatMap { scalar -> [UInt8] in
            switch scalar.value {
            case 0x0A, 0x09: return [UInt8(scalar.value)]
            case 0..<0x20: return Array("\(UnicodeScalar(0x2400 + scalar.value).map(String.init) ?? "")".utf8)
            case 0x7F: return Array("\u{2421}".utf8)
            case 0x80...0x9F: return Array("\u{FFFD}".utf8)
            case 0x2028...0x202E, 0x2066...0x2069, 0xFFF9...0xFFFB: return Array(PrintableText.escape(scalar).utf8)
            default: return Array(String(scalar).utf8)
            }
        }
    }

    private func show(upTo end: Int) {
        guard end > printed else { return }
        if !isSilent { Output.text(Output.isTerminal ? Self.visible(bytes[printed..<end])[...] : bytes[printed..<end]) }
        printed = end
    }
}
