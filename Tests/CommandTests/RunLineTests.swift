import Foundation
import TestSupport
import Testing

/// The lines of a run, on a terminal and in a log.
@Suite struct RunLineTests {
    private let bench: TrainBench

    init() throws { bench = try TrainBench() }

    private static var megatron: Regex<Substring> { #/ iteration +6\/ +6 \|/# }

    @Test func aLogHasMegatronsLinesUnlessCompactOnesAreAskedFor() throws {
        let plain = try BridgeProcess(bench.arguments("plain")).wait()
        #expect(plain.output.contains(Self.megatron) && !plain.output.contains("step 6/6"), "\(plain.output)")
        let compact = try BridgeProcess(bench.arguments("compact", "logger.format=compact")).wait()
        #expect(
            !compact.output.contains(Self.megatron) && compact.output.contains("step 6/6  loss "),
            "\(compact.output)"
        )
        #expect(compact.output.contains("step 6/6  saved \(bench.scratch.path("compact"))/iter_0000006"))
        // A live line is for terminals.
        #expect(!compact.errors.contains("\u{1B}") && !compact.errors.contains("step 6 of 6"))
    }

    @Test func aTerminalHasALiveLineThatOtherLinesReplace() throws {
        let (bytes, status) = try PseudoTerminal.run(bench.arguments("live"))
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(status == 0 && text.contains("step 6/6  loss "), "\(text)")
        #expect(
            text.contains("step 0 of 6") && text.contains("step 6 of 6") && !text.contains(Self.megatron),
            "\(text)"
        )
        // What is left on the screen: nothing of the live line.
        let screen = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.components(separatedBy: "\r\u{1B}[2K").last ?? ""
        }
        #expect(!screen.contains { $0.contains("of 6 ") }, "\(screen)")
        #expect(screen.contains { $0.hasPrefix("step 6/6  loss ") }, "\(screen)")
        for settings in [["logger.format=megatron"], ["--no-progress"]] {
            let (bytes, _) = try PseudoTerminal.run(bench.arguments("live-\(settings[0].suffix(4))") + settings)
            #expect(!String(decoding: bytes, as: UTF8.self).contains("step 6 of 6"))
        }
    }
}
