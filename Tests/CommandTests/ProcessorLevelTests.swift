import Foundation
import JSONTree
import TensorRuntime
import TestSupport
import Testing
import TileEmulation

/// What the program computes with, and how that is limited.
@Suite struct ProcessorLevelTests {
    private func report(_ level: String?) throws -> JSON {
        let environment = level.map { ["BRIDGE_MAX_CPU_ISA": $0] } ?? [:]
        let outcome = try BridgeProcess.run("--version", "--json", environment: environment)
        #expect(outcome.status == 0, "\(outcome.errors)")
        return try JSON(parsing: Array(outcome.output.utf8))
    }

    @Test func theReportNamesTheProcessorAndTheEngines() throws {
        let report = try report(nil)
        let best = TestEngine.level
        #expect(report[path: "processor.level"]?.string == InstructionLevel.ofProcessor.name)
        #expect(report[path: "processor.level_used"]?.string == best.name)
        #expect(report["engines"]?.array?.contains { $0.string?.hasPrefix("OpenBLAS ") == true } == true)
        let threads = try #require(report["threads"]?.integer)
        #expect((1...ProcessInfo.processInfo.activeProcessorCount).contains(threads), "\(threads)")
        #expect(report["version"]?.string?.wholeMatch(of: /\d+\.\d+\.\d+/) != nil)
        // What Linux says of the same processor.
        let text = try String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)
        let flags = Set(text.split(whereSeparator: \.isWhitespace).map(String.init))
        let features = (report[path: "processor.features"]?.array ?? []).compactMap(\.string)
        for (name, flag) in [("avx2", "avx2"), ("avx512f", "avx512f"), ("avx512bf16", "avx512_bf16")] {
            #expect(features.contains(name) == flags.contains(flag), "\(name)")
        }
    }

    @Test(arguments: InstructionLevel.allCases) func aLevelIsTheMostThatIsUsed(_ level: InstructionLevel) throws {
        for name in [level.name, level.name.lowercased()] {
            let report = try report(name)
            #expect(report[path: "processor.level_used"]?.string == min(level, .ofProcessor).name)
            #expect(report[path: "processor.max_level"]?.string == name)
            let engines = (report["engines"]?.array ?? []).compactMap(\.string)
            #expect(engines.contains { $0.contains("oneDNN") } == (min(level, .ofProcessor) >= .avx512), "\(engines)")
        }
    }

    @Test func aLevelThatIsUnknownIsRefusedWithTheListOfLevels() throws {
        for arguments in [["--version", "--json"], ["models"]] {
            let outcome = try BridgeProcess(arguments, environment: ["BRIDGE_MAX_CPU_ISA": "SSE9"]).wait()
            expect(outcome, failsWith: 64, mentioning: "SSE9", "PORTABLE, AVX2, AVX512, AVX512_BF16, AMX")
        }
        #expect(try BridgeProcess.run("models", environment: ["BRIDGE_MAX_CPU_ISA": ""]).status == 0)
    }

    @Test func theDoctorShowsTheLevel() throws {
        let outcome = try BridgeProcess.run("plugins", "doctor", environment: ["BRIDGE_MAX_CPU_ISA": "portable"])
        #expect(outcome.output.contains("kernels: PORTABLE (BRIDGE_MAX_CPU_ISA is portable)"), "\(outcome.output)")
    }

    /// float32 logits of one prompt differ between levels in their last bits and by no more.
    @Test(arguments: ["mistral", "gemma3"]) func everyLevelComputesTheSameWithinTheBound(_ model: String) throws {
        let scratch = try TemporaryDirectory()
        var first: [Float]?
        for level in InstructionLevel.allCases where level <= .ofProcessor {
            let file = scratch.path(level.name)
            let outcome = try BridgeProcess(
                [
                    "forward", "--hf-model", Fixtures.checkpoint(model), "--prompt", "Hello there", "--dtype",
                    "float32",
                    "--output", file,
                ],
                environment: ["BRIDGE_MAX_CPU_ISA": level.name]
            ).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            let logits = try Reference(file: file).floats("logits")
            let (difference, scale) = gap(logits, first ?? logits)
            #expect(difference <= Margin.bound * scale, "\(level.name)")
            first = first ?? logits
        }
    }

    /// Nothing but the library of the tests emulates tiles.
    @Test(.enabled(if: can_emulate_tiles())) func theLevelAMXRunsOnEveryProcessorWithAVX512() throws {
        let scratch = try TemporaryDirectory()
        let emulation = ["LD_PRELOAD": BridgeProcess.buildDirectory.appendingPathComponent("libAMXEmulation.so").path]
        let version = try BridgeProcess(["--version", "--json"], environment: emulation).wait()
        let report = try JSON(parsing: Array(version.output.utf8))
        #expect(report[path: "processor.level"]?.string == InstructionLevel.amx.name)
        #expect(report["engines"]?.array?.contains(.string("AMX")) == true)
        // As many tokens as rows are taken together by attention in tiles.
        let prompt = String(repeating: "Hello there, ", count: 12)
        let runs = [
            ("float32", "AVX512", [:]), ("bfloat16", "AVX512", [:]), ("bfloat16", "AMX", emulation),
        ]
        let logits = try runs.map { type, level, environment in
            let file = scratch.path("\(type)-\(level)")
            let outcome = try BridgeProcess(
                [
                    "forward", "--hf-model", Fixtures.checkpoint("gemma3"), "--prompt", prompt, "--dtype", type,
                    "--output", file,
                ],
                environment: environment.merging(["BRIDGE_MAX_CPU_ISA": level]) { $1 }
            ).wait()
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try Reference(file: file).floats("logits")
        }
        // What rounding to bfloat16 does shows beside float32. Two levels round different sums, so that one may be twice as
        // far off as the other; 1 % of the largest logit is two and a half steps of bfloat16.
        let (rounding, scale) = gap(logits[1], logits[0])
        #expect(gap(logits[2], logits[0]).0 <= 2 * rounding + 0.01 * scale)
        #expect(logits[2] != logits[1])
    }
}
