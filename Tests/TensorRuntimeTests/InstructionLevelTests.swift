import CTensorKernels
import Glibc
import TestSupport
import Testing

@testable import TensorRuntime

/// Levels have names, and a limit comes before the first engine.
@Suite struct InstructionLevelTests {
    @Test func everyLevelIsFoundByItsNameInAnyCase() {
        for level in InstructionLevel.allCases {
            #expect(InstructionLevel(named: level.name) == level)
            #expect(InstructionLevel(named: level.name.lowercased()) == level)
        }
        #expect(InstructionLevel(named: "") == nil && InstructionLevel(named: "AVX3") == nil)
        #expect(InstructionLevel.allCases == InstructionLevel.allCases.sorted())
    }

    @Test func theLevelInUseIsOneThatTheProcessorHas() {
        #expect(TestEngine.level == InstructionLevel.inUse)
        #expect(InstructionLevel.inUse <= InstructionLevel.ofProcessor)
    }

    @Test(.enabled(if: InstructionLevel.ofProcessor > .portable))
    func aLimitAfterTheFirstEngineIsRefused() async {
        await #expect(processExitsWith: .exitCode(7)) {
            _ = CPUEngine(threadCount: 1)
            do throws(InstructionLevel.LimitError) {
                try InstructionLevel.limit(to: .portable)
            } catch {
                exit(7)
            }
        }
    }

    @Test(.enabled(if: InstructionLevel.ofProcessor > .portable))
    func aLimitBeforeTheFirstEngineIsItsLevel() async {
        await #expect(processExitsWith: .exitCode(7)) {
            try InstructionLevel.limit(to: .portable)
            let engine = CPUEngine(threadCount: 1)
            exit(engine.isa.rawValue == 0 && !engine.name.contains("oneDNN") ? 7 : 1)
        }
    }
}
